//! Quantized networks of many settings in the forms that are offered for each runtime, against `Quantized::forward`.

use calcine_onnx::{ExportError, ExportOptions, Form, Runtime, export_quantized};
use calcine_quantize::{Override, QuantizationSettings, Scheme};

use crate::engines::engines;
use crate::nets::{Row, decoder, differences, exact_forms, images, net, quantized};

/// The default settings with a change.
pub(crate) fn settings(change: impl Fn(&mut QuantizationSettings)) -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    change(&mut settings);
    settings
}

/// Settings under which all layers have integer inputs.
fn integer_settings() -> Vec<(&'static str, QuantizationSettings)> {
    let mixed = |name: &str, bits: [u8; 2]| Override {
        name: name.to_owned(),
        weight_bits: Some(bits[0]),
        activation_bits: Some(bits[1]),
        ..Override::default()
    };
    vec![
        ("default", QuantizationSettings::default()),
        (
            "symmetric",
            settings(|s| s.activations.scheme = Scheme::Symmetric),
        ),
        ("per_tensor", settings(|s| s.weights.per_channel = false)),
        (
            "powers",
            settings(|s| (s.weights.power_of_two, s.activations.power_of_two) = (true, true)),
        ),
        (
            "four_bits",
            settings(|s| (s.weights.bits, s.activations.bits) = (4, 4)),
        ),
        (
            "affine",
            settings(|s| (s.weights.scheme, s.weights.per_channel) = (Scheme::Affine, false)),
        ),
        (
            "affine_channels",
            settings(|s| s.weights.scheme = Scheme::Affine),
        ),
        (
            "accumulator",
            settings(|s| (s.weights.bits, s.accumulator.bits) = (4, 20)),
        ),
        ("sixteen_bits", settings(|s| s.activations.bits = 16)),
        (
            "sixteen_bits_symmetric",
            settings(|s| (s.activations.bits, s.activations.scheme) = (12, Scheme::Symmetric)),
        ),
        (
            "wide_weights",
            settings(|s| (s.weights.bits, s.activations.bits) = (12, 10)),
        ),
        (
            "mixed",
            settings(|s| {
                s.layers = vec![
                    mixed("stem", [3, 5]),
                    mixed("branch", [8, 16]),
                    mixed("tokens", [16, 8]),
                ];
            }),
        ),
    ]
}

