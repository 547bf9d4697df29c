use std::collections::HashSet;

use crate::error::GraphError;
use crate::graph::{Graph, Node, Source, ValueId};
use crate::infer::{Misfit, Tensor, fits};
use crate::op::Op;
use crate::properties::ResultRank;

/// The largest number of elements of a tensor.
const MOST_ELEMENTS: usize = match 1_usize.checked_shl(48) {
    Some(elements) => elements,
    // Where pointers have 32 bits.
    None => 1 << 30,
};
/// The largest total number of indices of all axes of all tensors.
const MOST_INDICES: usize = 1 << 28;

/// The batch sizes for which shapes are compared. Lengths are linear functions of the batch size.
const BATCHES: [usize; 3] = [1, 2, 3];

impl Graph {
    /// Checks that the graph is valid: ids exist, nodes are in execution order, names are unique among inputs, nodes,
    /// constants and parameters, operations have operands in a valid number and of valid kinds, settings are valid,
    /// axes exist, and outputs have the shapes that follow from the operands for batches of 1, 2 and 3.
    ///
    /// All analyses check first, so that neither they nor a pass can panic because of a graph from a file.
    ///
    /// # Errors
    ///
    /// The first problem.
    pub fn check(&self) -> Result<(), GraphError> {
        self.check_sizes()?;
        self.known("the list of inputs", &self.inputs)?;
        self.known("the list of outputs", &self.outputs)?;
        self.check_names()?;
        self.check_inputs()?;
        let mut made = HashSet::new();
        for (position, node) in self.nodes.iter().enumerate() {
            self.known(&node.name, &node.inputs)?;
            self.known(&node.name, &[node.output])?;
            for &id in &node.inputs {
                let waits = matches!(self.value(id).source, Source::Node(_)) && !made.contains(&id);
                if waits {
                    return Err(self.out_of_order(node, id));
                }
            }
            if self.value(node.output).source != Source::Node(position) || !made.insert(node.output)
            {
                return Err(self.out_of_order(node, node.output));
            }
            self.check_operands(node)?;
            self.check_axes(node)?;
            BATCHES
                .iter()
                .try_for_each(|&batch| self.check_shapes(node, batch))?;
        }
        match self
            .outputs
            .iter()
            .find(|&&id| matches!(self.value(id).source, Source::Node(_)) && !made.contains(&id))
        {
            Some(&id) => Err(GraphError::Order {
                node: "the end".into(),
                op: "output",
                value: self.value(id).name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Checks that elements and indices can be counted.
    fn check_sizes(&self) -> Result<(), GraphError> {
        let mut indices = 0;
        for value in &self.values {
            let lengths = value.shape.iter().map(|extent| {
                let length = extent.fixed.checked_add(extent.per_sample)?;
                Some(length.max(1)).filter(|&length| length <= MOST_INDICES)
            });
            let counted = lengths.clone().sum::<Option<usize>>();
            indices += counted.unwrap_or(MOST_INDICES);
            let elements = lengths
                .into_iter()
                .try_fold(1usize, |all, length| all.checked_mul(length?));
            if indices > MOST_INDICES || elements.is_none_or(|elements| elements > MOST_ELEMENTS) {
                return Err(GraphError::Size {
                    value: value.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Checks that elements can be counted for a batch of this size.
    pub(crate) fn check_batch(&self, batch: usize) -> Result<(), GraphError> {
        for value in &self.values {
            let elements = value.shape.iter().try_fold(1usize, |all, extent| {
                let grown = extent.per_sample.checked_mul(batch)?;
                all.checked_mul(extent.fixed.checked_add(grown)?)
            });
            if elements.is_none_or(|elements| elements > MOST_ELEMENTS) {
                return Err(GraphError::Size {
                    value: value.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), GraphError> {
        unique(
            "parameters",
            self.parameters().map(|(_, value)| value.name.as_str()),
        )?;
        unique("nodes", self.nodes.iter().map(|node| node.name.as_str()))?;
        let mut used = vec![false; self.values.len()];
        let operands = self.nodes.iter().flat_map(|node| &node.inputs);
        for id in operands.chain(&self.inputs).chain(&self.outputs) {
            if let Some(used) = used.get_mut(id.0) {
                *used = true;
            }
        }
        let values = self.values.iter().zip(used);
        let given =
            values.filter(|(value, used)| *used && !matches!(value.source, Source::Node(_)));
        let given = given.map(|(value, _)| value.name.as_str());
        unique(
            "inputs, nodes, constants or parameters",
            given.chain(self.nodes.iter().map(|node| node.name.as_str())),
        )
    }

    /// Checks that inputs are listed once, and that they are tensors that the caller passes.
    fn check_inputs(&self) -> Result<(), GraphError> {
        let mut listed = HashSet::new();
        for &id in &self.inputs {
            if !listed.insert(id) || self.value(id).source != Source::Input {
                return Err(GraphError::Input {
                    value: self.value(id).name.clone(),
                });
            }
        }
        let operands = self.nodes.iter().flat_map(|node| &node.inputs);
        for &id in operands.chain(&self.outputs) {
            let value = self.values.get(id.0);
            if value.is_some_and(|value| value.source == Source::Input) && !listed.contains(&id) {
                return Err(GraphError::Input {
                    value: self.value(id).name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Checks shapes for a batch size. Parameters and constants have no batch axis; the shapes of other tensors are
    /// computed.
    fn check_shapes(&self, node: &Node, batch: usize) -> Result<(), GraphError> {
        let shape = |id: ValueId| {
            let value = self.value(id);
            let lengths = value.shape.iter().map(|extent| {
                let grown = extent.per_sample.checked_mul(batch)?;
                extent.fixed.checked_add(grown)
            });
            let lengths: Option<Vec<usize>> = lengths.collect();
            lengths.ok_or_else(|| GraphError::Size {
                value: value.name.clone(),
            })
        };
        let shapes = node.inputs.iter().map(|&id| shape(id));
        let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
        let operands = node.inputs.iter().zip(&shapes);
        let operands: Vec<Tensor> = operands
            .map(|(&id, shape)| Tensor {
                shape,
                kind: self.value(id).kind,
            })
            .collect();
        let shape = shape(node.output)?;
        let output = Tensor {
            shape: &shape,
            kind: self.value(node.output).kind,
        };
        fits(&node.op, &operands, output, batch).map_err(|misfit| match misfit {
            Misfit::Lengths(axes) => {
                let words = |(operand, axis): (usize, usize)| {
                    let name = &self.value(node.inputs[operand]).name;
                    format!("axis {axis} of {name} ({})", shapes[operand][axis])
                };
                GraphError::Lengths {
                    node: node.name.clone(),
                    op: node.op.name(),
                    one: words(axes[0]),
                    other: words(axes[1]),
                }
            }
            Misfit::Other(problem) => GraphError::Setting {
                node: node.name.clone(),
                op: node.op.name(),
                problem,
            },
        })
    }

    fn known(&self, place: &str, ids: &[ValueId]) -> Result<(), GraphError> {
        match ids.iter().find(|id| id.0 >= self.values.len()) {
            Some(id) => Err(GraphError::UnknownValue {
                place: place.into(),
                id: id.0,
                count: self.values.len(),
            }),
            None => Ok(()),
        }
    }

    fn out_of_order(&self, node: &Node, id: ValueId) -> GraphError {
        GraphError::Order {
            node: node.name.clone(),
            op: node.op.name(),
            value: self.value(id).name.clone(),
        }
    }

    fn check_operands(&self, node: &Node) -> Result<(), GraphError> {
        let properties = node.op.properties();
        let (least, most) = (properties.least_operands, properties.most_operands);
        let found = node.inputs.len();
        if least <= found && found <= most {
            return Ok(());
        }
        Err(GraphError::Operands {
            node: node.name.clone(),
            op: node.op.name(),
            found,
            least,
            most,
        })
    }

    fn check_axes(&self, node: &Node) -> Result<(), GraphError> {
        let rank = |id: ValueId| self.value(id).shape.len();
        let needs = |id: ValueId, expected: usize| {
            if rank(id) == expected {
                return Ok(());
            }
            Err(GraphError::Rank {
                node: node.name.clone(),
                op: node.op.name(),
                value: self.value(id).name.clone(),
                found: rank(id),
                expected,
            })
        };
        let properties = node.op.properties();
        for (position, expected) in properties.operand_ranks.into_iter().enumerate() {
            if let (Some(expected), Some(&id)) = (expected, node.inputs.get(position)) {
                needs(id, expected)?;
            }
        }
        if let ResultRank::Fixed(expected) = properties.result_rank {
            needs(node.output, expected)?;
        }
        let Some(&x) = node.inputs.first() else {
            return Ok(());
        };
        for &axis in properties.axes {
            if axis >= rank(x) {
                return Err(GraphError::Axis {
                    node: node.name.clone(),
                    op: properties.name,
                    value: self.value(x).name.clone(),
                    axis,
                    rank: rank(x),
                });
            }
        }
        if rank(x) < properties.least_rank {
            needs(x, properties.least_rank)?;
        }
        match properties.result_rank {
            ResultRank::First => needs(node.output, rank(x))?,
            ResultRank::All => {
                node.inputs.iter().try_for_each(|&id| needs(id, rank(x)))?;
                needs(node.output, rank(x))?;
            }
            ResultRank::Fixed(_) | ResultRank::Free => {}
        }
        if let Op::Permute(order) | Op::Flip(order) = &node.op
            && order.iter().collect::<HashSet<_>>().len() != order.len()
        {
            return Err(GraphError::Setting {
                node: node.name.clone(),
                op: node.op.name(),
                problem: format!("{order:?} names an axis twice"),
            });
        }
        Ok(())
    }
}

fn unique<'a>(
    what: &'static str,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<(), GraphError> {
    let mut seen = HashSet::new();
    match names.find(|&name| !seen.insert(name)) {
        Some(name) => Err(GraphError::Name {
            what,
            name: name.into(),
        }),
        None => Ok(()),
    }
}
