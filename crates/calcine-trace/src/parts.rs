//! Creates a network from a graph and tensors, wherever they come from.

use std::collections::{HashMap, HashSet};

use calcine_graph::{Graph, ValueId};

use crate::leaf::{Held, Leaf, Leaves, Step, joined};
use crate::naming;
use crate::tensor::AnyTensor;
use crate::{Network, RewriteError};

/// A parameter for [`Network::from_parts`].
#[derive(Debug, Clone)]
pub struct NewParameter {
    /// The path of the parameter, such as `layer1.0.conv1.weight`.
    pub path: String,
    /// Burn's name of the layer that it belongs to, which defines the layout of a weight: `Conv2d`, `Linear`,
    /// `BatchNorm`; empty for all other layers.
    pub layer: &'static str,
    /// The values of the parameter.
    pub value: AnyTensor,
}

impl Network {
    /// Creates a network from a graph, its parameters, and its constants, which are keyed by their values in the graph.
    ///
    /// Parameters are trainable. The parameters `gamma`, `beta`, `running_mean` and `running_var`, if they follow each
    /// other, form a batch norm, whose statistics are updated in training. Inputs, nodes and constants get the names
    /// that [`trace`](crate::trace()) generates, instead of those in the graph.
    ///
    /// # Errors
    ///
    /// If the graph is not valid, if two parameters have the same path, or if a parameter or constant of the graph is
    /// missing or has another shape.
    pub fn from_parts(
        mut graph: Graph,
        parameters: Vec<NewParameter>,
        constants: Vec<(ValueId, AnyTensor)>,
    ) -> Result<Self, RewriteError> {
        let mut paths = HashSet::new();
        let mut leaves = Vec::with_capacity(parameters.len());
        for NewParameter { path, layer, value } in parameters {
            if !paths.insert(path.clone()) {
                return Err(RewriteError::Taken { path });
            }
            let names: Vec<&str> = path.split('.').collect();
            let last = names.len() - 1;
            let owner = |at: usize| match (at == last, layer) {
                (true, "") | (false, _) => "Struct:Module".to_owned(),
                (true, layer) => format!("Struct:{layer}"),
            };
            let walk = names.iter().enumerate();
            let walk: Vec<Step> = walk
                .map(|(at, name)| ((*name).to_owned(), owner(at)))
                .collect();
            let Some(held) = Held::new(value) else {
                return Err(RewriteError::Kind { path });
            };
            leaves.push(Leaf { walk, held });
        }
        naming::name(&mut graph, paths.iter().map(String::as_str));
        graph.check()?;
        let mut own = vec![None; graph.values.len()];
        for (id, tensor) in constants {
            if let Some(own) = own.get_mut(id.0) {
                *own = Some(tensor);
            }
        }
        let network = Self::new(graph, Leaves(joined(leaves, &HashMap::new())), own);
        network.as_its_graph_says()?;
        Ok(network)
    }
}
