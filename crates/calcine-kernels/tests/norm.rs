//! Batch norms in training against their formula in double precision, on each instruction set that this CPU has.

use calcine_kernels::{BatchNorm, Isa, Statistics};
use proptest::prelude::*;

use crate::{Numbers, available};

#[derive(Debug, Clone)]
struct Case {
    samples: usize,
    channels: usize,
    area: usize,
    ends: Option<[f32; 2]>,
    adds: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..20_usize, 1..9_usize, 1..70_usize);
    let ends = prop_oneof![
        Just(None),
        Just(Some([0.0, f32::INFINITY])),
        Just(Some([0.0, 1.5])),
        Just(Some([-1.0, 0.5])),
    ];
    (sizes, ends, any::<bool>(), any::<u64>()).prop_map(|(sizes, ends, adds, seed)| Case {
        samples: sizes.0,
        channels: sizes.1,
        area: sizes.2,
        ends,
        adds,
        seed,
    })
}

struct Given {
    x: Vec<f32>,
    other: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Given {
    fn of(case: &Case) -> Self {
        let mut numbers = Numbers(case.seed);
        let mut floats = |count| -> Vec<f32> { (0..count).map(|_| numbers.float()).collect() };
        let count = case.samples * case.channels * case.area;
        Self {
            x: floats(count),
            other: floats(count),
            dy: floats(count),
            gamma: floats(case.channels),
            beta: floats(case.channels),
        }
    }
}

const EPSILON: f32 = 1e-3;

#[derive(Debug, Clone, PartialEq)]
struct Computed {
    statistics: Statistics,
    y: Vec<f32>,
    dx: Vec<f32>,
    /// What was added has the gradient of `y`, where the rectifier lets it through.
    dother: Vec<f32>,
    gradients: [Vec<f32>; 2],
}

fn computed(case: &Case, given: &Given, isa: Isa) -> Computed {
    let norm = BatchNorm {
        isa,
        channels: case.channels,
        area: case.area,
        epsilon: EPSILON,
        ends: case.ends,
    };
    let other = case.adds.then_some(&given.other[..]);
    let (y, statistics) = norm.forward(&given.x, [&given.gamma, &given.beta], other);
    let backward =
        |dy: &mut [f32], adds| norm.backward(&given.x, &y, &statistics, &given.gamma, dy, adds);
    let mut dy = given.dy.clone();
    let (gradients, dx) = backward(&mut dy, true);
    let dx = dx.expect("a vector of its own");
    let mut in_place = given.dy.clone();
    assert_eq!(backward(&mut in_place, false), (gradients.clone(), None));
    assert_eq!(dx, in_place);
    Computed {
        statistics,
        y,
        dx,
        dother: dy,
        gradients,
    }
}

fn near(what: &str, found: &[f32], plain: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), plain.len());
    let largest = plain
        .iter()
        .fold(1.0_f64, |largest, plain| largest.max(plain.abs()));
    for (found, plain) in found.iter().zip(plain) {
        let apart = (f64::from(*found) - plain).abs();
        prop_assert!(apart <= 1e-5 * largest, "{}: {} for {}", what, found, plain);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_norm_and_its_gradients_are_those_of_the_formula(case in cases()) {
        let given = Given::of(&case);
        let found = computed(&case, &given, Isa::best());
        let wide = |numbers: &[f32]| -> Vec<f64> { numbers.iter().copied().map(f64::from).collect() };
        let (x, gamma, beta) = (wide(&given.x), wide(&given.gamma), wide(&given.beta));
        let channel = |at: usize| at / case.area % case.channels;
        let of_channel = |own: usize| (0..x.len()).filter(move |at| channel(*at) == own);
        let count = (case.samples * case.area) as f64;
        let all = 0..case.channels;
        let mean: Vec<f64> = all.clone()
            .map(|own| of_channel(own).map(|at| x[at]).sum::<f64>() / count)
            .collect();
        let variance: Vec<f64> = all.clone()
            .map(|own| of_channel(own).map(|at| (x[at] - mean[own]).powi(2)).sum::<f64>() / count)
            .collect();
        near("mean", &found.statistics.mean, &mean)?;
        near("variance", &found.statistics.variance, &variance)?;
        let scale = |own: usize| 1.0 / (variance[own] + f64::from(EPSILON)).sqrt();
        let normal: Vec<f64> = (0..x.len())
            .map(|at| (x[at] - mean[channel(at)]) * scale(channel(at)))
            .collect();
        let y: Vec<f64> = (0..x.len())
            .map(|at| {
                let other = if case.adds { f64::from(given.other[at]) } else { 0.0 };
                let y = normal[at] * gamma[channel(at)] + beta[channel(at)] + other;
                match case.ends {
                    Some(ends) => y.clamp(ends[0].into(), ends[1].into()),
                    None => y,
                }
            })
            .collect();
        near("y", &found.y, &y)?;
        // By what was computed: rounding may decide on which side of a bound a result is.
        let passes = |at: usize| {
            let y = found.y[at];
            case.ends.is_none_or(|[low, high]| y > low && y < high)
        };
        let dy: Vec<f64> = (0..x.len())
            .map(|at| if passes(at) { f64::from(given.dy[at]) } else { 0.0 })
            .collect();
        let sums = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            all.clone().map(|own| of_channel(own).map(of).sum()).collect()
        };
        let (dbeta, dgamma) = (sums(&|at| dy[at]), sums(&|at| dy[at] * normal[at]));
        let dx: Vec<f64> = (0..x.len())
            .map(|at| {
                let own = channel(at);
                let rest = dy[at] - dbeta[own] / count - normal[at] * dgamma[own] / count;
                gamma[own] * scale(own) * rest
            })
            .collect();
        near("dother", &found.dother, &dy)?;
        near("dgamma", &found.gradients[0], &dgamma)?;
        near("dbeta", &found.gradients[1], &dbeta)?;
        near("dx", &found.dx, &dx)?;
    }

    #[test]
    fn neither_the_instruction_set_nor_threads_change_a_bit_of_a_norm(case in cases()) {
        let given = Given::of(&case);
        let expected = computed(&case, &given, Isa::Portable);
        for isa in available() {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let found = pool.expect("threads").install(|| computed(&case, &given, isa));
                prop_assert_eq!(&found, &expected, "{} on {} threads", isa, threads);
            }
        }
    }
}
