use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;

use crate::edit::{Edit, edit};
use crate::inventory::Inventory;
use crate::parameter::Role;
use crate::read::settle;

/// Replaces stored values by flattened tensors; the parameters remain trainable as before.
///
/// The counterpart of [`flat`](crate::flat): use it to restore saved values, for example to rewind lottery tickets or to restore a model
/// after a scan. Values may come from another device. Nothing is read. Running statistics are shared with clones of the module, so
/// they are replaced in the clones, too.
///
/// # Panics
///
/// If the module has no parameter with an identifier, or the number of elements differs.
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
///
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use calcine_params::{Inventory, flat, replace};
///
/// let layer: Linear = LinearConfig::new(4, 2).init(&Device::flex());
/// let parameters = Inventory::from_module(&layer);
/// let ids = parameters.iter().map(|parameter| parameter.id);
/// let initial: BTreeMap<_, _> = ids.zip(flat(&layer, &parameters)).collect();
///
/// // … training …
///
/// let layer = replace(layer, initial);
/// # let _ = layer;
/// ```
#[must_use]
pub fn replace<M: Module>(module: M, values: BTreeMap<ParamId, Tensor<1>>) -> M {
    let statistics = Inventory::from_module(&module)
        .iter()
        .any(|p| p.role == Role::RunningStatistic && values.contains_key(&p.id));
    if statistics {
        settle(&module);
    }
    let mut replacement = Replacement {
        values,
        found: BTreeSet::new(),
    };
    let module = edit(module, &mut replacement);
    let (found, values) = (replacement.found.len(), replacement.values.len());
    assert!(
        found == values,
        "{} of {values} values belong to no parameter of the module",
        values - found
    );
    module
}

struct Replacement {
    values: BTreeMap<ParamId, Tensor<1>>,
    found: BTreeSet<ParamId>,
}

impl Edit for Replacement {
    fn wants(&self, id: ParamId) -> bool {
        self.values.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        self.found.insert(id);
        let new = self.values[&id].clone().without_autodiff();
        new.to_device(&value.device()).reshape(value.dims())
    }
}
