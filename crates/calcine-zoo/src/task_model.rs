use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Int, Tensor};
use calcine_trace::{Network, TraceError, trace};

use crate::{DetectorConfig, NcfConfig, TranslatorConfig, UnknownArchitecture};

/// The networks for other tasks than sorting images into classes.
///
/// Their inputs and outputs differ in number and shape, so they are built as traced networks, with the parameters of their
/// types.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::TaskModel;
///
/// let network = "ncf".parse::<TaskModel>()?.network(0, &Device::flex())?;
/// assert_eq!(network.graph().outputs.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskModel {
    /// [`Ncf`](crate::Ncf) with 8 factors for the 6040 users and 3706 items of MovieLens-1M: 392 601 parameters.
    Ncf,
    /// [`Translator`](crate::Translator) of 1000 tokens, for sentences of 16 tokens: 426 472 parameters.
    Translator,
    /// [`Detector`](crate::Detector) of 20 classes, for images of 96x96: 270 680 trainable parameters.
    Detector,
}

impl TaskModel {
    /// All of them, in the order of the enum.
    pub const ALL: &[Self] = &[Self::Ncf, Self::Translator, Self::Detector];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ncf => "ncf",
            Self::Translator => "translator",
            Self::Detector => "detector",
        }
    }

    /// The network with initial weights drawn from `seed`.
    ///
    /// | network | inputs | outputs |
    /// |---|---|---|
    /// | `ncf` | `[n, 2]`, a user and an item | `[n, 1]`, a logit |
    /// | `translator` | `[n, 16]` and `[n, 16]`, tokens of the source and of the target | `[n, 16, 1000]`, logits |
    /// | `detector` | `[n, 3, 96, 96]`, images | `[n, 720, 21]` and `[n, 720, 4]`, scores and boxes |
    ///
    /// # Errors
    ///
    /// Those of [`trace`], none of which is known to occur.
    pub fn network(self, seed: u64, device: &Device) -> Result<Network, TraceError> {
        let indices = |length| Tensor::<2, Int>::zeros([1, length], device);
        match self {
            Self::Ncf => {
                let model = NcfConfig::new(6040, 3706).with_seed(seed).init(device);
                trace(&model, indices(2), |model, pairs| model.forward(pairs))
            }
            Self::Translator => {
                let model = TranslatorConfig::new(1000).with_seed(seed).init(device);
                trace(
                    &model,
                    (indices(16), indices(16)),
                    |model, (source, target)| model.forward(source, target),
                )
            }
            Self::Detector => {
                let model = DetectorConfig::new(20).with_seed(seed).init(device);
                let images = Tensor::<4>::zeros([1, 3, 96, 96], device);
                trace(&model, images, |model, images| model.forward(images))
            }
        }
    }
}

impl fmt::Display for TaskModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TaskModel {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|model| model.name() == name)
            .copied()
            .ok_or_else(|| UnknownArchitecture::new(name))
    }
}
