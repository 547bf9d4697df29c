//! What is written is read again, and computes the same.

use std::io::{Read, Write};

use burn::tensor::Tensor;
use calcine_quantize::{Calibration, Quantized, QuantizedFileError, Settings, quantize};
use calcine_testkit::{device, each};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::models::{images, network};

#[test]
fn a_file_computes_the_same_bit_for_bit() {
    let network = network();
    let seen = Calibration::of(&network, &[images(6, 0)]).unwrap();
    let x = images(3, 5);
    let rows = [[8, 8], [4, 8], [3, 4], [2, 2], [12, 4], [7, 0]].into_iter();
    let rows = rows.flat_map(|bits| [(bits, false), (bits, true)]);
    each(rows, |(bits, dynamic)| {
        let mut settings = Settings::default();
        settings.weights.bits = bits[0];
        settings.activations.bits = bits[1];
        settings.activations.dynamic = *dynamic;
        settings.weights.per_channel = !dynamic;
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

/// A description that somebody changed is refused, or computes; it never panics.
#[test]
fn descriptions_that_do_not_fit_say_what() {
    const NETWORK: &str = "network.json.deflate";
    let network = network();
    let seen = Calibration::of(&network, &[images(2, 0)]).unwrap();
    let bytes = quantize(&network, &seen, &Settings::default())
        .unwrap()
        .to_bytes()
        .unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut text = String::new();
    DeflateDecoder::new(file.tensor(NETWORK).unwrap().data())
        .read_to_string(&mut text)
        .unwrap();
    let original: Value = serde_json::from_str(&text).unwrap();
    let read = |change: &dyn Fn(&mut Value)| {
        let mut description = original.clone();
        change(&mut description);
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflated
            .write_all(description.to_string().as_bytes())
            .unwrap();
        let deflated = deflated.finish().unwrap();
        let mut views: Vec<(String, TensorView<'_>)> = Vec::new();
        for (name, view) in file.iter().filter(|(name, _)| *name != NETWORK) {
            let view = TensorView::new(view.dtype(), view.shape().to_vec(), view.data()).unwrap();
            views.push((name.to_owned(), view));
        }
        let own = TensorView::new(Dtype::U8, vec![deflated.len()], &deflated).unwrap();
        views.push((NETWORK.to_owned(), own));
        let bytes = safetensors::serialize(views, None).unwrap();
        Quantized::from_bytes(&bytes, &device())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(&|_| {}), Ok(()));
    type Change = fn(&mut Value);
    let rows: [(Change, &str); 13] = [
        (|d| d["format"] = 9.into(), "format 9"),
        (
            |d| d["layers"][0]["affine"] = true.into(),
            "`zeros` has too few numbers",
        ),
        (
            |d| d["layers"][0]["node"] = 9999.into(),
            "there is no node 9999",
        ),
        (|d| d["layers"][0]["axis"] = 1.into(), "`stem`"),
        (|d| d["layers"][0]["bits"] = 1.into(), "1-bit"),
        (
            |d| d["layers"][0]["shape"] = Value::from(vec![1, 2]),
            "the graph has",
        ),
        (|d| d["grids"][0]["step"] = 0.0.into(), "is no grid"),
        (|d| d["grids"][0]["zero"] = 1000.into(), "is no grid"),
        (
            |d| d["grids"][0] = Value::Null,
            "`float_biases` has too few numbers",
        ),
        (
            |d| d["layers"][0]["steps"] = 2.into(),
            "2 steps of 8 outputs",
        ),
        (|d| d["layers"][0]["steps"] = 1.into(), "numbers too many"),
        (
            |d| d["layers"][0]["group"] = 100.into(),
            "8 steps of 8 outputs in groups of 100",
        ),
        (
            |d| d["layers"][0]["dynamic"] = serde_json::json!({"bits": 8, "scheme": "affine"}),
            "`stem` has Some(Dynamic",
        ),
    ];
    each(rows, |(change, expected)| {
        let error = read(change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    });
}
