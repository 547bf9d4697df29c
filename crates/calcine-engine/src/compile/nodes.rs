//! Adds the steps of nodes, and chooses how each node is executed.

use calcine_format::is_folded_norm;
use calcine_graph::{Node, Op};
use calcine_kernels::MatrixSums;

use super::Compiler;
use super::fusion::Sums;
use crate::EngineError;
use crate::plain;
use crate::report::Execution;
use crate::step::{Place, Work};

impl Compiler<'_> {
    /// Adds the steps of a node.
    pub(super) fn node(&mut self, index: usize) -> Result<(), EngineError> {
        let graph = &self.model.graph;
        let node = &graph.nodes[index];
        if let Some(chain) = self.chains.get(&index) {
            return self.chain(*chain);
        }
        if self.chained[index] {
            return Ok(());
        }
        if self.folded.contains_key(&node.output.0) {
            self.executions[index] = Some(Execution::Constant);
            return Ok(());
        }
        let is_layer = |at| self.model.layers.contains_key(&at);
        if is_folded_norm(graph, &self.uses, index, is_layer) {
            self.same(node.output, node.inputs[0]);
            self.executions[index] = Some(Execution::Moved);
            return Ok(());
        }
        if self.sums_of(index) == Some(Sums::Plain) {
            return self.plain_layer(index);
        }
        self.quantize_inputs(node);
        let quantizer = self.model.quantizer(node.output);
        let images = match quantizer {
            Some(quantizer) => self.code_node(index, node, quantizer),
            None => self.float_node(node),
        };
        if let Some(execution) = images {
            self.executions[index] = Some(execution);
            return Ok(());
        }
        if let Some(quantizer) = quantizer
            && let Some(execution) = self.whole_node(index, node, quantizer)
        {
            self.executions[index] = Some(execution);
            return Ok(());
        }
        self.plain_node(index, node)
    }

    /// Quantizes the network's inputs that have a quantizer, before the first node reads them.
    fn quantize_inputs(&mut self, node: &Node) {
        for id in &node.inputs {
            let is_input = self.model.graph.value(*id).source == calcine_graph::Source::Input;
            if is_input && self.quantizer(*id).is_none() && self.model.quantizer(*id).is_some() {
                let place = self.plain(*id);
                if let Some(own) = self.model.quantizer(*id) {
                    self.forms.remove(&id.0);
                    self.quantize_plain(*id, own, place);
                }
            }
        }
    }

    /// Adds the steps of a node on floats in row-major order.
    fn plain_node(&mut self, index: usize, node: &Node) -> Result<(), EngineError> {
        if !plain::is_supported(&node.op) {
            return Err(self.unsupported(node));
        }
        self.executions[index] = Some(execution(&node.op, self.shape(node.output).len()));
        if node.op == Op::Reshape {
            let place = self.real(node.inputs[0]);
            self.record_plain(node.output, None, place);
            self.quantize(node.output);
            return Ok(());
        }
        if node.op == Op::Matmul && node.inputs.iter().all(|id| self.shape(*id).len() > 1) {
            let operands = [node.inputs[0], node.inputs[1]].map(|id| self.real(id));
            self.matmul(node, operands, MatrixSums::Floats, None);
            self.quantize(node.output);
            return Ok(());
        }
        let (mut shapes, shape) = self.shapes_of(node);
        let mut reads = Vec::new();
        for (at, id) in node.inputs.iter().enumerate() {
            let weights = self.model.layers.get(&index);
            match weights.filter(|_| at == 0 && node.op == Op::Embedding) {
                Some(weights) => {
                    self.constants.push(weights.floats());
                    reads.push(Place::Constant(self.constants.len() - 1));
                    shapes[0] = weights.shape.clone();
                }
                None => reads.push(self.real(*id)),
            }
        }
        let work = Work::Plain {
            op: node.op.clone(),
            shapes,
            shape,
            batch: self.batch,
        };
        self.plain_step(node.output, None, work, reads);
        self.quantize(node.output);
        Ok(())
    }
}

/// How an operation on row-major floats is executed.
pub(super) fn execution(op: &Op, rank: usize) -> Execution {
    match op {
        Op::Softmax(axis) | Op::LogSoftmax(axis) if axis + 1 == rank => Execution::Floats,
        Op::Reshape => Execution::Moved,
        Op::Expand
        | Op::Permute(_)
        | Op::Slice(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Concat(_)
        | Op::Embedding
        | Op::Cast => Execution::Copied,
        Op::Map(_)
        | Op::Zip(_)
        | Op::Scalar(..)
        | Op::Compare(_)
        | Op::CompareScalar(..)
        | Op::LayerNorm { .. }
        | Op::BatchNorm { .. }
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::Matmul => Execution::Floats,
        _ => Execution::PlainFloats,
    }
}
