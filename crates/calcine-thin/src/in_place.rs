//! Applies plans to models that were never traced.

use std::collections::HashMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_graph::{Cut, Graph, ThinningPlan};
use calcine_params::{Edit, Inventory, Parameter, edit};
use calcine_trace::AnyTensor;

use crate::error::ThinError;

/// Applies a plan to a plain Burn model and returns a model of the same type, without a traced network.
///
/// The plan is that of a [thinned](crate::thin) network that was traced from such a model, and `graph` the graph of the network before it was
/// thinned: it knows the groups of convolutions, which a model does not show. The layers must take their
/// widths from their tensors: convolutions without groups, linear layers, batch norms, embeddings, parametric ReLUs,
/// and parameters of the model's own modules. Grouped and depthwise convolutions and group norms store numbers that a
/// plan cannot change, and are rejected. Attention and recurrent layers store some numbers, too, but consist of linear
/// layers. Fixed widths in the code of the model (a reshape, a slice) cannot be detected: the forward pass of such a
/// model fails. A model that is already thinned is returned unchanged.
///
/// A plan does not contain the biases that thinning added, nor the values that it added to other biases for
/// compensation. Therefore, [zero out](crate::zero_out_channels) the channels before thinning, or thin networks without
/// biases with [`PaddingEffect::KeepBorder`](crate::PaddingEffect::KeepBorder). Parameters keep their ids and continue
/// to be trained. Nothing is read.
///
/// # Errors
///
/// If a parameter does not exist, has another length, or belongs to a layer that is rejected: also to a convolution that is not in the
/// graph, so that its groups are unknown.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use calcine_thin::graph::{Graph, ThinningPlan};
/// use calcine_thin::in_place;
///
/// let layer: Linear = LinearConfig::new(4, 3).init(&Device::flex());
/// let plan: ThinningPlan = serde_json::from_str(
///     r#"[[{"parameter": "weight", "axis": 0, "length": 4, "keep": [0, 3]}]]"#,
/// )?;
/// // A graph without convolutions.
/// let layer = in_place(layer, &plan, &Graph::default())?;
/// assert_eq!(layer.weight.dims(), [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn in_place<M: Module>(model: M, plan: &ThinningPlan, graph: &Graph) -> Result<M, ThinError> {
    let mut inventory = Inventory::from_module(&model);
    for (weight, groups) in graph.convolution_groups() {
        inventory.tell_groups(weight, groups);
    }
    let mut cuts: HashMap<ParamId, Vec<Cut>> = HashMap::new();
    for cut in plan.cuts() {
        let path = &cut.parameter;
        let Some(parameter) = inventory.get(path) else {
            return Err(ThinError::Absent { path: path.clone() });
        };
        let length = parameter.shape.get(cut.axis).copied();
        if length == Some(cut.keep.len()) {
            continue;
        }
        if length != Some(cut.length) {
            return Err(ThinError::Length {
                path: path.clone(),
                axis: cut.axis,
                found: parameter.shape.clone(),
                expected: cut.length,
            });
        }
        if !follows(parameter) {
            return Err(ThinError::Layer {
                path: path.clone(),
                layer: parameter.layer.clone(),
                groups: parameter.groups,
            });
        }
        cuts.entry(parameter.id).or_default().push(cut);
    }
    Ok(edit(model, &mut Shorten { cuts }))
}

/// Whether the layer takes its widths from its tensors.
fn follows(parameter: &Parameter) -> bool {
    match parameter.layer.as_str() {
        "Linear" | "BatchNorm" | "Embedding" | "PRelu" => true,
        layer if layer.starts_with("Conv") => parameter.groups == 1,
        layer => !BURNS.contains(&layer),
    }
}

/// The layers of Burn that store their widths in fields.
const BURNS: [&str; 5] = [
    "DeformConv2d",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RmsNorm",
];

struct Shorten {
    cuts: HashMap<ParamId, Vec<Cut>>,
}

impl Edit for Shorten {
    fn wants(&self, id: ParamId) -> bool {
        self.cuts.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        let cuts = self.cuts.get(&id).into_iter().flatten();
        let cut = |tensor: AnyTensor, cut: &Cut| tensor.select(cut.axis, &cut.keep);
        let shorter = cuts.fold(AnyTensor::from(value), cut).float();
        shorter.expect("a selection keeps kind and rank")
    }
}
