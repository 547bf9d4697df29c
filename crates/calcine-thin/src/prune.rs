use calcine_criteria::{Needs, Score};
use calcine_trace::Network;

use crate::choose::ChannelSelection;
use crate::error::ThinError;
use crate::options::PaddingEffect;
use crate::thin::{Thinned, thin};
use crate::zero_out::zero_out_channels;

/// Removes the weakest channels of a network: a share of each dependency group.
///
/// The criterion scores each channel by the weights of all layers that produce it. The sum of these scores decides, as
/// for [`ChannelSelection::new`]; among equal channels, those with the lowest indices are removed first, and at least
/// one channel of each group remains. The selected channels are zeroed out with their biases, scales and shifts, and
/// then removed from every layer, so the thinned network computes exactly what the network computes with these channels
/// at zero. `level` is the share of channels to remove, in `[0, 1]`, rounded down to whole channels in each group. All
/// parameters are read from the device.
///
/// For other choices (which groups, multiples of 8, padded borders) use [`ChannelSelection`], [`zero_out_channels`] and [`thin`].
///
/// # Errors
///
/// If the level is not in `[0, 1]`, if the criterion needs more than weights (gradients or activations), or if the
/// graph of the network cannot be analysed.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::module::Module;
/// use burn::tensor::{Device, Tensor, activation::relu};
/// use calcine_criteria::Norm;
/// use calcine_thin::prune_channels;
/// use calcine_trace::trace;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// #[derive(Module, Debug)]
/// struct Mlp {
///     hidden: Linear,
///     head: Linear,
/// }
///
/// let device = Device::flex();
/// let model = Mlp {
///     hidden: LinearConfig::new(8, 16).init(&device),
///     head: LinearConfig::new(16, 4).init(&device),
/// };
/// let sample = Tensor::<2>::zeros([1, 8], &device);
/// let network = trace(&model, sample, |m, x| m.head.forward(relu(m.hidden.forward(x))))?;
///
/// let thinned = prune_channels(network, &Norm::L1, 0.5)?;
/// assert_eq!(thinned.network.num_params(), 8 * 8 + 8 + 8 * 4 + 4);
/// # Ok(())
/// # }
/// ```
pub fn prune_channels(
    network: Network,
    criterion: &dyn Score,
    level: f64,
) -> Result<Thinned, ThinError> {
    if !(0.0..=1.0).contains(&level) {
        return Err(ThinError::Level { level });
    }
    if criterion.needs() != Needs::Weight {
        return Err(ThinError::Criterion {
            needs: criterion.needs(),
        });
    }
    let axes = network.graph().axes()?;
    let weakest = ChannelSelection::new(level).units(&network, &axes, criterion, |_| true);
    thin(
        zero_out_channels(network, &axes, weakest)?,
        PaddingEffect::KeepBorder,
    )
}
