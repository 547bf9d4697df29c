use burn::module::ParamId;
use calcine_fold::{Fold, Granularity, Layout};

use crate::error::UnitError;
use crate::groups::Groups;

/// What a parameter is for, judged by its layer's type and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A weight: of a convolution, a linear layer, an embedding, or any tensor of rank 2 or more.
    Weight,
    /// A bias or another vector.
    Bias,
    /// A normalisation's scale: Burn's `gamma`, PyTorch's `weight`.
    NormScale,
    /// A normalisation's shift: Burn's `beta`, PyTorch's `bias`.
    NormShift,
    /// A running mean or variance: visited as a parameter, but never trained or selected.
    RunningStatistic,
}

/// One float parameter of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// Burn's dotted path: `layer1.0.conv1.weight`. Of a parameter that is used several times, the first one.
    pub path: String,
    /// The other paths of a parameter that is used several times (a tied weight); they name it as well.
    pub aliases: Vec<String>,
    /// The type of the layer that owns it: `Conv2d`.
    pub layer: String,
    /// The key of its gradient and optimizer state.
    pub id: ParamId,
    /// Its shape as stored.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// The groups of the convolution whose weight it is; 1 for anything else. What
    /// [`Fold::grouped`](calcine_fold::Fold::grouped) needs.
    ///
    /// Burn tells nobody. The derived `Debug` text of its layers proves the number; those of a convolution
    /// in a module with a `Debug` of its own are [unknown](Groups::Unknown), unless the graph of the traced model
    /// tells them ([`Inventory::tell_groups`]).
    pub groups: Groups,
}

impl Parameter {
    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the optimizer may change it: everything but running statistics.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        self.role != Role::RunningStatistic
    }

    /// Which stored axis is the output; `None` for a type that this crate does not know.
    ///
    /// This is the one place that knows how each of Burn's layers stores its weight.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        match self.layer.as_str() {
            "Conv1d" | "Conv2d" | "Conv3d" | "DeformConv2d" => Some(Layout::CONVOLUTION),
            "ConvTranspose1d" | "ConvTranspose2d" | "ConvTranspose3d" => {
                Some(Layout::TRANSPOSED_CONVOLUTION)
            }
            "Linear" => Some(Layout::LINEAR),
            "Embedding" => Some(Layout::InputFirst),
            _ => None,
        }
    }

    /// The stored axis along which the layer's outputs lie: of a transposed convolution those of one group;
    /// `None` for what is no weight or of unknown [`layout`](Self::layout).
    #[must_use]
    pub fn output_axis(&self) -> Option<usize> {
        let axis = match self.layout()? {
            Layout::OutputFirst => 0,
            Layout::InputFirst => 1,
        };
        (self.shape.len() > 1).then_some(axis)
    }

    /// The parameter of a convolution whose groups the inventory could not find out.
    #[must_use]
    pub fn with_groups(self, groups: usize) -> Self {
        let groups = Groups::Known(groups);
        Self { groups, ..self }
    }

    /// Its [path](Self::path), then its [aliases](Self::aliases).
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(String::as_str);
        std::iter::once(self.path.as_str()).chain(aliases)
    }

    /// Whether this is one of its paths.
    #[must_use]
    pub fn is_called(&self, path: &str) -> bool {
        self.paths().any(|own| own == path)
    }

    /// The outputs of the layer that owns this weight: features, or the channels of all groups.
    ///
    /// `None` for what is no weight or of unknown [`layout`](Self::layout), and for a transposed convolution of
    /// unknown groups.
    #[must_use]
    pub fn outputs(&self) -> Option<usize> {
        self.sides()[0]
    }

    /// The inputs of the layer that owns this weight: features, the channels of all groups, or the
    /// entries of an embedding.
    ///
    /// `None` for what is no weight or of unknown [`layout`](Self::layout), and for a convolution of unknown
    /// groups.
    #[must_use]
    pub fn inputs(&self) -> Option<usize> {
        self.sides()[1]
    }

    /// Outputs and inputs. The second stored axis is that of one group.
    fn sides(&self) -> [Option<usize>; 2] {
        let (Some(&first), Some(&second)) = (self.shape.first(), self.shape.get(1)) else {
            return [None; 2];
        };
        let second = self.groups.get().map(|groups| second * groups);
        match self.layout() {
            Some(Layout::OutputFirst) => [Some(first), second],
            Some(Layout::InputFirst) => [second, Some(first)],
            None => [None; 2],
        }
    }

    /// The parameter as rows of units of this granularity.
    ///
    /// # Errors
    ///
    /// If its shape has no such units; or if they depend on which axis is the output, or on the groups of the
    /// convolution, and that is not known.
    pub fn fold(&self, granularity: Granularity) -> Result<Fold, UnitError> {
        let path = || self.path.clone();
        let layout = match (self.layout(), granularity) {
            (Some(layout), _) => layout,
            // Elements need no axes.
            (None, Granularity::Element | Granularity::Layer) => Layout::OutputFirst,
            (None, _) => {
                return Err(UnitError::Layout {
                    path: path(),
                    layer: self.layer.clone(),
                });
            }
        };
        let groups = match (self.groups, granularity, layout) {
            (Groups::Known(groups), ..) => groups,
            // They are the same units, whatever the groups.
            (Groups::Unknown, Granularity::Element | Granularity::Layer, _)
            | (Groups::Unknown, Granularity::Filter | Granularity::Kernel, Layout::OutputFirst) => {
                1
            }
            (Groups::Unknown, ..) => {
                let layer = self.layer.clone();
                return Err(UnitError::Groups {
                    path: path(),
                    layer,
                    granularity,
                });
            }
        };
        Fold::grouped(granularity, &self.shape, layout, groups).map_err(|source| UnitError::Shape {
            path: path(),
            source,
        })
    }

    /// The name PyTorch would use: `weight` and `bias` for a norm's `gamma` and `beta`.
    #[must_use]
    pub fn pytorch_path(&self) -> String {
        self.pytorch_name(&self.path)
    }

    /// What PyTorch would call it where Burn has this path.
    pub(crate) fn pytorch_name(&self, path: &str) -> String {
        let renamed = match self.role {
            Role::NormScale => Some("weight"),
            Role::NormShift => Some("bias"),
            _ => None,
        };
        match (renamed, path.rsplit_once('.')) {
            (Some(name), Some((layer, _))) => format!("{layer}.{name}"),
            (Some(name), None) => name.to_owned(),
            (None, _) => path.to_owned(),
        }
    }
}
