//! Finds the batch norm that follows a layer.

use calcine_graph::{Graph, Node, Op, ValueId};
use calcine_params::Parameter;
use calcine_train::UnitNorm;

use super::Bound;

/// What is known about the norm that follows a layer.
pub(super) enum Behind {
    /// This norm follows, and nothing else uses the output of the layer.
    Norm(Box<UnitNorm>),
    /// There is none.
    Nothing,
    /// It is not known, for this reason.
    Unknown(String),
}

impl Bound<'_> {
    /// The norm that follows the layer of this weight, from the graph; without one, only whether there may be one.
    pub(super) fn norm_behind(&self, weight: &Parameter) -> Behind {
        match self.graph {
            Some(graph) => self.in_graph(graph, weight),
            None => self.by_name(weight),
        }
    }

    /// Names and shapes may show which norm follows, but never its epsilon.
    fn by_name(&self, weight: &Parameter) -> Behind {
        if !self.inventory.may_have_norm(weight) {
            return Behind::Nothing;
        }
        let path = &weight.path;
        let unknown = match self.inventory.norm_of(weight) {
            Some(norm) => format!(
                "the epsilon of the batch norm of `{}`, which follows `{path}` by its name, is not known",
                norm.gamma.path
            ),
            None => format!("it is not known which batch norm follows `{path}`, if any"),
        };
        Behind::Unknown(format!(
            "without the graph of the traced model {unknown}: trace the model and bind with `Recipe::bind_traced`"
        ))
    }

    fn in_graph(&self, graph: &Graph, weight: &Parameter) -> Behind {
        let path = &weight.path;
        let Some(id) = weight.paths().find_map(|path| graph.parameter(path)) else {
            return Behind::Unknown(format!("`{path}` is not in the graph"));
        };
        let mut found: Option<Option<&Node>> = None;
        for layer in graph.consumers(id) {
            let norm = norm_after(graph, layer);
            match found {
                Some(other) if !same_norm(other, norm) => {
                    return Behind::Unknown(format!(
                        "`{path}` is used several times, and not always followed by the same batch norm"
                    ));
                }
                _ => found = Some(norm),
            }
        }
        let Some(Some(node)) = found else {
            return Behind::Nothing;
        };
        let parameter = |at: usize| {
            let name = &graph.value(*node.inputs.get(at)?).name;
            self.inventory.get(name).cloned()
        };
        match (&node.op, parameter(1), parameter(4)) {
            (Op::BatchNorm { epsilon, .. }, Some(scale), Some(variance)) => {
                Behind::Norm(Box::new(UnitNorm {
                    scale,
                    variance,
                    epsilon: *epsilon,
                }))
            }
            _ => Behind::Unknown(format!(
                "the scale and variance of `{}`, the norm after `{path}`, are not parameters of the model",
                node.name
            )),
        }
    }
}

/// The batch norm that is the only consumer of the output of a node.
fn norm_after<'a>(graph: &'a Graph, layer: &Node) -> Option<&'a Node> {
    let output: ValueId = layer.output;
    let mut consumers = graph.consumers(output);
    let (first, second) = (consumers.next()?, consumers.next());
    let alone = second.is_none() && !graph.outputs.contains(&output);
    let is_norm = matches!(first.op, Op::BatchNorm { .. }) && first.inputs.first() == Some(&output);
    (alone && is_norm).then_some(first)
}

fn same_norm(a: Option<&Node>, b: Option<&Node>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.inputs[1..] == b.inputs[1..] && a.op == b.op,
        _ => false,
    }
}
