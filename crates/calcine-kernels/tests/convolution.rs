//! Convolutions in training against plain loops, on each instruction set that this CPU has.

use calcine_kernels::{Convolution, Images, Order};
use proptest::prelude::*;

use crate::{Case, Numbers, available, cases};

/// What plain loops compute, in double precision and channels first, and the sum of the magnitudes of the largest one's terms.
struct Plain {
    y: Vec<f64>,
    dx: Vec<f64>,
    dw: Vec<f64>,
    db: Vec<f64>,
    largest: [f64; 4],
}

struct Given {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

impl Given {
    fn of(case: &Case) -> Self {
        let mut numbers = Numbers(case.seed);
        let mut floats =
            |count: usize| -> Vec<f32> { (0..count).map(|_| numbers.float()).collect() };
        let area = |[height, width]: [usize; 2]| case.samples * height * width;
        Self {
            x: floats(area(case.input) * case.filters.inputs),
            w: floats(case.filters.weights()),
            b: floats(case.filters.outputs),
            dy: floats(area(case.output) * case.filters.outputs),
        }
    }
}

/// Every product of an input with a weight: the positions of the output, the input and the weight.
fn each_product(case: &Case, mut call: impl FnMut(usize, usize, usize)) {
    let filters = case.filters;
    let window = filters.window;
    let (each_in, each_out) = (
        filters.inputs / filters.groups,
        filters.outputs / filters.groups,
    );
    for sample in 0..case.samples {
        for output in 0..filters.outputs {
            for y in 0..case.output[0] * case.output[1] {
                let at_y =
                    (sample * filters.outputs + output) * case.output[0] * case.output[1] + y;
                let y = [y / case.output[1], y % case.output[1]];
                for input in 0..each_in {
                    for k in 0..window.kernel[0] * window.kernel[1] {
                        let at_w =
                            (output * each_in + input) * window.kernel[0] * window.kernel[1] + k;
                        let k = [k / window.kernel[1], k % window.kernel[1]];
                        let at = [0, 1].map(|axis| {
                            let from =
                                y[axis] * window.stride[axis] + k[axis] * window.dilation[axis];
                            let at = from.checked_sub(window.padding[axis])?;
                            (at < case.input[axis]).then_some(at)
                        });
                        if let [Some(row), Some(column)] = at {
                            let channel = output / each_out * each_in + input;
                            let image = sample * filters.inputs + channel;
                            let at_x = (image * case.input[0] + row) * case.input[1] + column;
                            call(at_y, at_x, at_w);
                        }
                    }
                }
            }
        }
    }
}

fn plain(case: &Case, given: &Given) -> Plain {
    let Given { x, w, b, dy } = given;
    let area = case.output[0] * case.output[1];
    let output = |at: usize| at / area % case.filters.outputs;
    let mut found = Plain {
        y: (0..dy.len()).map(|at| f64::from(b[output(at)])).collect(),
        dx: vec![0.0; x.len()],
        dw: vec![0.0; w.len()],
        db: vec![0.0; b.len()],
        largest: [0.0; 4],
    };
    let mut magnitudes = [dy.len(), x.len(), w.len(), b.len()].map(|length| vec![0.0_f64; length]);
    let mut sums = [&mut found.y, &mut found.dx, &mut found.dw];
    each_product(case, |at_y, at_x, at_w| {
        let [dy, x, w] = [dy[at_y], x[at_x], w[at_w]].map(f64::from);
        let terms = [(at_y, x * w), (at_x, dy * w), (at_w, dy * x)];
        for ((sums, magnitudes), (at, term)) in sums.iter_mut().zip(&mut magnitudes).zip(terms) {
            sums[at] += term;
            magnitudes[at] += term.abs();
        }
    });
    for (at, dy) in dy.iter().enumerate() {
        found.db[output(at)] += f64::from(*dy);
        magnitudes[3][output(at)] += f64::from(dy.abs());
    }
    found.largest = magnitudes.map(|all| all.into_iter().fold(1.0, f64::max));
    found
}

/// Images channels last, or as they are.
fn ordered(images: &[f32], channels: usize, area: usize, order: Order) -> Vec<f32> {
    let at = |at: usize| match order {
        Order::ChannelsFirst => at,
        Order::ChannelsLast => {
            let (image, within) = (at / (channels * area), at % (channels * area));
            (image * channels + within % channels) * area + within / channels
        }
    };
    (0..images.len()).map(|place| images[at(place)]).collect()
}

fn differs(name: &str, found: &[f32], plain: &[f64], largest: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), plain.len());
    for (at, (found, plain)) in found.iter().zip(plain).enumerate() {
        let apart = (f64::from(*found) - plain).abs();
        prop_assert!(
            apart <= 2e-6 * largest,
            "{}[{}]: {} for {}",
            name,
            at,
            found,
            plain
        );
    }
    Ok(())
}

