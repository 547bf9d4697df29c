//! What is written is read again, and computes the same.

use std::io::{Read, Write};

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use calcine_format::QuantizedFile;
use calcine_quantize::{
    Calibration, FloatType, Override, QuantizationSettings, Quantized, QuantizedFileError, Scheme,
    quantize,
};
use calcine_testkit::{device, each, numbers, values};
use calcine_trace::{Network, trace};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::models::{images, network, reread};

const NETWORK: &str = "network.json.deflate";

/// What a file says besides its tensors.
fn description(bytes: &[u8]) -> Value {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let mut text = String::new();
    DeflateDecoder::new(file.tensor(NETWORK).unwrap().data())
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The file with another description.
fn described(bytes: &[u8], description: &Value) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).unwrap();
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
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn a_file_computes_the_same_bit_for_bit() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(6, 0)]).unwrap();
    let x = images(3, 5);
    let rows = [[8, 8], [4, 8], [3, 4], [2, 2], [12, 4], [7, 0]].into_iter();
    let rows = rows.flat_map(|bits| [(bits, false), (bits, true)]);
    each(rows, |(bits, dynamic)| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = bits[0];
        settings.activations.bits = bits[1];
        settings.activations.dynamic = *dynamic;
        settings.weights.per_channel = !dynamic;
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let bytes = quantized.to_bytes().unwrap();
        let again = Quantized::from_bytes(&bytes, &device()).unwrap();
        let (a, b): (Tensor<2>, Tensor<2>) =
            (quantized.forward(x.clone()), again.forward(x.clone()));
        assert_eq!(a.into_data(), b.into_data());
        assert_eq!(again.to_bytes().unwrap(), bytes);
        let data = QuantizedFile::from(&quantized);
        assert_eq!(data, QuantizedFile::from_bytes(&bytes).unwrap());
        data.check().unwrap();
        for (a, b) in quantized.layers().zip(again.layers()) {
            assert_eq!(a, b);
        }
    });
}

#[test]
fn fewer_bits_are_fewer_bytes() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(6, 0)]).unwrap();
    let stored = |bits: u8| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = bits;
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        (
            quantized.stored_bytes(),
            quantized.to_bytes().unwrap().len(),
        )
    };
    let weights: usize = quantize(&network, &calibration, &QuantizationSettings::default())
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
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let bytes = quantize(&network, &calibration, &QuantizationSettings::default())
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
    let calibration = Calibration::collect(&network(), &[images(3, 0), images(2, 4)]).unwrap();
    assert_eq!(calibration.samples, 5);
    let file = tempfile::NamedTempFile::new().unwrap();
    calibration.save(file.path()).unwrap();
    assert_eq!(Calibration::load(file.path()).unwrap(), calibration);
    std::fs::write(file.path(), "{\"format\": 1,\n \"samples\": \"five\"}").unwrap();
    let error = Calibration::load(file.path()).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}

