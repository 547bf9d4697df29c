use std::collections::BTreeSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// The float parameters that are not trained because they do not require gradients: those of frozen layers, and running statistics. This
/// also works without autodiff. Nothing is read from the device.
#[must_use]
pub fn frozen<M: Module>(module: &M) -> BTreeSet<ParamId> {
    let mut frozen = Frozen::default();
    module.visit(&mut frozen);
    frozen.0
}

#[derive(Default)]
struct Frozen(BTreeSet<ParamId>);

impl ModuleVisitor for Frozen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Asked on an autodiff device, where tensors tell.
        if !param.valid().train().val().is_require_grad() {
            self.0.insert(param.id);
        }
    }
}
