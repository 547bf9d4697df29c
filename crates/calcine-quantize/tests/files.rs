//! What is written is read again, and computes the same.

use burn::tensor::Tensor;
use calcine_quantize::{Calibration, Quantized, QuantizedFileError, Settings, quantize};
use calcine_testkit::{device, each};

use crate::models::{images, network};

#[test]
fn a_file_computes_the_same_bit_for_bit() {
    let network = network();
    let seen = Calibration::of(&network, &[images(6, 0)]).unwrap();
    let x = images(3, 5);
    each([[8, 8], [4, 8], [3, 4], [2, 2], [12, 4], [7, 0]], |bits| {
        let mut settings = Settings::default();
        settings.weights.bits = bits[0];
        settings.activations.bits = bits[1];
        let quantized = quantize(&network, &seen, &settings).unwrap();
        let bytes = quantized.to_bytes().unwrap();
        let again = Quantized::from_bytes(&bytes, &device()).unwrap();
        let (a, b): (Tensor<2>, Tensor<2>) =
            (quantized.forward(x.clone()), again.forward(x.clone()));
        assert_eq!(a.into_data(), b.into_data());
        assert_eq!(again.to_bytes().unwrap(), bytes);
        for (a, b) in quantized.layers().zip(again.layers()) {
            assert_eq!(a, b);
        }
    });
}

#[test]
fn fewer_bits_are_fewer_bytes() {
    let network = network();
    let seen = Calibration::of(&network, &[images(6, 0)]).unwrap();
    let stored = |bits: u8| {
        let mut settings = Settings::default();
        settings.weights.bits = bits;
        let quantized = quantize(&network, &seen, &settings).unwrap();
        (
            quantized.stored_bytes(),
            quantized.to_bytes().unwrap().len(),
        )
    };
    let weights: usize = quantize(&network, &seen, &Settings::default())
        .unwrap()
        .layers()
        .map(|layer| layer.weight.len())
        .sum();
    let (eight, four) = (stored(8), stored(4));
    // Layers with an odd number of weights round up.
    assert_eq!(eight.0 - four.0, weights / 2);
    // The head and the graph are nearly the same.
    let beside = |(stored, file): (usize, usize)| file - stored;
    assert!(beside(eight).abs_diff(beside(four)) < 500);
}

#[test]
fn what_is_no_quantized_network_says_so() {
    let network = network();
    let seen = Calibration::of(&network, &[images(2, 0)]).unwrap();
    let bytes = quantize(&network, &seen, &Settings::default())
        .unwrap()
        .to_bytes()
        .unwrap();
    let float = Quantized::from_bytes(&network.to_bytes().unwrap(), &device());
    assert!(matches!(float, Err(QuantizedFileError::NoNetwork)));
    for cut in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        assert!(Quantized::from_bytes(&bytes[..cut], &device()).is_err());
    }
}

#[test]
fn a_calibration_is_read_as_it_was_written() {
    let seen = Calibration::of(&network(), &[images(3, 0), images(2, 4)]).unwrap();
    assert_eq!(seen.samples, 5);
    let file = tempfile::NamedTempFile::new().unwrap();
    seen.save(file.path()).unwrap();
    assert_eq!(Calibration::load(file.path()).unwrap(), seen);
    std::fs::write(file.path(), "{\"format\": 1,\n \"samples\": \"five\"}").unwrap();
    let error = Calibration::load(file.path()).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}
