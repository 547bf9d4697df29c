//! Compiles a graph into steps.

mod fusion;
mod images;
mod layers;
mod nodes;
mod values;
mod whole;

use std::collections::HashMap;
use std::sync::Arc;

use calcine_format::{FloatType, Quantizer, Uses};
use calcine_graph::{Node, ValueId};
use calcine_kernels::{CodeLayer, FloatLayer, Isa, Plane};

use crate::form::{Form, Layout};
use crate::model::{Model, Tensor};
use crate::plain::{self, Operand};
use crate::plan::Plan;
use crate::report::Execution;
use crate::step::{Place, Step};
use crate::{EngineError, Options};
use fusion::Chain;

/// Packed weights by the position of their node, shared by the plans for all batch sizes.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    codes: HashMap<(usize, Plane, Plane), Arc<CodeLayer>>,
    floats: HashMap<(usize, Plane, Plane), Arc<FloatLayer>>,
}

/// Compiles a model for one batch size.
pub(crate) struct Compiler<'a> {
    model: &'a Model,
    isa: Isa,
    /// The type in which layers that compute in float store their weights.
    weights: FloatType,
    batch: usize,
    cache: &'a mut Cache,
    uses: Uses,
    shapes: Vec<Vec<usize>>,
    steps: Vec<Step>,
    forms: HashMap<usize, Vec<(Form, Place)>>,
    /// The results of nodes whose operands are all constant, by value.
    folded: HashMap<usize, Tensor>,
    constants: Vec<Vec<f32>>,
    constant_places: HashMap<usize, Place>,
    borders: Vec<[[usize; 2]; 2]>,
    /// The chains, by the last of their nodes, at which they are computed.
    chains: HashMap<usize, Chain>,
    /// Whether each node is part of a chain.
    chained: Vec<bool>,
    executions: Vec<Option<Execution>>,
    /// The node for which steps are being added.
    node: usize,
}

impl Cache {
    /// The position of the node of each packed layer, in ascending order, once for each form.
    pub(crate) fn layers(&self) -> Vec<usize> {
        let codes = self.codes.keys().map(|(index, ..)| *index);
        let floats = self.floats.keys().map(|(index, ..)| *index);
        let mut layers: Vec<usize> = codes.chain(floats).collect();
        layers.sort_unstable();
        layers
    }

    /// The number of bytes of all packed weights.
    pub(crate) fn bytes(&self) -> usize {
        let codes = self.codes.values().map(|layer| layer.bytes());
        let floats = self.floats.values().map(|layer| layer.bytes());
        codes.chain(floats).sum()
    }
}

impl<'a> Compiler<'a> {
    pub(crate) fn compile(
        model: &'a Model,
        options: &Options,
        batch: usize,
        cache: &'a mut Cache,
    ) -> Result<Plan, EngineError> {
        let graph = &model.graph;
        let shapes = graph.values.iter().map(|value| value.shape_at(batch));
        let mut compiler = Self {
            model,
            isa: options.isa,
            weights: options.weights,
            batch,
            cache,
            uses: Uses::new(graph),
            shapes: shapes.collect(),
            steps: Vec::new(),
            forms: HashMap::new(),
            folded: HashMap::new(),
            constants: Vec::new(),
            constant_places: HashMap::new(),
            borders: vec![[[0; 2]; 2]; graph.values.len()],
            chains: HashMap::new(),
            chained: vec![false; graph.nodes.len()],
            executions: vec![None; graph.nodes.len()],
            node: 0,
        };
        compiler.fold_constants();
        compiler.find_chains();
        compiler.find_borders();
        for (index, id) in graph.inputs.iter().enumerate() {
            let form = Form {
                layout: Layout::Plain,
                quantizer: None,
            };
            compiler.record(*id, form, Place::Input(index));
        }
        for index in 0..graph.nodes.len() {
            compiler.node = index;
            compiler.node(index)?;
        }
        let outputs = graph.outputs.iter().map(|id| {
            compiler.node = graph.nodes.len().saturating_sub(1);
            let place = compiler.real(*id);
            (place, compiler.shapes[id.0].clone())
        });
        let outputs = outputs.collect();
        Ok(Plan::new(
            compiler.steps,
            outputs,
            compiler.constants,
            compiler.executions,
        ))
    }

    fn shape(&self, id: ValueId) -> &[usize] {
        &self.shapes[id.0]
    }

    /// The tensor of a parameter or a constant, or the result of a node whose operands are all constant.
    fn tensor(&self, id: ValueId) -> Option<&Tensor> {
        self.folded
            .get(&id.0)
            .or_else(|| self.model.tensors.get(&id.0))
    }

    fn fold_constants(&mut self) {
        for node in &self.model.graph.nodes {
            let folds = plain::is_supported(&node.op)
                && self.model.quantizer(node.output).is_none()
                && node.inputs.iter().all(|id| self.tensor(*id).is_some());
            if !folds {
                continue;
            }
            let inputs: Vec<&Tensor> = node
                .inputs
                .iter()
                .filter_map(|id| self.tensor(*id))
                .collect();
            let operands: Vec<Operand<'_>> = inputs
                .iter()
                .map(|tensor| Operand {
                    numbers: &tensor.numbers,
                    shape: &tensor.shape,
                })
                .collect();
            let shape = self.shape(node.output).to_vec();
            let mut numbers = vec![0.0; shape.iter().product()];
            plain::evaluate(
                self.isa,
                &node.op,
                &operands,
                &mut numbers,
                &shape,
                self.batch,
            );
            self.folded.insert(node.output.0, Tensor { shape, numbers });
        }
    }

    fn unsupported(&self, node: &Node) -> EngineError {
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|id| self.shape(*id)).collect();
        EngineError::Unsupported {
            node: node.name.clone(),
            operation: format!("{} of {shapes:?}", node.op),
        }
    }
}

/// Whether the integers of a quantizer fit 8 bits.
fn is_byte(quantizer: &Quantizer) -> bool {
    quantizer.high - quantizer.low <= 255
}
