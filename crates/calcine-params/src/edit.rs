use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// A change of some parameters' values, whatever their rank.
pub trait Edit {
    /// Whether this parameter is to be changed. The others are not touched.
    fn wants(&self, id: ParamId) -> bool;

    /// The new value: of the same shape, unless the layer takes its widths from its tensors.
    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D>;
}

/// Replaces stored values and keeps how the parameters train.
///
/// The values handed to [`Edit::edit`] are outside the tape, and what it returns, with autodiff or
/// without, becomes a leaf again with the same id, the same requirement for gradients and the same
/// distributed mark. Nothing is read. Parameters with an attached reparameterization keep it; its base
/// is what is edited. A parameter that the module uses in several places is edited once, and stays one tensor.
#[must_use]
pub fn edit<M: Module, E: Edit>(module: M, edit: &mut E) -> M {
    let edited = HashMap::new();
    module.map(&mut Stored { edit, edited })
}

/// The module with other values, for one forward pass.
///
/// Unlike [`edit`], the values stay on the tape: run the forward pass on the view, collect the
/// gradients with the *original* module, drop the view before the optimizer's step. Batch-norm
/// statistics are shared with the original, which the view's forward pass therefore updates.
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
