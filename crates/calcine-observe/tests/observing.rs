//! Statistics against slow oracles, over batches of unequal size.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::Tensor;
use calcine_observe::{
    Activation, Extrema, Histogram, Moments, Norms, ObserveError, Per, Places, SampleCounts,
    Statistic, Zeros, histograms, observe,
};
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use calcine_testkit::networks::{Mixed, Residual, Text};
use calcine_testkit::numbers;

/// A network that is one relu.
fn relu<const D: usize>(sample: Tensor<D>) -> Network {
    trace(&Relu::new(), sample, |m, x| m.forward(x)).unwrap()
}

/// Batches of 3, 1 and 4 samples of `[2, 3, 2]`, different ones, with zeros after a relu.
fn batches() -> Vec<Tensor<4>> {
    let all = numbers([8, 2, 3, 2]);
    let part = |from: usize, to: usize| all.clone().slice_dim(0, from..to) * (from as f64 + 1.0);
    vec![part(0, 3), part(3, 4), part(4, 8)]
}

/// All values of each channel and sample after the relu: `[channel][sample][position]`.
fn values() -> Vec<Vec<Vec<f64>>> {
    let mut channels = vec![Vec::new(), Vec::new()];
    for batch in batches() {
        let [samples, ..] = batch.dims();
        let flat: Vec<f64> = batch.into_data().iter::<f64>().collect();
        for sample in 0..samples {
            for (channel, all) in channels.iter_mut().enumerate() {
                let from = (sample * 2 + channel) * 6;
                all.push(flat[from..from + 6].iter().map(|x| x.max(0.0)).collect());
            }
        }
    }
    channels
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let tolerance = 1e-5 * expected.abs() + 1e-7;
        assert!(
            (found - expected).abs() <= tolerance,
            "{found} and {expected}"
        );
    }
}

#[test]
fn every_statistic_agrees_with_its_formula_in_one_pass() {
    let network = relu(numbers([1, 2, 3, 2]));
    let histogram = Histogram::between(0.0, 2.0, 5);
    let all = (Zeros, Moments, Extrema, Norms, histogram);
    let observed = observe(&network, batches(), &Places::activations(), &all).unwrap();
    let (zeros, moments, extrema, norms, bins) = observed.get("relu").unwrap();

    let channels = values();
    let each = |of: &dyn Fn(&[Vec<f64>]) -> f64| -> Vec<f64> {
        channels.iter().map(|samples| of(samples)).collect()
    };
    let flat = |samples: &[Vec<f64>]| samples.concat();
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let share = |samples: &[Vec<f64>]| {
        let zero: Vec<f64> = flat(samples).iter().map(|x| f64::from(*x == 0.0)).collect();
        mean(&zero)
    };
    assert_eq!(zeros.apoz(), each(&share));
    assert_eq!(zeros.sparsity(), mean(&each(&share)));

    let variance = |x: &[f64]| mean(&x.iter().map(|v| (v - mean(x)).powi(2)).collect::<Vec<_>>());
    assert_close(&moments.mean, &each(&|samples| mean(&flat(samples))));
    assert_close(
        &moments.variance,
        &each(&|samples| variance(&flat(samples))),
    );
    let whole = channels.concat().concat();
    assert_close(&[moments.layer_mean()], &[mean(&whole)]);
    assert_close(&[moments.layer_std()], &[variance(&whole).sqrt()]);

    let extreme = |pick: fn(f64, f64) -> f64| {
        each(&|samples| flat(samples).into_iter().reduce(pick).unwrap())
    };
    assert_eq!(extrema.min, extreme(f64::min));
    assert_eq!(extrema.max, extreme(f64::max));

    let l1 = |x: &Vec<f64>| x.iter().map(|v| v.abs()).sum::<f64>();
    let l2 = |x: &Vec<f64>| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let from_samples = |norm: &dyn Fn(&Vec<f64>) -> f64| {
        each(&|samples| mean(&samples.iter().map(norm).collect::<Vec<_>>()))
    };
    assert_close(&norms.l1, &from_samples(&l1));
    assert_close(&norms.l2, &from_samples(&l2));
    assert_close(&norms.total_l2, &each(&|samples| l2(&flat(samples))));

    let in_bin = |bin: usize| {
        let (low, high) = (0.4 * bin as f64, 0.4 * (bin + 1) as f64);
        let inside = |x: &&f64| **x >= low && (**x < high || (bin == 4 && **x <= 2.0));
        whole.iter().filter(inside).count() as u64
    };
    assert_eq!(bins.counts, (0..5).map(in_bin).collect::<Vec<_>>());
    assert_eq!(bins.below, 0);
    assert_eq!(
        bins.above,
        whole.iter().filter(|x| **x > 2.0).count() as u64
    );
    assert!(bins.above > 0);
}

#[test]
fn what_was_seen_is_counted() {
    let observed = observe(
        &relu(numbers([1, 2, 3, 2])),
        batches(),
        &Places::all(),
        &Zeros,
    )
    .unwrap();
    let node = observed.iter().next().unwrap();
    assert_eq!((observed.len(), node.name.as_str()), (1, "relu"));
    assert_eq!(
        node.counts,
        SampleCounts {
            samples: 8,
            positions: 48
        }
    );
}

