use burn::module::{Flag, Module, ModuleMapper, Param};

use crate::walk::Walk;

/// Sets the flags of a module's layers, which switch what they do in training: a dropout, or the statistics of a batch norm.
///
/// `enabled` gets the type of the layer that owns a flag, such as `BatchNorm`. Parameters stay as they are.
#[must_use]
pub fn set_flags<M: Module>(module: M, enabled: impl FnMut(&str) -> bool) -> M {
    module.map(&mut Flags {
        walk: Walk::default(),
        enabled,
    })
}

struct Flags<F> {
    walk: Walk,
    enabled: F,
}

impl<F: FnMut(&str) -> bool> ModuleMapper for Flags<F> {
    fn enter_module(&mut self, name: &str, owner: &str) {
        self.walk.enter(name, owner);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.walk.leave();
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value((self.enabled)(self.walk.layer()))
    }
}
