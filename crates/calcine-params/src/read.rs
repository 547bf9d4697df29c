use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::parameter::{Parameter, Role};

/// The flattened values of the given parameters without autodiff, in the given order.
///
/// Tensors stay on the device; nothing is copied or read. Requesting running statistics applies the update that Burn's norms keep
/// pending after a forward pass.
///
/// # Panics
///
/// If the module does not have one of the parameters.
#[must_use]
pub fn flat<'a, M: Module>(
    module: &M,
    parameters: impl IntoIterator<Item = &'a Parameter>,
) -> Vec<Tensor<1>> {
    let mut reader = Reader { wanted: Vec::new() };
    let mut statistics = false;
    for parameter in parameters {
        statistics |= parameter.role == Role::RunningStatistic;
        reader.wanted.push((parameter.id, None));
    }
    if statistics {
        settle(module);
    }
    module.visit(&mut reader);
    reader
        .wanted
        .into_iter()
        .map(|(_, value)| value.expect("the module's own parameter"))
        .collect()
}

/// Folds the pending updates of running statistics into their values.
///
/// Burn's norms keep the update of a thread's last forward pass aside until the next; what is visited
/// before is old, and what is written before is overwritten. Only a conversion of the module settles it.
pub(crate) fn settle<M: Module>(module: &M) {
    drop(module.valid());
}

struct Reader {
    wanted: Vec<(ParamId, Option<Tensor<1>>)>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        for (id, value) in &mut self.wanted {
            if *id == param.id && value.is_none() {
                let stored = param.base().without_autodiff();
                let count = stored.shape().num_elements();
                *value = Some(stored.reshape([count]));
            }
        }
    }
}