/// The difference of two sums of squares would have no digit left.
#[test]
fn a_mean_far_from_zero_leaves_the_variance_its_digits() {
    let network = relu(numbers([1, 2]));
    let batches = (0..20).map(|batch| {
        let offset = if batch % 2 == 0 { 4096.0 } else { 4098.0 };
        Tensor::<2>::from_floats([[offset - 1.0, 0.0], [offset + 1.0, 1.0]], &device())
    });
    let observed = observe(&network, batches, &Places::all(), &Moments).unwrap();
    let moments = observed.get("relu").unwrap();
    assert_close(&moments.mean, &[4097.0, 0.5]);
    let [far, near] = moments.variance[..] else {
        panic!("two channels");
    };
    assert!((far - 2.0).abs() < 1e-3, "{far}");
    assert_close(&[near], &[0.25]);
}

#[test]
fn counts_beyond_what_a_float_can_count_are_exact() {
    let network = relu(numbers([1, 1, 1024]));
    let zeros = Tensor::<3>::zeros([4096, 1, 1024], &device());
    let odd = Tensor::<3>::zeros([1, 1, 1024], &device());
    let batches = (0..9).map(|batch| {
        if batch < 8 {
            zeros.clone()
        } else {
            odd.clone()
        }
    });
    let observed = observe(
        &network,
        batches,
        &Places::all(),
        &(Zeros, Histogram::between(0.0, 1.0, 2)),
    );
    let (zeros, bins) = &observed.unwrap().into_iter().next().unwrap().value;
    assert_eq!(zeros.zeros, [8 * 4096 * 1024 + 1024]);
    assert_eq!(bins.counts, [8 * 4096 * 1024 + 1024, 0]);
}

/// One batch has more values of a channel than `f32` has whole numbers.
#[test]
fn one_batch_beyond_what_a_float_can_count_is_counted_exactly() {
    let (samples, positions) = (129, 131_073);
    let network = relu(numbers([1, 1, positions]));
    let batch = Tensor::<3>::zeros([samples, 1, positions], &device());
    let statistics = (Zeros, Histogram::between(0.0, 1.0, 2));
    let observed = observe(&network, vec![batch], &Places::all(), &statistics);
    let (zeros, bins) = &observed.unwrap().into_iter().next().unwrap().value;
    let count = (samples * positions) as u64;
    assert_eq!((&zeros.zeros[..], zeros.sparsity()), (&[count][..], 1.0));
    assert_eq!(bins.counts, [count, 0]);
}

#[test]
fn a_histogram_spans_what_is_there_and_gives_percentiles_within_a_bin() {
    let network = relu(numbers([1, 2, 3, 2]));
    let observed = histograms(&network, batches, &Places::activations(), 64).unwrap();
    let bins = observed.get("relu").unwrap();
    let mut all = values().concat().concat();
    all.sort_by(f64::total_cmp);
    assert_eq!((bins.below, bins.above), (0, 0));
    assert_eq!(bins.counts.iter().sum::<u64>(), all.len() as u64);
    assert!((bins.high - all[all.len() - 1]).abs() < 1e-6);
    for percent in [0.0, 0.25, 0.5, 0.8, 0.9, 0.99, 1.0] {
        let rank = (percent * all.len() as f64).ceil() as usize;
        let exact = all[rank.saturating_sub(1)];
        let found = bins.percentile(percent);
        assert!(
            (found - exact).abs() <= bins.width() + 1e-6,
            "{percent}: {found} and {exact}"
        );
    }
}

#[test]
fn a_constant_has_a_histogram() {
    let network = relu(numbers([1, 2]));
    let batch = || [Tensor::<2>::ones([3, 2], &device()) * 2.0];
    let observed = histograms(&network, batch, &Places::all(), 4).unwrap();
    let bins = observed.get("relu").unwrap();
    assert_eq!((bins.low, &bins.counts), (2.0, &vec![6, 0, 0, 0]));
}

#[test]
fn by_default_results_of_activation_functions_are_observed() {
    let names = |network: &Network, input: Vec<calcine_trace::AnyTensor>| -> Vec<String> {
        let observed = observe(network, [input], &Places::activations(), &Zeros).unwrap();
        observed.into_iter().map(|node| node.name).collect()
    };
    let device = device();
    let residual = trace(&Residual::new(&device), numbers([1, 3, 6, 6]), |m, x| {
        m.forward(x)
    });
    let expected = [
        "bn1.relu",
        "layer1.0.bn1.relu",
        "layer1.0.bn2.relu",
        "layer1.1.bn1.relu",
        "layer1.1.bn2.relu",
    ];
    let input = vec![numbers([2, 3, 6, 6]).into()];
    assert_eq!(names(&residual.unwrap(), input), expected);
    // Of `hard_sigmoid(x) * x` the product, of gates by other values the sigmoid.
    let mixed = trace(&Mixed::new(&device), numbers([1, 2, 8, 8]), |m, x| {
        m.forward(x)
    });
    let input = vec![numbers([2, 2, 8, 8]).into()];
    let found = names(&mixed.unwrap(), input);
    assert_eq!(found, ["stem.mul", "squeeze.relu", "excite.sigmoid"]);
}

