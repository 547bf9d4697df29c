//! Whether a network sees images as it did in training, by what its first batch norm remembers of them.

use burn::tensor::Tensor;
use calcine::graph::{Node, Op};
use calcine::trace::{AnyTensor, Network};

use calcine::data::Normalization;

/// Colours of an image.
const CHANNELS: usize = 3;

/// How far, in nats of a channel, what the norm remembers may be from what it sees before anything is said.
///
/// Statistics of the same images under the normalisation of training are within a few hundredths, augmentation and
/// momentum included; twice the scale is 0.3 at the least.
const FAR: f64 = 0.15;

/// Warns if the network seems to have been trained on images of another normalisation.
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

/// The normalisation, of those that are [in use](Normalization::KNOWN), with which the network was trained rather than with
/// `used`, with what it is; `None` if it sees what it has seen before, or if nothing tells.
///
/// A batch norm that follows the first convolution remembers the mean and the variance of each channel in training.
/// They are compared with those of the given images, as two normal distributions of each channel: the mean of their
/// Kullback–Leibler divergences, `½ · (v/r + (m − μ)²/r − 1 − ln(v/r))` with the remembered mean `μ` and variance `r`.
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

/// The batch norm of what the first convolution makes of the images.
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

/// Images of one normalisation in another.
fn normalized(images: &Tensor<4>, from: Normalization, to: Normalization) -> Tensor<4> {
    let device = images.device();
    let vector = |values: [f32; CHANNELS]| {
        Tensor::<1>::from_floats(values, &device).reshape([1, CHANNELS, 1, 1])
    };
    (images.clone() * vector(from.std) + vector(from.mean) - vector(to.mean)) / vector(to.std)
}

/// How far what the norm remembers is from what it is fed.
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
    // Channels that are constant say nothing.
    let told: Vec<f64> = channels
        .filter(|((_, v), (_, r))| **v > 1e-12 && **r > 1e-12)
        .map(|((m, v), (mean, r))| 0.5 * (v / r + (m - mean).powi(2) / r - 1.0 - (v / r).ln()))
        .collect();
    (!told.is_empty()).then(|| told.iter().sum::<f64>() / told.len() as f64)
}
