//! Files whose description somebody damaged: refused when they are read, or they compute.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Int, Tensor};
use calcine_testkit::{device, each, numbers};
use calcine_trace::graph::{ElementKind, ValueId};
use calcine_trace::{AnyTensor, ForwardError, Network, trace};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use calcine_testkit::networks::{Mixed, Residual, Signal, Text};

/// The network's file with another description.
fn edited(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = header_length(bytes);
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let text = header["__metadata__"]["calcine.network"].as_str().unwrap();
    let mut description: Value = serde_json::from_str(text).unwrap();
    change(&mut description);
    header["__metadata__"]["calcine.network"] = description.to_string().into();
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let new_length = u64::try_from(text.len()).unwrap().to_le_bytes();
    [&new_length[..], &text, &bytes[8 + length..]].concat()
}

fn header_length(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap()
}

fn networks() -> Vec<Network> {
    let device = device();
    let tokens = Tensor::<2, Int>::zeros([1, Text::LENGTH], &device);
    let signal = (numbers([1, 2, 7]), numbers([1, 1, 2, 3, 3]));
    vec![
        trace(&Residual::new(&device), numbers([1, 3, 6, 6]), |m, x| {
            m.forward(x)
        })
        .unwrap(),
        trace(&Mixed::new(&device), numbers([1, 2, 8, 8]), |m, x| {
            m.forward(x)
        })
        .unwrap(),
        trace(&Signal::new(&device), signal, |m: &Signal, (a, b)| {
            m.forward(a, b)
        })
        .unwrap(),
        trace(&Text::new(&device), tokens, |m, x| m.forward(x)).unwrap(),
    ]
}

/// Inputs of the shapes that the network says, for this batch.
fn inputs(network: &Network, batch: usize) -> Vec<AnyTensor> {
    let graph = network.graph();
    let input = |id: &ValueId| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count: usize = shape.iter().product();
        let flat = numbers([count.max(1)]).slice(0..count);
        match (value.kind, shape.len()) {
            (ElementKind::Float, _) => AnyTensor::shaped(flat, &shape),
            (ElementKind::Int, 2) => Tensor::<2, Int>::ones([shape[0], shape[1]], &device()).into(),
            _ => AnyTensor::shaped(flat, &shape),
        }
    };
    graph.inputs.iter().map(input).collect()
}

/// All numbers, words and lists of a description, by their pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(items) => {
            for (key, item) in items {
                pointers(item, &format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
    found.push(at.to_owned());
}

fn damage(description: &mut Value, random: &mut ChaCha8Rng) -> String {
    let mut all = Vec::new();
    pointers(description, "", &mut all);
    let at = all[random.random_range(0..all.len() - 1)].clone();
    let place = description.pointer_mut(&at).unwrap();
    let old = place.clone();
    match place {
        Value::Array(items) if !items.is_empty() => match random.random_range(0..4) {
            0 => drop(items.pop()),
            1 => items.push(items[0].clone()),
            2 => items.reverse(),
            _ => items.clear(),
        },
        Value::Number(_) => {
            let numbers = [
                json!(0),
                json!(1),
                json!(2),
                json!(3),
                json!(5),
                json!(9),
                json!(-1),
                json!(1 << 20),
                json!(u64::MAX),
                json!(0.5),
                json!("infinity"),
            ];
            *place = numbers[random.random_range(0..numbers.len())].clone();
        }
        Value::String(word) => {
            let words = [
                "",
                "input",
                "conv1",
                "float",
                "int",
                "bool",
                "relu",
                "add",
                "constant:1",
                "sigmoid",
            ];
            *word = words[random.random_range(0..words.len())].to_owned();
        }
        _ => *place = Value::Null,
    }
    format!(
        "{at}: {} for {old}",
        description.pointer(&at).unwrap_or(&Value::Null)
    )
}

#[test]
fn a_damaged_description_is_refused_or_computes() {
    let mut random = ChaCha8Rng::seed_from_u64(15);
    let files = networks()
        .into_iter()
        .map(|network| network.to_bytes().unwrap());
    let mut bad = Vec::new();
    let mut read = 0;
    for file in files {
        for _ in 0..150 {
            let mut what = String::new();
            let bytes = edited(&file, |description| {
                for _ in 0..random.random_range(1..3) {
                    what = format!("{what} {}", damage(description, &mut random));
                }
            });
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let Ok(network) = Network::from_bytes(&bytes, &device()) else {
                    return false;
                };
                for batch in [1, 2] {
                    let found = network.run(inputs(&network, batch), &mut |_, tensor| tensor);
                    // What was read computes, but for look-ups beyond a table.
                    if let Err(error) = found {
                        assert!(matches!(error, ForwardError::Operation { .. }), "{error}");
                        let lookup = ["embedding", "select", "gather"];
                        let text = error.to_string();
                        assert!(lookup.iter().any(|op| text.contains(op)), "{text}");
                    }
                }
                true
            }));
            match outcome {
                Ok(ok) => read += usize::from(ok),
                Err(_) => bad.push(what),
            }
        }
    }
    assert!(
        bad.is_empty(),
        "{} descriptions:\n{}",
        bad.len(),
        bad.join("\n")
    );
    assert!(read > 20, "only {read} damages were harmless");
}