#[test]
fn channels_are_the_last_axis_after_linear_layers() {
    let tokens = Tensor::<2, burn::tensor::Int>::zeros([1, Text::LENGTH], &device());
    let network = trace(&Text::new(&device()), tokens.clone(), |m, x| m.forward(x)).unwrap();
    let observed = observe(
        &network,
        [tokens],
        &Places::matching(["qkv", "out", "norm"]),
        &Moments,
    );
    let observed = observed.unwrap();
    let channels: Vec<_> = observed.iter().map(|node| node.value.mean.len()).collect();
    assert_eq!(channels, [8, 24, 3]);
}

/// In training batch norms take the batch's statistics and change their own.
#[test]
fn evaluation_changes_nothing_and_training_updates_the_running_statistics() {
    let device = device().autodiff();
    let model = Residual::new(&device);
    let sample = numbers([1, 3, 6, 6]).to_device(&device);
    let network = trace(&model, sample, |m, x| m.forward(x)).unwrap();
    let batch = || numbers([4, 3, 6, 6]);
    let evaluated = || {
        let observed = observe(
            &network.valid(),
            [batch()],
            &Places::matching(["bn1"]),
            &Moments,
        );
        observed.unwrap().get("bn1").unwrap().mean.clone()
    };
    let before = evaluated();
    assert_eq!(evaluated(), before);
    let trained = observe(
        &network,
        [batch().to_device(&device)],
        &Places::matching(["bn1"]),
        &Moments,
    )
    .unwrap();
    for mean in &trained.get("bn1").unwrap().mean {
        assert!(mean.abs() < 1e-5, "{mean}");
    }
    assert_ne!(evaluated(), before);
}

struct Last;

impl Statistic for Last {
    type Value = Vec<f64>;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let count = batch.values.shape().num_elements();
        vec![batch.values.clone().reshape([count])]
    }

    fn merge(
        &self,
        _: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        one.0
    }

    fn value(&self, vectors: &[Vec<f64>], _: SampleCounts) -> Vec<f64> {
        vectors[0].clone()
    }
}

#[test]
fn a_statistic_of_ones_own_decides_how_batches_are_joined() {
    let network = relu(numbers([1, 1]));
    let batch = |x: f32| Tensor::<2>::from_floats([[x]], &device());
    let list: Vec<Box<dyn Statistic<Value = Vec<f64>>>> = vec![Box::new(Last)];
    let observed = observe(&network, [batch(1.0), batch(2.0)], &Places::all(), &list[0]);
    assert_eq!(observed.unwrap().get("relu"), Some(&vec![2.0]));
}

#[test]
fn tables_have_a_row_for_each_layer_channel_or_bin() {
    let network = relu(numbers([1, 2]));
    let batch = [Tensor::<2>::from_floats(
        [[0.0, 1.0], [3.0, 1.0]],
        &device(),
    )];
    let statistics = (Zeros, Extrema, Histogram::between(0.0, 4.0, 2));
    let observed = observe(&network, batch, &Places::all(), &statistics).unwrap();
    assert_eq!(
        observed.csv(Per::Layer),
        "layer,sparsity,min,max\nrelu,0.25,0,3\n"
    );
    let channels = "layer,channel,apoz,min,max\nrelu,0,0.5,0,3\nrelu,1,0,1,1\n";
    assert_eq!(observed.csv(Per::Channel), channels);
    let bins = "layer,bin,low,high,count\nrelu,0,0,2,3\nrelu,1,2,4,1\n";
    assert_eq!(observed.csv(Per::Bin), bins);
}

#[test]
fn what_cannot_be_observed_is_an_error_with_the_nearest_names() {
    let network = trace(&Residual::new(&device()), numbers([1, 3, 6, 6]), |m, x| {
        m.forward(x)
    });
    let network = network.unwrap();
    let batch = || [numbers([2, 3, 6, 6])];
    let error = observe(
        &network,
        batch(),
        &Places::matching(["layer1.0.bn1.rleu"]),
        &Zeros,
    );
    let error = error.unwrap_err().to_string();
    let expected =
        "`layer1.0.bn1.rleu` matches no node with a float result; nearest: layer1.0.bn1.relu";
    assert!(error.starts_with(expected), "{error}");
    let error = observe(&network, batch(), &Places::matching(["a[b"]), &Zeros).unwrap_err();
    assert!(matches!(error, ObserveError::Pattern { .. }), "{error}");
    let none: [Tensor<4>; 0] = [];
    let error = observe(&network, none, &Places::all(), &Zeros).unwrap_err();
    assert_eq!(error, ObserveError::NoBatch);
    let error = observe(&network, [numbers([2, 1, 6, 6])], &Places::all(), &Zeros).unwrap_err();
    assert!(matches!(error, ObserveError::Forward(_)), "{error}");
    let error = observe(&network, [numbers([2, 3])], &Places::all(), &Zeros).unwrap_err();
    assert!(matches!(error, ObserveError::Forward(_)), "{error}");
}
