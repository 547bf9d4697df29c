//! Times a convolution of 64 channels, 3 × 3, on each instruction set of this CPU, in integers and in floats.

use std::time::Instant;

use calcine_kernels::{Buffer, CodeLayer, Filters, FloatLayer, Isa, Plane, Rescale, Window};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let [channels, size] = <[usize; 2]>::try_from(arguments).unwrap_or([64, 16]);
    let window = Window {
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [1; 2],
    };
    let filters = Filters {
        inputs: channels,
        outputs: channels,
        groups: 1,
        window,
    };
    let border = window.border([size; 2], [size; 2]);
    let macs = (filters.weights() * size * size) as f64;
    let time = |run: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..300)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        macs / times[times.len() / 2] / 1e9
    };
    println!("{channels} channels, {size} × {size}, 3 × 3, billions of products a second");
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let plane = Plane::of_codes(size, size, channels);
        let x = plane.with_border(border);
        let weights = vec![3; filters.weights()];
        let layer = CodeLayer::new(&weights, &vec![0; channels], 7, filters, x, plane);
        let rescale = Rescale::new(&vec![0.001; channels], [0.0, 255.0], 0);
        let (input, mut output) = (
            Buffer::zeros(x.sample_len()),
            Buffer::zeros(plane.sample_len()),
        );
        let codes = time(&mut || {
            layer.run_codes(isa, 1, input.bytes(), &rescale, None, output.bytes_mut());
        });
        let plane = Plane::new(size, size, channels);
        let x = plane.with_border(border);
        let weights = vec![0.3; filters.weights()];
        let layer = FloatLayer::new(&weights, &vec![0.0; channels], filters, x, plane);
        let (input, mut output) = (
            Buffer::zeros(4 * x.sample_len()),
            Buffer::zeros(4 * plane.sample_len()),
        );
        let floats = time(&mut || {
            layer.run(
                isa,
                1,
                input.floats(),
                [0.0, f32::INFINITY],
                None,
                output.floats_mut(),
            );
        });
        println!("{isa:<13} {codes:8.1} in 8-bit integers {floats:8.1} in floats");
    }
}
