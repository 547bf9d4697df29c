use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::Parameter;

/// The values of chosen parameters, flattened, outside autodiff, in the order asked for.
///
/// Tensors stay on the device; nothing is copied or read.
///
/// # Panics
///
/// If the module has no such parameter.
#[must_use]
pub fn flat<'a, M: Module>(
    module: &M,
    parameters: impl IntoIterator<Item = &'a Parameter>,
) -> Vec<Tensor<1>> {
    let mut reader = Reader {
        wanted: parameters
            .into_iter()
            .map(|parameter| (parameter.id, None))
            .collect(),
    };
    module.visit(&mut reader);
    reader
        .wanted
        .into_iter()
        .map(|(_, value)| value.expect("the module's own parameter"))
        .collect()
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
