//! Times layers whose weights have zeros in patterns, with and without skipping them, in turns.

use std::hint::black_box;
use std::time::Instant;

use calcine_kernels::{Buffer, CodeLayer, Filters, FloatLayer, Isa, Plane, Rescale, Window};

/// Numbers that look random.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

/// The zeros of weights: blocks of `[outputs, inputs]` that are zero together.
#[derive(Clone, Copy)]
enum Pattern {
    Blocks([usize; 2]),
    TwoOfFour,
}

/// Weights `[outputs, inputs, places]`, of which a share is zero.
fn weights(pattern: Pattern, share: f32, filters: &Filters, draws: &mut Draws) -> Vec<f32> {
    let places = filters.window.kernel.iter().product::<usize>();
    let mut weights = vec![0.0; filters.weights()];
    let [high, wide] = match pattern {
        Pattern::Blocks(block) => block,
        Pattern::TwoOfFour => [1, 4],
    };
    for first in (0..filters.outputs).step_by(high) {
        for left in (0..filters.inputs).step_by(wide) {
            for place in 0..places {
                let is_zero = draws.next() < share;
                for output in first..(first + high).min(filters.outputs) {
                    for input in left..(left + wide).min(filters.inputs) {
                        let is_zero = match pattern {
                            Pattern::Blocks(_) => is_zero,
                            Pattern::TwoOfFour => (input + output + place) % 4 < 2,
                        };
                        let weight = if is_zero { 0.0 } else { 0.1 + draws.next() };
                        weights[(output * filters.inputs + input) * places + place] = weight;
                    }
                }
            }
        }
    }
    weights
}

/// The ratio of the shortest times of two functions that run in turns: other work on the machine only adds to times.
fn ratio(mut a: impl FnMut(), mut b: impl FnMut(), turns: usize) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let mut least = [f64::INFINITY; 2];
    for _ in 0..turns {
        least[0] = least[0].min(time(&mut a));
        least[1] = least[1].min(time(&mut b));
    }
    least[0] / least[1]
}

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let turns = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(10);
    let named = |isa: &Isa| Some(&isa.to_string()) == arguments.get(1);
    let isa = Isa::ALL.into_iter().find(named).unwrap_or(Isa::best());
    // ResNet-20 at 32², ResNet-18 at 224², and a linear layer: inputs, outputs, size of the output, kernel, stride.
    let layers = [
        (16, 16, 32, 3, 1),
        (32, 32, 16, 3, 1),
        (64, 64, 8, 3, 1),
        (32, 64, 8, 3, 2),
        (64, 64, 56, 3, 1),
        (256, 256, 14, 3, 1),
        (256, 512, 7, 3, 2),
        (256, 512, 7, 1, 2),
        (2048, 512, 1, 1, 1),
    ];
    let patterns = [
        ("16x1", Pattern::Blocks([16, 1])),
        ("16x4", Pattern::Blocks([16, 4])),
        ("1x4", Pattern::Blocks([1, 4])),
        ("1x8", Pattern::Blocks([1, 8])),
        ("1x1", Pattern::Blocks([1, 1])),
        ("2:4", Pattern::TwoOfFour),
    ];
    println!(
        "{isa}: time of the dense layer / time of the layer that skips zeros; (share of zero steps)"
    );
    println!("layer, output, pattern, zeros: float, 8 bits");
    for (inputs, outputs, size, kernel, stride) in layers {
        for (name, pattern) in patterns {
            let shares: &[f32] = match pattern {
                Pattern::TwoOfFour => &[0.5],
                Pattern::Blocks(_) => &[0.2, 0.5, 0.7, 0.8, 0.9, 0.95],
            };
            for share in shares {
                let window = Window {
                    kernel: [kernel; 2],
                    stride: [stride; 2],
                    dilation: [1; 2],
                    padding: [kernel / 2; 2],
                };
                let filters = Filters {
                    inputs,
                    outputs,
                    groups: 1,
                    window,
                };
                let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
                let all = weights(pattern, *share, &filters, &mut draws);
                let input = size * stride;
                let border = window.border([input; 2], [size; 2]);
                let (x, y) = (
                    Plane::new(input, input, inputs).with_border(border),
                    Plane::new(size, size, outputs),
                );
                let bias = vec![0.0; outputs];
                let dense = FloatLayer::dense(&all, &bias, filters, x, y);
                let sparse = FloatLayer::sparse(&all, &bias, filters, x, y);
                let source = Buffer::zeros(4 * x.sample_len());
                let mut to = [0, 1].map(|_| Buffer::zeros(4 * y.sample_len()));
                let [a, b] = &mut to;
                let run = |layer: &FloatLayer, to: &mut Buffer| {
                    layer.run(
                        isa,
                        1,
                        black_box(source.floats()),
                        [0.0, 9.0],
                        None,
                        to.floats_mut(),
                    );
                };
                let float = ratio(|| run(&dense, a), || run(&sparse, b), turns);
                let (x, y) = (
                    Plane::of_codes(input, input, inputs).with_border(border),
                    Plane::of_codes(size, size, outputs),
                );
                let bytes: Vec<i8> = all.iter().map(|weight| (weight * 100.0) as i8).collect();
                let bias = vec![0; outputs];
                let dense = CodeLayer::dense(&bytes, &bias, 7, filters, x, y);
                let skips = CodeLayer::sparse(&bytes, &bias, 7, filters, x, y);
                let source = Buffer::zeros(x.sample_len());
                let rescale = Rescale::new(&vec![0.001; outputs], [0.0, 255.0], 0);
                let run = |layer: &CodeLayer, to: &mut Buffer| {
                    layer.run_codes(
                        isa,
                        1,
                        black_box(source.bytes()),
                        &rescale,
                        None,
                        to.bytes_mut(),
                    );
                };
                let codes = ratio(|| run(&dense, a), || run(&skips, b), turns);
                println!(
                    "{inputs}-{outputs} {kernel}x{kernel}/{stride}, {size}², {name}, {:.0} %: {float:.2} ({:.2}), {codes:.2} ({:.2})",
                    100.0 * share,
                    sparse.zeros().share(),
                    skips.zeros().share(),
                );
            }
        }
    }
}
