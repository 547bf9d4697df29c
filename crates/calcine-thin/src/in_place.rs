//! Applies plans to models that were never traced.

use std::collections::HashMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_graph::{Cut, Graph, Op, ThinningPlan};
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
/// layers. A model that is already thinned is returned unchanged.
///
/// A plan does not reach the numbers in the code of the model either: the channels that it pads with zeros, the bounds of a slice, how
/// often it repeats something, and the shapes of tensors that it creates. Where thinning changes one of these in the graph, the plan is
/// rejected, also where the code computes the number from the shape of a tensor, which the graph does not show. A fixed width in
/// a reshape is the only one that is not detected: the forward pass of such a model panics.
///
/// A plan does not contain the biases that thinning added, nor the values that it added to other biases for
/// compensation. Therefore, [zero out](crate::zero_out_channels) the channels before thinning, or thin networks without
/// biases with [`PaddingEffect::KeepBorder`](crate::PaddingEffect::KeepBorder). Parameters keep their ids and continue
/// to be trained. Nothing is read.
///
/// # Errors
///
/// If a parameter does not exist, has another length, or belongs to a layer that is rejected: also to a convolution that is not in the
/// graph, so that its groups are unknown. If the plan does not fit the graph, or changes a number in the code of the model.
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::activation::relu;
/// use burn::tensor::{Device, Tensor};
/// use calcine_criteria::Norm;
/// use calcine_thin::{ChannelSelection, PaddingEffect, in_place, thin, zero_out_channels};
/// use calcine_trace::trace;
///
/// #[derive(Module, Debug)]
/// struct Mlp {
///     hidden: Linear,
///     head: Linear,
/// }
///
/// impl Mlp {
///     fn forward(&self, x: Tensor<2>) -> Tensor<2> {
///         self.head.forward(relu(self.hidden.forward(x)))
///     }
/// }
///
/// let device = Device::flex();
/// let model = Mlp {
///     hidden: LinearConfig::new(8, 16).init(&device),
///     head: LinearConfig::new(16, 4).init(&device),
/// };
/// let network = trace(&model, Tensor::zeros([1, 8], &device), Mlp::forward)?;
/// let axes = network.graph().axes()?;
/// let weakest = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
/// let silent = zero_out_channels(network, &axes, weakest)?;
/// let thinned = thin(silent.clone(), PaddingEffect::KeepBorder)?;
///
/// // The model with the zeros of the network, and then without them.
/// let model = model.load_record(silent.clone().into_record());
/// let model = in_place(model, &thinned.plan, silent.graph())?;
/// assert_eq!(model.hidden.weight.dims(), [8, 8]);
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
    check_code(plan, graph)?;
    Ok(edit(model, &mut Shorten { cuts }))
}

/// Refuses a plan that changes numbers of the graph which no parameter shows: they are in the code of the model.
fn check_code(plan: &ThinningPlan, graph: &Graph) -> Result<(), ThinError> {
    let thinned = plan.thin(graph)?;
    let mut nodes = graph.nodes.iter().zip(&thinned.graph.nodes);
    // The groups of convolutions are numbers of layers.
    let changed = nodes.find(|(before, after)| {
        before.op != after.op
            && !matches!(
                before.op,
                Op::Convolution(_) | Op::TransposedConvolution { .. }
            )
    });
    if let Some((node, _)) = changed {
        return Err(ThinError::Code {
            operation: node.op.name(),
            value: graph.value(node.output).name.clone(),
        });
    }
    match thinned.constants.keys().next() {
        Some((id, _)) => Err(ThinError::Code {
            operation: "constant",
            value: graph.value(*id).name.clone(),
        }),
        None => Ok(()),
    }
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
