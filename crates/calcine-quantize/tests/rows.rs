//! A network quantized on the device under test: quick where every shape is compiled anew.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_quantize::{Calibration, QuantizationSettings, quantize};
use calcine_testkit::{ConvNet, device, is_host, numbers};
use calcine_trace::trace;

/// The logits of a model in 8-bit integers, computed on a device.
fn logits(model: &ConvNet, device: &Device) -> Vec<f32> {
    let model = model.clone().to_device(device);
    let images = numbers([3, 2, 6, 6]).to_device(device);
    let network = trace(&model, images.clone(), ConvNet::forward).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&images)).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let logits: Tensor<2> = quantized.forward(images);
    logits.into_data().iter().collect()
}

/// Host devices agree to the bit. A GPU may divide with an error in the last bit, which moves what lies between two
/// integers to the other one.
#[test]
fn integers_are_those_of_the_reference_device() {
    let model = ConvNet::new(&device());
    let found = logits(&model, &device());
    let expected = logits(&model, &Device::flex());
    if is_host() {
        assert_eq!(found, expected);
        return;
    }
    let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() <= 0.02 * most,
            "{found}, {expected}"
        );
    }
}
