use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_params::{Edit, Inventory, Parameter, view};
use calcine_quant::fake_quantize_rows;

/// Weight-only quantization-aware training of any module: returns the module with fake-quantized weights for one
/// forward pass. The quantizers are symmetric and cover the largest magnitude, with one scale per output or one for the
/// whole weight.
///
/// Run the forward pass on the returned module, and collect gradients and step the optimizer for the original module:
/// gradients pass straight through. Activations and biases stay in float. Nothing is read from the device.
///
/// # Panics
///
/// If `bits` is not 2 to 16.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_params::Role;
/// use calcine_quantize::fake_quantize_weights;
///
/// let device = Device::flex();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let fake_quantized = fake_quantize_weights(&model, 3, true, |parameter| parameter.role == Role::Weight);
/// let y = fake_quantized.forward(Tensor::<2>::ones([1, 4], &device));
/// # assert_eq!(y.dims(), [1, 2]);
/// ```
#[must_use]
pub fn fake_quantize_weights<M: Module>(
    model: &M,
    bits: u8,
    per_channel: bool,
    wanted: impl Fn(&Parameter) -> bool,
) -> M {
    let inventory = Inventory::from_module(model);
    let weights = inventory
        .iter()
        .filter(|parameter| parameter.shape.len() > 1 && wanted(parameter));
    let axes = weights.map(|parameter| {
        let axis = parameter.output_axis().filter(|_| per_channel);
        (parameter.id, axis)
    });
    view(
        model,
        &mut FakeQuantize {
            bits,
            axes: axes.collect(),
        },
    )
}

struct FakeQuantize {
    bits: u8,
    /// The axis of the outputs, for weights with one scale per output.
    axes: BTreeMap<ParamId, Option<usize>>,
}

impl Edit for FakeQuantize {
    fn wants(&self, id: ParamId) -> bool {
        self.axes.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        fake_quantized(value, self.axes.get(&id).copied().flatten(), self.bits)
    }
}

/// Fake-quantizes a weight with quantizers for the largest magnitude along an axis, or of all elements.
pub(crate) fn fake_quantized<const D: usize>(
    weight: Tensor<D>,
    axis: Option<usize>,
    bits: u8,
) -> Tensor<D> {
    let units = axis.map_or(1, |axis| weight.dims()[axis]);
    let first = weight.swap_dims(0, axis.unwrap_or(0));
    let shape = first.dims();
    let rows = first.reshape([units, shape.iter().product::<usize>() / units]);
    let fake_quantized = fake_quantize_rows(rows, bits).reshape(shape);
    fake_quantized.swap_dims(0, axis.unwrap_or(0))
}
