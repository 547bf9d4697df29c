use crate::graph::{Graph, Node, Source, ValueId};
use crate::op::Op;

impl Graph {
    /// The nearest layers from which the operands of a node come, in execution order; empty for an unknown name.
    ///
    /// A layer is a node that produces its own channels: a convolution, a linear layer, an embedding, or a matrix
    /// product with a matrix that is computed only from parameters. The search passes through all other operations,
    /// including additions and concatenations, and stops at the first layer of each branch.
    #[must_use]
    pub fn layers_before(&self, name: &str) -> Vec<&Node> {
        let Some(start) = self.nodes.iter().position(|node| node.name == name) else {
            return Vec::new();
        };
        let data = self.data();
        let mut wanted = vec![false; self.nodes.len()];
        self.want_operands(start, &mut wanted);
        let mut found = Vec::new();
        for position in (0..start).rev() {
            if !wanted[position] {
                continue;
            }
            if is_layer(&self.nodes[position], &data) {
                found.push(&self.nodes[position]);
            } else {
                self.want_operands(position, &mut wanted);
            }
        }
        found.reverse();
        found
    }

    /// The nearest layers that consume the result of a node, in execution order; otherwise like
    /// [`layers_before`](Self::layers_before).
    #[must_use]
    pub fn layers_after(&self, name: &str) -> Vec<&Node> {
        let Some(start) = self.nodes.iter().position(|node| node.name == name) else {
            return Vec::new();
        };
        let data = self.data();
        let mut reached = vec![false; self.values.len()];
        self.reach(self.nodes[start].output, &mut reached);
        let mut found = Vec::new();
        for node in &self.nodes[start + 1..] {
            if !node
                .inputs
                .iter()
                .any(|id| reached.get(id.0) == Some(&true))
            {
                continue;
            }
            if is_layer(node, &data) {
                found.push(node);
            } else {
                self.reach(node.output, &mut reached);
            }
        }
        found
    }

    fn want_operands(&self, position: usize, wanted: &mut [bool]) {
        for id in &self.nodes[position].inputs {
            if let Some(Source::Node(before)) = self.values.get(id.0).map(|value| value.source)
                && let Some(wanted) = wanted.get_mut(before)
            {
                *wanted = true;
            }
        }
    }

    fn reach(&self, id: ValueId, reached: &mut [bool]) {
        if let Some(reached) = reached.get_mut(id.0) {
            *reached = true;
        }
    }

    /// Which values depend on inputs of the network, not only on parameters and constants.
    fn data(&self) -> Vec<bool> {
        let mut data: Vec<bool> = self
            .values
            .iter()
            .map(|value| value.source == Source::Input)
            .collect();
        for node in &self.nodes {
            if node.inputs.iter().any(|id| data.get(id.0) == Some(&true)) {
                self.reach(node.output, &mut data);
            }
        }
        data
    }
}

fn is_layer(node: &Node, data: &[bool]) -> bool {
    let is_stored = |id: &ValueId| data.get(id.0) == Some(&false);
    node.op.properties().is_layer() || node.op == Op::Matmul && node.inputs.iter().any(is_stored)
}