/// Every layer of which a runtime has integers, or whole numbers, gives the codes of `Quantized`.
#[test]
fn integer_networks_are_equal_bit_for_bit() {
    let (network, x) = (net(), images(1.0));
    let mut rows = Vec::new();
    for (name, settings) in integer_settings() {
        let quantized = quantized(&network, &settings);
        let wide = settings.activations.bits > 8 || name == "mixed" || settings.weights.bits > 8;
        for runtime in engines() {
            for &form in exact_forms(runtime) {
                // What has more than 8 bits is in floats there, or not written.
                if wide && (form == Form::Qdq || runtime == Runtime::Tract) {
                    continue;
                }
                rows.push(Row::new(name, (runtime, Some(form)), &quantized, &x).unwrap());
            }
        }
    }
    let found = differences(&rows);
    let wrong: Vec<_> = found.iter().filter(|(_, off)| *off != 0.0).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a runtime computes in float differs by its rounding, and in nothing else.
#[test]
fn what_is_computed_in_float_is_near() {
    let (network, x) = (net(), images(1.0));
    let weights_only = |bits: u8| settings(|s| (s.activations.bits, s.weights.bits) = (0, bits));
    let grouped = |scheme: Scheme| {
        settings(|s| {
            (s.activations.bits, s.weights.bits, s.weights.group) = (0, 4, Some(5));
            s.weights.scheme = scheme;
        })
    };
    let cases = [
        ("sixteen_bits", settings(|s| s.activations.bits = 16), 1e-4),
        (
            "wide_weights",
            settings(|s| (s.weights.bits, s.activations.bits) = (12, 10)),
            1e-4,
        ),
        ("weights_8", weights_only(8), 1e-5),
        ("weights_4", weights_only(4), 1e-5),
        ("weights_16", weights_only(16), 1e-5),
        ("groups", grouped(Scheme::Symmetric), 1e-5),
        ("affine_groups", grouped(Scheme::Affine), 1e-5),
    ];
    let (mut rows, mut bounds) = (Vec::new(), Vec::new());
    for (name, settings, bound) in cases {
        let quantized = quantized(&network, &settings);
        for runtime in engines() {
            rows.push(Row::new(name, (runtime, Some(Form::Qdq)), &quantized, &x).unwrap());
            // OpenVINO rounds otherwise next to ties.
            bounds.push(if runtime == Runtime::OpenVino {
                1e-2
            } else {
                bound
            });
        }
    }
    let found = differences(&rows).into_iter().zip(bounds);
    let wrong: Vec<_> = found.filter(|((_, off), bound)| off > bound).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Ranges of each batch: in integers where the runtime has them, else in floats.
#[test]
fn dynamic_ranges_are_equal() {
    let (network, x) = (net(), images(1.0));
    let mut rows = Vec::new();
    for (name, bits, scheme) in [
        ("dynamic", 8, Scheme::Affine),
        ("dynamic_symmetric", 8, Scheme::Symmetric),
        ("dynamic_4", 4, Scheme::Affine),
        ("dynamic_12", 12, Scheme::Affine),
    ] {
        let settings = settings(|s| {
            s.activations.dynamic = true;
            (s.activations.bits, s.activations.scheme) = (bits, scheme);
        });
        let quantized = quantized(&network, &settings);
        for runtime in engines() {
            rows.push(Row::new(name, (runtime, None), &quantized, &x).unwrap());
        }
    }
    let found = differences(&rows);
    // Between the layers all is float, so that a sum's last bit may decide about an integer.
    let wrong: Vec<_> = found
        .iter()
        .filter(|(name, off)| {
            *off > if name.contains("openvino") {
                5e-2
            } else {
                1e-3
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn transposed_convolutions_are_whole_numbers() {
    let (network, x) = (decoder(), images(1.0));
    let quantized = quantized(&network, &QuantizationSettings::default());
    let mut rows = Vec::new();
    for runtime in engines() {
        for &form in exact_forms(runtime) {
            if form != Form::Qdq || runtime == Runtime::Rten {
                rows.push(Row::new("decoder", (runtime, Some(form)), &quantized, &x).unwrap());
            }
        }
    }
    let found = differences(&rows);
    let wrong: Vec<_> = found.iter().filter(|(_, off)| *off != 0.0).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A form that a runtime refuses, or computes wrongly, is no file.
#[test]
fn forms_that_a_runtime_cannot_compute_are_refused() {
    let network = net();
    let eight = quantized(&network, &QuantizationSettings::default());
    for (runtime, form) in [
        (Runtime::OpenVino, Form::QOperator),
        (Runtime::TensorRt, Form::QOperator),
        (Runtime::TensorRt, Form::Integer),
        (Runtime::Rten, Form::QOperator),
        (Runtime::Rten, Form::Integer),
    ] {
        let mut options = ExportOptions::default();
        (options.runtime, options.form) = (Some(runtime), Some(form));
        let error = export_quantized(&eight, &options).unwrap_err();
        assert!(matches!(error, ExportError::Form { .. }), "{error}");
        assert!(error.to_string().contains("valid"), "{error}");
    }
    let words = quantized(&network, &settings(|s| s.activations.bits = 16));
    let mut options = ExportOptions::default();
    options.runtime = Some(Runtime::Tract);
    let error = export_quantized(&words, &options).unwrap_err();
    assert!(error.to_string().contains("at most 8 bits"), "{error}");
    // TensorRT has no other zero points than zero: the default has them, and symmetric activations have not.
    let mut options = ExportOptions::default();
    options.runtime = Some(Runtime::TensorRt);
    let error = export_quantized(&eight, &options).unwrap_err();
    assert!(error.to_string().contains("symmetric"), "{error}");
    let symmetric = settings(|s| s.activations.scheme = Scheme::Symmetric);
    let symmetric = quantized(&network, &symmetric);
    assert!(export_quantized(&symmetric, &options).is_ok());
}

/// What a runtime computes otherwise than in 8-bit integers is said.
#[test]
fn remarks_name_the_layers() {
    let network = net();
    let wide = quantized(&network, &settings(|s| s.activations.bits = 16));
    let said = |runtime: Runtime, form: Form| -> String {
        let remarks = runtime.remarks(&wide, form);
        remarks.iter().map(|remark| format!("{remark}\n")).collect()
    };
    for (runtime, form, words) in [
        (Runtime::OnnxRuntime, Form::Qdq, "computes in float"),
        (Runtime::OnnxRuntime, Form::Integer, "two bytes"),
        (Runtime::OpenVino, Form::Qdq, "more than 8 bits"),
        (Runtime::Rten, Form::Qdq, "whole numbers"),
    ] {
        assert!(
            said(runtime, form).contains(words),
            "{runtime}: {}",
            said(runtime, form)
        );
    }
    let eight = quantized(&network, &QuantizationSettings::default());
    assert!(Runtime::OnnxRuntime.remarks(&eight, Form::Qdq).is_empty());
}