#[test]
fn what_does_not_fit_together_is_refused_with_words() {
    let network = trace(&Residual::new(&device()), numbers([1, 3, 6, 6]), |m, x| {
        m.forward(x)
    });
    let file = network.unwrap().to_bytes().unwrap();
    type Change = fn(&mut Value);
    macro_rules! conv {
        ($key:literal, $value:expr) => {
            |d: &mut Value| d["graph"]["nodes"][0]["op"]["convolution"][$key] = json!($value)
        };
    }
    let rows: Vec<(&str, Change)> = vec![
        ("dilation", conv!("dilation", [0, 0])),
        ("dilation", conv!("dilation", [1])),
        ("padding", conv!("padding", [[1, 1]])),
        ("stride", conv!("stride", [0, 0])),
        ("groups", conv!("groups", 0)),
        ("groups", conv!("groups", 2)),
        ("shape", conv!("padding", [[9, 9], [9, 9]])),
        ("too long", conv!("padding", [[u64::MAX, 9], [9, 9]])),
        ("two parameters", |d| {
            let first = d["parameters"][0].clone();
            d["parameters"].as_array_mut().unwrap().push(first);
        }),
        ("conv1.weight", |d| d["parameters"] = json!([])),
        ("given once", |d| d["graph"]["inputs"] = json!([])),
        ("given once", |d| {
            let input = d["graph"]["inputs"][0].clone();
            d["graph"]["inputs"] = json!([input, input]);
        }),
        ("Int", |d| d["graph"]["values"][0]["kind"] = json!("int")),
        ("names must be unique", |d| {
            d["graph"]["values"][0]["name"] = json!("conv1");
        }),
        ("format", |d| d["format"] = json!(1)),
    ];
    each(rows.into_iter().enumerate(), |(_, (word, change))| {
        let bytes = edited(&file, change);
        let error = Network::from_bytes(&bytes, &device())
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    });
}

#[test]
fn batches_of_any_shape_are_computed_or_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(16);
    for network in networks() {
        for _ in 0..60 {
            let mut given = inputs(&network, random.random_range(1..4));
            let at = random.random_range(0..given.len());
            let mut shape = given[at].shape();
            match random.random_range(0..3) {
                0 => {
                    let axis = random.random_range(0..shape.len());
                    shape[axis] = random.random_range(0..9);
                }
                1 => drop(shape.pop()),
                _ => shape.push(1),
            }
            let float = given[at].kind() == ElementKind::Float;
            if shape.is_empty() || shape.len() > 6 || !float && shape.len() != 2 {
                continue;
            }
            given[at] = if float {
                zeros(&shape)
            } else {
                Tensor::<2, Int>::zeros([shape[0], shape[1]], &device()).into()
            };
            let graph = network.graph();
            let fits = |batch: usize| {
                let shapes = graph
                    .inputs
                    .iter()
                    .map(|id| graph.value(*id).shape_at(batch));
                shapes.eq(given.iter().map(AnyTensor::shape))
            };
            let right = (1..9).any(fits);
            let found = network.run(given.clone(), &mut |_, tensor| tensor);
            assert_eq!(found.is_ok(), right, "{given:?}");
        }
    }
}

fn zeros(shape: &[usize]) -> AnyTensor {
    macro_rules! at {
        ($($rank:literal),*) => {
            match shape.len() {
                $($rank => {
                    let shape: [usize; $rank] = shape.try_into().unwrap();
                    Tensor::<$rank>::zeros(shape, &device()).into()
                })*
                rank => panic!("rank {rank}"),
            }
        };
    }
    at!(1, 2, 3, 4, 5, 6)
}

/// An index beyond the table is an error that names the layer.
#[test]
fn a_word_beyond_the_table_is_an_error() {
    let tokens = Tensor::<2, Int>::zeros([1, Text::LENGTH], &device());
    let network = trace(&Text::new(&device()), tokens.clone(), |m, x| m.forward(x)).unwrap();
    let words = i64::try_from(Text::WORDS).unwrap();
    let error = network
        .try_forward::<_, Tensor<3>>(tokens + words + 5)
        .unwrap_err();
    assert!(error.to_string().contains("`tokens`"), "{error}");
}
