//! A network of a graph and tensors, from whoever has them.

use std::collections::{HashMap, HashSet};

use calcine_graph::{Graph, ValueId};

use crate::leaf::{Held, Leaf, Leaves, Step, joined};
use crate::naming;
use crate::tensor::AnyTensor;
use crate::{Network, RewriteError};

/// A parameter of a network that is made of its parts.
#[derive(Debug, Clone)]
pub struct NewParameter {
    /// Its path: `layer1.0.conv1.weight`.
    pub path: String,
    /// Burn's name for the layer that it belongs to, which tells how a weight lies: `Conv2d`, `Linear`, `BatchNorm`; empty if
    /// it is none of Burn's.
    pub layer: &'static str,
    /// Its values.
    pub value: AnyTensor,
}

impl Network {
    /// A network of a graph, its parameters, and its constants by their values.
    ///
    /// Parameters are trained, and those of a batch norm (`gamma`, `beta`, `running_mean` and `running_var`, one after the other) are
    /// one: statistics follow training. Inputs, nodes and constants get the names that [`trace`](crate::trace()) gives them, whatever
    /// the graph called them.
    ///
    /// # Errors
    ///
    /// If the graph contradicts itself, two parameters have the same path, or a parameter or constant of the graph is missing or
    /// has another shape.
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
