use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// An operation that changes the values of some parameters of any rank.
pub trait Edit {
    /// Whether to change this parameter. All others are left as they are.
    fn wants(&self, id: ParamId) -> bool;

    /// The new value. It must have the same shape, unless the layer takes its widths from its tensors.
    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D>;
}

/// Replaces stored values; the parameters remain trainable as before.
///
/// [`Edit::edit`] receives values without autodiff. Its result, with or without autodiff, becomes a leaf with the same identifier, the
/// same `require_grad` setting and the same distributed mark. Nothing is read from the device. Parameters with an attached
/// reparameterization keep it; the base value is edited. A parameter that the module uses in several places is edited once and
/// remains a single tensor.
#[must_use]
pub fn edit<M: Module, E: Edit>(module: M, edit: &mut E) -> M {
    let edited = HashMap::new();
    module.map(&mut Stored { edit, edited })
}

/// A copy of the module with different values, for one forward pass.
///
/// Unlike with [`edit`], the values stay connected to the original parameters by autodiff: run the forward pass of the view, collect the
/// gradients for the *original* module, and drop the view before the optimizer step. Batch-norm statistics are shared with the
/// original, so the forward pass of the view updates them.
#[must_use]
pub fn view<M: Module, E: Edit>(module: &M, edit: &mut E) -> M {
    module.clone().map(&mut Viewed { edit })
}

struct Stored<'a, E> {
    edit: &'a mut E,
    /// The tensors so far, for the other uses of the same parameters: leaves of their own would train apart.
    edited: HashMap<ParamId, Box<dyn Any>>,
}

impl<E: Edit> ModuleMapper for Stored<'_, E> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if let Some(tensor) = self
            .edited
            .get(&id)
            .and_then(|tensor| tensor.downcast_ref())
        {
            return param.map(|_: Tensor<D>| Tensor::clone(tensor));
        }
        if !self.edit.wants(id) {
            return param;
        }
        let mut kept = None;
        let param = param.map(|value| {
            let trained = value.is_require_grad();
            // Burn panics when a tensor outside autodiff is asked.
            let distributed = value.is_autodiff() && value.is_distributed();
            let device = value.device();
            let value = self.edit.edit(id, value.set_require_grad(false));
            let value = with_autodiff_of(&device, value).set_require_grad(trained);
            let value = if distributed {
                value.set_distributed(id)
            } else {
                value
            };
            kept = Some(value.clone());
            value
        });
        if let Some(value) = kept {
            self.edited.insert(id, Box::new(value));
        }
        param
    }
}

/// The value inside autodiff or outside as the device is, and with its checkpointing strategy.
fn with_autodiff_of<const D: usize>(device: &Device, value: Tensor<D>) -> Tensor<D> {
    if !device.is_autodiff() {
        return value.without_autodiff();
    }
    let value = value.autodiff();
    #[cfg(feature = "gradients")]
    if let Some(strategy) = device.gradient_checkpointing_strategy() {
        return value.with_gradient_checkpointing_strategy(strategy);
    }
    value
}

struct Viewed<'a, E> {
    edit: &'a mut E,
}

impl<E: Edit> ModuleMapper for Viewed<'_, E> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if self.edit.wants(id) {
            param.map(|value| self.edit.edit(id, value))
        } else {
            param
        }
    }
}
