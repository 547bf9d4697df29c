//! Checks whether a network receives images normalized as during its training, by the running statistics of its first
//! batch norm.

use burn::tensor::Tensor;
use calcine::graph::{Node, Op};
use calcine::trace::{AnyTensor, Network};

use calcine::data::Normalization;

/// The number of colour channels of an image.
const CHANNELS: usize = 3;

/// The largest divergence, in nats per channel, between the running statistics and those of the images that causes no
/// warning.
///
/// With the normalization of training, the divergence is a few hundredths at most, including augmentation and momentum.
/// With twice the scale, it is at least 0.3.
const FAR: f64 = 0.15;

/// Warns if the network seems to have been trained on images with another normalization.
pub(crate) fn check(
    network: &Network,
    used: Normalization,
    images: impl FnOnce() -> Option<Tensor<4>>,
) {
    if let Some((other, what)) = trained_with(network, used, images) {
        tracing::warn!(
            "the network has been trained on other images: by its first batch norm, with mean {:?} and std {:?} \
             ({what}); here it sees them with mean {:?} and std {:?}: set --mean and --std, or `mean` and `std` in \
             `[data]`",
            other.mean,
            other.std,
            used.mean,
            used.std,
        );
    }
}

/// The normalization, among the [common ones](Normalization::KNOWN), with which the network was probably trained
/// instead of `used`, with the divergence. The result is `None` if the images match the running statistics, or if there
/// are none to compare with.
///
/// A batch norm behind the first convolution stores the running mean and variance of each channel. They are compared
/// with those of the given images as two normal distributions for each channel: the mean of their Kullback–Leibler
/// divergences, `½ · (v/r + (m − μ)²/r − 1 − ln(v/r))`, with the running mean `μ` and the running variance `r`.
fn trained_with(
    network: &Network,
    used: Normalization,
    images: impl FnOnce() -> Option<Tensor<4>>,
) -> Option<(Normalization, &'static str)> {
    let norm = first_norm(network)?;
    let pixels = images().filter(|images| images.dims()[1] == CHANNELS)?;
    let distance = |normalization: Normalization| {
        let seen = normalized(&pixels, used, normalization);
        let distance = distance(network, norm, seen)?;
        distance.is_finite().then_some(distance)
    };
    let now = distance(used)?;
    if now < FAR {
        return None;
    }
    let others = Normalization::KNOWN
        .into_iter()
        .filter(|(known, _)| *known != used);
    let (best, (known, what)) = others
        .filter_map(|other| Some((distance(other.0)?, other)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best < FAR && best < now / 2.0).then_some((known, what))
}

/// The batch norm that normalizes the output of the first convolution of the images.
fn first_norm(network: &Network) -> Option<&Node> {
    let graph = network.graph();
    let input = *graph.inputs.first()?;
    let convolution = graph.nodes.iter().find(|node| {
        matches!(node.op, Op::Convolution(_)) && node.inputs.first() == Some(&input)
    })?;
    graph.nodes.iter().find(|node| {
        matches!(node.op, Op::BatchNorm { .. }) && node.inputs.first() == Some(&convolution.output)
    })
}

/// Converts images from one normalization to another.
fn normalized(images: &Tensor<4>, from: Normalization, to: Normalization) -> Tensor<4> {
    let device = images.device();
    let vector = |values: [f32; CHANNELS]| {
        Tensor::<1>::from_floats(values, &device).reshape([1, CHANNELS, 1, 1])
    };
    (images.clone() * vector(from.std) + vector(from.mean) - vector(to.mean)) / vector(to.std)
}

/// The divergence between the running statistics and those of the norm's input.
fn distance(network: &Network, norm: &Node, images: Tensor<4>) -> Option<f64> {
    let fed = norm.inputs[0];
    let mut found = None;
    network
        .run(vec![AnyTensor::from(images)], &mut |node, tensor| {
            if node.output == fed {
                found = Some(tensor.clone());
            }
            tensor
        })
        .ok()?;
    // Channels by positions.
    let rows = found?.rows(1)?;
    let means = rows.clone().mean_dim(1);
    let variances = (rows - means.clone()).square().mean_dim(1);
    let read = |tensor: AnyTensor| -> Option<Vec<f64>> {
        Some(tensor.flat()?.into_data().iter::<f64>().collect())
    };
    let seen = [means, variances].map(|tensor| read(AnyTensor::from(tensor)));
    let [Some(means), Some(variances)] = seen else {
        return None;
    };
    let remembered = [norm.inputs[3], norm.inputs[4]].map(|id| read(network.tensor(id)?));
    let [Some(running_means), Some(running_variances)] = remembered else {
        return None;
    };
    let channels = means
        .iter()
        .zip(&variances)
        .zip(running_means.iter().zip(&running_variances));
    // Constant channels are ignored.
    let told: Vec<f64> = channels
        .filter(|((_, v), (_, r))| **v > 1e-12 && **r > 1e-12)
        .map(|((m, v), (mean, r))| 0.5 * (v / r + (m - mean).powi(2) / r - 1.0 - (v / r).ln()))
        .collect();
    (!told.is_empty()).then(|| told.iter().sum::<f64>() / told.len() as f64)
}
