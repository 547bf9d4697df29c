//! What cannot be quantized says what and where.

use burn::tensor::Tensor;
use calcine_quantize::{
    Calibration, Method, QatNetwork, QuantizationSettings, QuantizeError, quantize,
};
use calcine_testkit::each;

use crate::models::{images, network, settings};

#[test]
fn settings_say_what_is_wrong_with_them() {
    let rows = [
        (
            "[prepare]\nsmooth = 1.5",
            "`prepare.smooth` is 1.5, expected 0 to 1",
        ),
        (
            "[accumulator]\nbits = 40",
            "`accumulator.bits` is 40, expected 8 to 32",
        ),
        ("[weights]\ngroup = 0", "`weights.group` is 0"),
        (
            "[weights]\ngroup = 32\nper_channel = false",
            "groups with `per_channel = true` alone",
        ),
        (
            "[[layer]]\nname = \"{\"\nfloat = \"f32\"",
            "`layer.name` is `{`, expected a name or a glob",
        ),
        (
            "[activations]\nbits = 17",
            "`activations.bits` is 17, expected 1 to 16",
        ),
        (
            "[[layer]]\nname = \"fc\"\nweight_stretch = 0.0",
            "`layer.fc.weight_stretch` is 0, expected a number above 0",
        ),
    ];
    each(rows, |(text, expected)| {
        let asked = settings(text);
        let error = asked.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(asked.problems().len(), 1);
    });
    let all =
        "[weights]\nbits = 0\n[activations]\nbits = 17\n[accumulator]\nbits = 4\nbias_bits = 4";
    assert_eq!(settings(all).problems().len(), 4);
}

#[test]
fn what_does_not_fit_is_named() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let refused = |text: &str| {
        let asked = settings(text);
        quantize(&network, &calibration, &asked)
            .unwrap_err()
            .to_string()
    };
    let rows = [
        (
            "[weights]\nbits = 1",
            "`weights.bits` is 1, expected 2 to 16",
        ),
        (
            "[[layer]]\nname = \"haed\"\nfloat = \"f32\"",
            "nearest: head",
        ),
        (
            "[weights]\nbits = 16\n[activations]\nbits = 16",
            "give it fewer bits",
        ),
        (
            "[accumulator]\nbits = 16",
            "beyond 32767: give it fewer bits",
        ),
        (
            "[accumulator]\nbias_bits = 8",
            "beyond 127: give it fewer bits",
        ),
    ];
    each(rows, |(text, expected)| {
        let error = refused(text);
        assert!(error.contains(expected), "{error}");
    });
    let none: Result<_, QuantizeError> = Calibration::collect::<Tensor<4>>(&network, &[]);
    assert!(matches!(none, Err(QuantizeError::NoBatch)));
    let mut partly = calibration.clone();
    partly.values.remove("head");
    assert!(
        quantize(&network, &partly, &QuantizationSettings::default()).is_ok(),
        "the last sums have no quantizer"
    );
    partly.values.remove("stem_norm.relu");
    let error = quantize(&network, &partly, &QuantizationSettings::default()).unwrap_err();
    assert!(error.to_string().contains("`stem_norm.relu`"), "{error}");
}

#[test]
fn networks_that_train_say_what_does_not_fit_too() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let rows = [
        (Method::Lsq, 1, "is 1, expected 2 to 16"),
        (Method::Linear { decay: 0.9 }, 1, "is 1, expected 2 to 16"),
        (Method::Wrpn, 0, "is 0, expected 2 to 16"),
        (Method::Dorefa, 0, "is 0, expected 1 to 15"),
        (Method::Pact, 16, "is 16, expected 1 to 15"),
    ];
    each(rows, |(method, bits, expected)| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = *bits;
        let error = QatNetwork::new(network.clone(), &calibration, &settings, *method).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    });
    let asked = settings("[weights]\ngroup = 4");
    let error = QatNetwork::new(network.clone(), &calibration, &asked, Method::Lsq).unwrap_err();
    assert!(error.to_string().contains("`weights.group`"), "{error}");
    let asked = settings("[accumulator]\nbits = 16");
    let qat = QatNetwork::new(network, &calibration, &asked, Method::Lsq).unwrap();
    let error = qat.quantized().unwrap_err().to_string();
    assert!(error.contains("beyond 32767"), "{error}");
}

#[test]
fn first_last_and_overrides_have_bits_of_their_own() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let bits = |text: &str| {
        let asked = settings(&format!("[weights]\nbits = 4\n{text}"));
        let quantized = quantize(&network, &calibration, &asked).unwrap();
        let bits = quantized
            .layers()
            .map(|layer| layer.bits)
            .collect::<Vec<_>>();
        let integers = quantized.quantizer("input").map(|quantizer| quantizer.high);
        (bits, integers)
    };
    assert_eq!(bits(""), (vec![4; 6], Some(255)));
    let ends = "[first_last]\nweight_bits = 8\nactivation_bits = 6\n";
    assert_eq!(bits(ends), (vec![8, 4, 4, 4, 4, 8], Some(63)));
    let overridden = format!("{ends}[[layer]]\nname = \"head\"\nweight_bits = 5\n");
    assert_eq!(bits(&overridden), (vec![8, 4, 4, 4, 4, 5], Some(63)));
    assert_eq!(bits("[first_last]\nfloat = \"f32\""), (vec![4; 4], None));
}

/// Levels of `dorefa` and `pact` are no symmetric integers: one bit is enough, and 16 are too many.
#[test]
fn bits_and_numbers_are_those_that_the_method_has() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let rows = [
        (Method::Lsq, 1, false),
        (Method::Lsq, 16, true),
        (Method::Dorefa, 1, true),
        (Method::Dorefa, 16, false),
        (Method::Pact, 0, false),
        (Method::Wrpn, 2, true),
        (Method::Linear { decay: 0.0 }, 8, true),
        (Method::Linear { decay: 1.0 }, 8, false),
        (Method::Linear { decay: -0.5 }, 8, false),
        (Method::Linear { decay: f64::NAN }, 8, false),
    ];
    each(rows, |(method, bits, expected)| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = *bits;
        let qat = QatNetwork::new(network.clone(), &calibration, &settings, *method);
        assert_eq!(qat.is_ok(), *expected, "{:?}", qat.err());
    });
}
