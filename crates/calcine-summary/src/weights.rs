use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData, Transaction};
use calcine_params::{Inventory, Parameter, flat};
use calcine_sparsity::nonzero;

use crate::error::ComputeError;
use crate::stored::StoredBytes;

/// The number of elements and of non-zero elements of one weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) id: ParamId,
    pub(crate) numel: u64,
    pub(crate) nonzero: u64,
}

/// Counts of all parameters of a model.
pub(crate) struct Weights {
    /// The counts by path; a parameter that is used in two places has two entries.
    by_path: HashMap<String, Count>,
    /// The number of trainable elements.
    pub(crate) trainable: u64,
    /// The size of a file of all parameters.
    pub(crate) stored: StoredBytes,
}

impl Weights {
    /// Counts the parameters of a model. The zeros are read from the device in one transaction.
    pub(crate) fn of<M: Module>(model: &M) -> Self {
        let inventory = Inventory::from_module(model);
        let weights: Vec<&Parameter> = inventory.weights().collect();
        let numel = |parameter: &Parameter| parameter.numel() as u64;
        let nonzero = read(flat(model, weights.iter().copied()));
        let counts: HashMap<ParamId, Count> = weights
            .iter()
            .zip(nonzero)
            .map(|(parameter, nonzero)| {
                let count = Count {
                    id: parameter.id,
                    numel: numel(parameter),
                    nonzero,
                };
                (parameter.id, count)
            })
            .collect();
        let encoded = weights.iter().map(|parameter| {
            let first = parameter.shape.first().copied();
            let rows = parameter.outputs().or(first).unwrap_or(1);
            let count = counts[&parameter.id];
            StoredBytes::of_weight(count.numel, count.nonzero, rows as u64)
        });
        let all: u64 = inventory.iter().map(numel).sum();
        let others = all - counts.values().map(|count| count.numel).sum::<u64>();
        let mut paths = Paths::default();
        model.visit(&mut paths);
        Self {
            trainable: inventory
                .iter()
                .filter(|parameter| parameter.is_trainable())
                .map(numel)
                .sum(),
            stored: encoded.chain([StoredBytes::of_others(others)]).sum(),
            by_path: paths
                .found
                .into_iter()
                .filter_map(|(path, id)| Some((path, *counts.get(&id)?)))
                .collect(),
        }
    }

    /// The counts of the weight at this path, which a node multiplies with.
    pub(crate) fn count(
        &self,
        node: &str,
        parameter: &str,
        numel: u64,
    ) -> Result<Count, ComputeError> {
        let Some(&count) = self.by_path.get(parameter) else {
            return Err(ComputeError::Parameter {
                node: node.to_owned(),
                parameter: parameter.to_owned(),
            });
        };
        if count.numel != numel {
            return Err(ComputeError::Size {
                parameter: parameter.to_owned(),
                graph: numel,
                model: count.numel,
            });
        }
        Ok(count)
    }
}

/// The number of non-zero elements of each tensor, read in one transaction.
fn read(tensors: Vec<Tensor<1>>) -> Vec<u64> {
    let counts = tensors.into_iter().map(nonzero);
    let transaction = counts.fold(Transaction::default(), Transaction::register);
    let number = |data: TensorData| data.iter::<i64>().next().map_or(0, i64::unsigned_abs);
    transaction.execute().into_iter().map(number).collect()
}

/// Collects all paths of every float parameter, including each path of a shared one.
#[derive(Default)]
struct Paths {
    walk: Vec<String>,
    found: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.walk.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.walk.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.walk.join("."), param.id));
    }
}