/// A description that somebody changed is refused, or computes; it never panics.
#[test]
fn descriptions_that_do_not_fit_say_what() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let bytes = quantize(&network, &calibration, &QuantizationSettings::default())
        .unwrap()
        .to_bytes()
        .unwrap();
    let original = description(&bytes);
    let read = |change: &dyn Fn(&mut Value)| {
        let mut changed = original.clone();
        change(&mut changed);
        Quantized::from_bytes(&described(&bytes, &changed), &device())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(&|_| {}), Ok(()));
    type Change = fn(&mut Value);
    let rows: [(Change, &str); 13] = [
        (|d| d["format"] = 9.into(), "format version 9"),
        (
            |d| d["layers"][0]["affine"] = true.into(),
            "`layers/zero_points` has too few numbers",
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
        (
            |d| d["quantizers"][0]["scale"] = 0.0.into(),
            "is no quantizer",
        ),
        (
            |d| d["quantizers"][0]["zero_point"] = 1000.into(),
            "is no quantizer",
        ),
        (
            |d| d["quantizers"][0] = Value::Null,
            "`layers/float_biases` has too few numbers",
        ),
        (
            |d| d["layers"][0]["scales"] = 2.into(),
            "2 scales of 8 outputs",
        ),
        (|d| d["layers"][0]["scales"] = 1.into(), "numbers too many"),
        (
            |d| d["layers"][0]["group"] = 100.into(),
            "8 scales of 8 outputs in groups of 100",
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

#[derive(Module, Debug)]
struct Adversarial {
    scales: Param<Tensor<1>>,
    zero_points: Param<Tensor<1>>,
    biases: Param<Tensor<1>>,
    float_biases: Param<Tensor<1>>,
    network: Param<Tensor<1>>,
    layers: Vec<Param<Tensor<1>>>,
    constant: Vec<Param<Tensor<1>>>,
    integers: Linear,
    float: Inside,
}

#[derive(Module, Debug)]
struct Inside {
    integers: Linear,
    weight: Linear,
    scales: Param<Tensor<1>>,
}

impl Adversarial {
    fn new() -> Self {
        let at = std::cell::Cell::new(0);
        let parameter = || {
            at.set(at.get() + 3);
            let numbers = values(at.get())[at.get() - 3..].to_vec();
            Param::from_tensor(Tensor::from_floats(numbers.as_slice(), &device()))
        };
        let linear = || LinearConfig::new(3, 3).init(&device());
        Self {
            scales: parameter(),
            zero_points: parameter(),
            biases: parameter(),
            float_biases: parameter(),
            network: parameter(),
            layers: (0..3).map(|_| parameter()).collect(),
            constant: (0..24).map(|_| parameter()).collect(),
            integers: linear(),
            float: Inside {
                integers: linear(),
                weight: linear(),
                scales: parameter(),
            },
        }
    }

    /// With constants of its own of every kind.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let device = x.device();
        let row = |values: [f32; 3]| Tensor::<1>::from_floats(values, &device).reshape([1, 3]);
        let mut y = self
            .float
            .weight
            .forward(self.float.integers.forward(self.integers.forward(x)));
        let all = [
            &self.scales,
            &self.zero_points,
            &self.biases,
            &self.float_biases,
            &self.network,
            &self.float.scales,
        ];
        for (at, own) in all
            .into_iter()
            .chain(&self.layers)
            .chain(&self.constant)
            .enumerate()
        {
            let own = own.val().reshape([1, 3]);
            y = match at % 2 {
                0 => y + own,
                _ => y * (own + 1.0),
            };
        }
        y = y * row([0.5, -2.0, 1.5]);
        let order = Tensor::<1, Int>::from_ints([2, 0, 1], &device);
        let keep = Tensor::<2, Bool>::from_bool(TensorData::from([[true, false, true]]), &device);
        let rows = y.dims()[0];
        let keep = keep.expand([rows, 3]);
        y.select(1, order).mask_fill(keep, f32::NEG_INFINITY)
    }
}

/// Parameters, layers, constants of every kind and a file's own tensors are apart, whatever a model's fields are called.
#[test]
fn names_of_fields_are_never_those_of_the_file() {
    let network = trace(&Adversarial::new(), numbers([1, 3]), |m, x| m.forward(x)).unwrap();
    let x: Tensor<2> = numbers([4, 3]);
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let rows: [(&str, fn(&mut QuantizationSettings)); 6] = [
        ("8 bits", |_| {}),
        ("affine", |s| s.weights.scheme = Scheme::Affine),
        ("weights alone", |s| s.activations.bits = 0),
        ("dynamic", |s| s.activations.dynamic = true),
        ("4 bits", |s| s.weights.bits = 4),
        ("one in float", |s| {
            s.layers.push(Override {
                name: "float.weight".into(),
                float: Some(FloatType::Bf16),
                ..Override::default()
            });
        }),
    ];
    each(rows, |(_, change)| {
        let mut settings = QuantizationSettings::default();
        change(&mut settings);
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let found = reread(&quantized, &[x.clone().into()]);
        assert!(found.iter().any(|y| y.is_finite() && *y != 0.0));
        assert!(found.contains(&f32::NEG_INFINITY));
    });
    // The float network has them all too.
    let again = Network::from_bytes(&network.to_bytes().unwrap(), &device()).unwrap();
    let (a, b): (Tensor<2>, Tensor<2>) = (network.forward(x.clone()), again.forward(x));
    assert_eq!(a.into_data(), b.into_data());
}

fn small() -> Vec<u8> {
    let first: Linear = LinearConfig::new(3, 4).init(&device());
    let last: Linear = LinearConfig::new(4, 2).init(&device());
    let forward = |m: &(Linear, Linear), x: Tensor<2>| {
        let order = Tensor::<1, Int>::from_ints([2, 0, 1, 3], &x.device());
        m.1.forward(burn::tensor::activation::relu(m.0.forward(x)).select(1, order))
    };
    let network = trace(&(first, last), numbers([1, 3]), forward).unwrap();
    let calibration = Calibration::collect(&network, &[numbers::<2>([4, 3])]).unwrap();
    quantize(&network, &calibration, &QuantizationSettings::default())
        .unwrap()
        .to_bytes()
        .unwrap()
}

/// What was read does not panic in a pass either.
fn read_and_run(bytes: &[u8]) {
    if let Ok(network) = Quantized::from_bytes(bytes, &device()) {
        drop(network.try_forward::<_, Tensor<2>>(numbers::<2>([2, 3])));
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let bytes = small();
    for length in (0..bytes.len()).step_by(7) {
        assert!(
            Quantized::from_bytes(&bytes[..length], &device()).is_err(),
            "{length}"
        );
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        read_and_run(&damaged);
    }
}

/// All numbers, words and lists of a description, each as other things.
#[test]
fn changed_descriptions_do_not_panic() {
    let bytes = small();
    let original = description(&bytes);
    let mut places = Vec::new();
    collect(&original, &mut Vec::new(), &mut places);
    assert!(places.len() > 100, "{}", places.len());
    let others = [
        Value::Null,
        Value::from(0),
        Value::from(1),
        Value::from(-1),
        Value::from(5),
        Value::from(u64::MAX),
        Value::from(1e300),
        Value::from("constant"),
        Value::from(Vec::<u8>::new()),
        Value::from(vec![7; 9]),
        Value::from(true),
    ];
    each(&places, |place| {
        for other in &others {
            let mut changed = original.clone();
            *changed.pointer_mut(place).unwrap() = other.clone();
            read_and_run(&described(&bytes, &changed));
        }
    });
}

/// The pointers of all parts of a value.
fn collect(value: &Value, path: &mut Vec<String>, places: &mut Vec<String>) {
    if !path.is_empty() {
        places.push(format!("/{}", path.join("/")));
    }
    let parts: Vec<(String, &Value)> = match value {
        Value::Array(parts) => parts
            .iter()
            .enumerate()
            .map(|(at, part)| (at.to_string(), part))
            .collect(),
        Value::Object(parts) => parts
            .iter()
            .map(|(name, part)| (name.clone(), part))
            .collect(),
        _ => Vec::new(),
    };
    for (name, part) in parts {
        path.push(name);
        collect(part, path, places);
        path.pop();
    }
}

/// "Read it, change it, use it again": what does not fit is an error, in a file and by code; never a panic.
#[test]
fn edited_calibrations_are_refused_or_used() {
    let model: Linear = LinearConfig::new(3, 3).init(&device());
    let forward =
        |m: &Linear, x: Tensor<2>| m.forward(burn::tensor::activation::relu(m.forward(x)));
    let network = trace(&model, numbers([1, 3]), forward).unwrap();
    let calibration = Calibration::collect(&network, &[numbers::<2>([8, 3])]).unwrap();
    let mut original = serde_json::to_value(&calibration).unwrap();
    let name = calibration
        .values
        .keys()
        .find(|name| name.contains("relu"))
        .unwrap();
    // Bins enough to edit, and few enough to edit them all.
    original["values"][name]["counts"]["counts"] = Value::from(vec![20, 0, 2, 1]);
    let (mut all, mut places) = (Vec::new(), Vec::new());
    collect(&original["values"][name], &mut Vec::new(), &mut all);
    places.extend(all.iter().map(|place| format!("/values/{name}{place}")));
    let others = [
        serde_json::json!(0),
        serde_json::json!(1),
        serde_json::json!(-3.0),
        serde_json::json!(3.0),
        serde_json::json!(1e300),
        serde_json::json!(-1e300),
        serde_json::json!(1e-300),
        serde_json::json!(u64::MAX),
        serde_json::json!([]),
        serde_json::json!([0, 0]),
        serde_json::json!([5]),
        serde_json::json!([5.0, -5.0]),
        serde_json::json!([u64::MAX, u64::MAX]),
        Value::Null,
    ];
    let range_estimators = [
        "min_max",
        "average",
        "percentile(99)",
        "mse",
        "norm(2)",
        "entropy",
        "gauss",
        "laplace",
        "deviations(3)",
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    let count = std::cell::Cell::new([0, 0]);
    each(&places, |place| {
        for other in &others {
            let mut edited = original.clone();
            *edited.pointer_mut(place).unwrap() = other.clone();
            std::fs::write(file.path(), edited.to_string()).unwrap();
            let loaded = Calibration::load(file.path());
            // What code made is not loaded, and checked all the same.
            let made: Result<Calibration, _> = serde_json::from_value(edited);
            let Ok(made) = made else {
                assert!(loaded.is_err());
                continue;
            };
            let [fine, refused] = count.get();
            count.set([
                fine + usize::from(loaded.is_ok()),
                refused + usize::from(loaded.is_err()),
            ]);
            for range_estimator in range_estimators {
                let mut settings = QuantizationSettings::default();
                settings.activations.range_estimator = range_estimator.parse().unwrap();
                match quantize(&network, &made, &settings) {
                    Err(_) => {}
                    Ok(quantized) => {
                        assert!(loaded.is_ok(), "{range_estimator} {other}");
                        let y: Tensor<2> = quantized.forward(numbers::<2>([4, 3]));
                        let finite = y.into_data().iter::<f32>().all(|y| y.is_finite());
                        assert!(finite, "{range_estimator} {other}");
                    }
                }
            }
        }
    });
    let [fine, refused] = count.get();
    assert!(fine > 10 && refused > 10, "{fine} {refused}");
}
