use burn::module::ParamId;
use calcine_fold::{Fold, Granularity, Layout};

use crate::error::UnitError;
use crate::groups::Groups;

/// The role of a parameter, derived from the type of its layer and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A weight: of a convolution, a linear layer, an embedding, or any tensor of rank 2 or more.
    Weight,
    /// A bias or another vector.
    Bias,
    /// The scale of a normalization: Burn's `gamma`, PyTorch's `weight`.
    NormScale,
    /// The shift of a normalization: Burn's `beta`, PyTorch's `bias`.
    NormShift,
    /// A running mean or variance. Burn visits it as a parameter, but it is never trained or selected.
    RunningStatistic,
}

/// One float parameter of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// Burn's dotted path, such as `layer1.0.conv1.weight`; the first one if the parameter is used several times.
    pub path: String,
    /// The other paths of a parameter that is used several times (a tied weight).
    pub aliases: Vec<String>,
    /// The type of the layer that owns the parameter, such as `Conv2d`.
    pub layer: String,
    /// The identifier, which is the key of the gradient and the optimizer state.
    pub id: ParamId,
    /// The shape in which it is stored.
    pub shape: Vec<usize>,
    /// The role.
    pub role: Role,
    /// The number of groups of the convolution whose weight it is; 1 for all other parameters.
    /// [`Fold::grouped`](calcine_fold::Fold::grouped) needs it.
    ///
    /// Burn shows a module's parameters and nothing else, and the shape of a weight proves only that a convolution with one output
    /// (a transposed one with one input) has one group. Those of all other convolutions are [unknown](Groups::Unknown), unless the
    /// module tells them, as a traced network does ([`tell_groups`](crate::tell_groups)), or the graph of the traced model
    /// ([`Inventory::tell_groups`](crate::Inventory::tell_groups)).
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

    /// The layout, which says which stored axis is the output; `None` for an unknown type of layer.
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

    /// The stored axis of the outputs of the layer (of one group, in a transposed convolution); `None` if the parameter is not a weight or
    /// its [`layout`](Self::layout) is unknown.
    #[must_use]
    pub fn output_axis(&self) -> Option<usize> {
        let axis = match self.layout()? {
            Layout::OutputFirst => 0,
            Layout::InputFirst => 1,
        };
        (self.shape.len() > 1).then_some(axis)
    }

    /// The same parameter with this number of groups, for a convolution whose groups are unknown.
    #[must_use]
    pub fn with_groups(self, groups: usize) -> Self {
        let groups = Groups::Known(groups);
        Self { groups, ..self }
    }

    /// The [path](Self::path), followed by the [aliases](Self::aliases).
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(String::as_str);
        std::iter::once(self.path.as_str()).chain(aliases)
    }

    /// Whether this is the path or an alias of the parameter.
    #[must_use]
    pub fn is_called(&self, path: &str) -> bool {
        self.paths().any(|own| own == path)
    }

    /// The number of outputs of the layer that owns this weight: features, or the channels of all groups.
    ///
    /// `None` if the parameter is not a weight, its [`layout`](Self::layout) is unknown, or it belongs to a transposed convolution with an
    /// unknown number of groups.
    #[must_use]
    pub fn outputs(&self) -> Option<usize> {
        self.sides()[0]
    }

    /// The number of inputs of the layer that owns this weight: features, the channels of all groups, or the entries of an embedding.
    ///
    /// `None` if the parameter is not a weight, its [`layout`](Self::layout) is unknown, or it belongs to a convolution with an unknown
    /// number of groups.
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

    /// The unit view of the parameter for this granularity.
    ///
    /// # Errors
    ///
    /// If the shape does not have such units, or if they depend on the output axis or the number of groups, which are unknown.
    pub fn fold(&self, granularity: Granularity) -> Result<Fold, UnitError> {
        let path = || self.path.clone();
        let unfit = |source| UnitError::Shape {
            path: path(),
            source,
        };
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
            // What has no such units without groups has none with them.
            (Groups::Unknown, ..) => {
                Fold::grouped(granularity, &self.shape, layout, 1).map_err(unfit)?;
                return Err(UnitError::Groups {
                    path: path(),
                    layer: self.layer.clone(),
                    granularity,
                });
            }
        };
        Fold::grouped(granularity, &self.shape, layout, groups).map_err(unfit)
    }

    /// The path in PyTorch's convention: `weight` and `bias` for the `gamma` and `beta` of a norm.
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
