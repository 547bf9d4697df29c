//! Writes a small convolutional network as an ONNX file, reads it again, and writes it in 8 bits in every form.
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_onnx::{ExportOptions, Form, ImportOptions, export, export_quantized, read_bytes};
use calcine_quantize::{Calibration, QuantizationSettings, quantize};
use calcine_trace::trace;

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        let x: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        self.head.forward(x)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(7);
    let net = Net {
        conv: Conv2dConfig::new([3, 16], [3, 3]).init(&device),
        norm: BatchNormConfig::new(16).init(&device),
        head: LinearConfig::new(16, 10).init(&device),
    };
    let images = Tensor::<4>::random([8, 3, 16, 16], Distribution::Normal(0.0, 1.0), &device);
    let network = trace(&net, images.clone(), |net, images| net.forward(images))?;

    let file = export(&network, &ExportOptions::default())?.to_bytes()?;
    let again = read_bytes(&file, &ImportOptions::default(), &device)?;
    let (a, b): (Tensor<2>, Tensor<2>) = (
        network.forward(images.clone()),
        again.forward(images.clone()),
    );
    let off = (a - b).abs().max().into_scalar::<f32>();
    println!(
        "float: {} bytes; read again, outputs differ by {off:.1e}",
        file.len()
    );
    let paths = again
        .graph()
        .parameters()
        .map(|(_, value)| value.name.as_str());
    println!("parameters: {}", paths.collect::<Vec<_>>().join(", "));

    let seen = Calibration::collect(&network, std::slice::from_ref(&images))?;
    let quantized = quantize(&network, &seen, &QuantizationSettings::default())?;
    for form in Form::QUANTIZED {
        let mut options = ExportOptions::default();
        options.form = Some(form);
        let model = export_quantized(&quantized, &options)?;
        println!(
            "{form}: {} bytes, opset {}",
            model.to_bytes()?.len(),
            model.opset()
        );
    }
    Ok(())
}