/// The results on an instruction set: `y`, `dx`, `dw` and `db`, channels first.
fn computed(case: &Case, given: &Given, with: &Convolution, orders: [Order; 2]) -> [Vec<f32>; 4] {
    let [of_x, of_y] = orders;
    let filters = case.filters;
    let areas = [case.input, case.output].map(|[height, width]| height * width);
    let x = ordered(&given.x, filters.inputs, areas[0], of_x);
    let dy = ordered(&given.dy, filters.outputs, areas[1], of_y);
    let x = Images {
        numbers: &x,
        order: of_x,
    };
    let dy = Images {
        numbers: &dy,
        order: of_y,
    };
    let y = with.forward(x, &given.w, Some(&given.b), of_y);
    let dx = with.input_gradient(dy, &given.w, of_x);
    let dw = with.weight_gradient(x, dy);
    let db = with.bias_gradient(dy);
    // Channels last and back: rows and columns exchanged twice.
    let first = |images: Vec<f32>, channels: usize, area: usize, order: Order| match order {
        Order::ChannelsFirst => images,
        Order::ChannelsLast => ordered(&images, area, channels, order),
    };
    [
        first(y, filters.outputs, areas[1], of_y),
        first(dx, filters.inputs, areas[0], of_x),
        dw,
        db,
    ]
}

const ORDERS: [[Order; 2]; 3] = [
    [Order::ChannelsFirst, Order::ChannelsFirst],
    [Order::ChannelsLast, Order::ChannelsLast],
    [Order::ChannelsFirst, Order::ChannelsLast],
];

proptest! {
    #[test]
    fn a_convolution_and_its_gradients_are_those_of_plain_loops(
        mut case in cases(),
        samples in 1..20_usize,
        more in 0..3_usize,
    ) {
        // Windows that hang over the far edge, or positions that no window reads.
        case.output = case.output.map(|length| (length + more).saturating_sub(1).max(1));
        case.samples = if case.filters.inputs * case.filters.outputs < 100 { samples } else { case.samples };
        let given = Given::of(&case);
        let plain = plain(&case, &given);
        for isa in available() {
            let with = Convolution::new(isa, case.filters, case.input, case.output);
            for orders in ORDERS {
                let [y, dx, dw, db] = computed(&case, &given, &with, orders);
                let [of_y, of_x, of_w, of_b] = plain.largest;
                differs("y", &y, &plain.y, of_y)?;
                differs("dx", &dx, &plain.dx, of_x)?;
                differs("dw", &dw, &plain.dw, of_w)?;
                differs("db", &db, &plain.db, of_b)?;
            }
        }
    }

    #[test]
    fn neither_threads_nor_the_order_of_numbers_change_a_bit(case in cases()) {
        let case = Case { samples: 19, ..case };
        let given = Given::of(&case);
        let with = Convolution::new(calcine_kernels::Isa::best(), case.filters, case.input, case.output);
        let on = |threads: usize, orders| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads").install(|| computed(&case, &given, &with, orders))
        };
        let [y, dx, dw, _] = on(1, ORDERS[0]);
        for (threads, orders) in [(3, ORDERS[0]), (2, ORDERS[1])] {
            let [other_y, other_dx, other_dw, _] = on(threads, orders);
            prop_assert_eq!(&y, &other_y);
            prop_assert_eq!(&dx, &other_dx);
            prop_assert_eq!(&dw, &other_dw);
        }
    }
}
