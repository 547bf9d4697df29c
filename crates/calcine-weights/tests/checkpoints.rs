//! Checkpoints as people leave them: wrapped, nested, masked, with more or less in them than weights.

use std::path::Path;

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use calcine_weights::{LoadOptions, LoadReport, Problem, WeightsError};
use tempfile::tempdir;

use crate::import::{Tiny, tiny};
use crate::torch::{Py, PyTensor, dict, save};
use calcine_testkit::{Row, rows};

/// The state of [`Tiny`], numbered in order, with a prefix before each name.
pub(crate) fn state(prefix: &str) -> Vec<(String, Py)> {
    let names = [
        ("fc.weight", vec![2, 3]),
        ("fc.bias", vec![2]),
        ("norm.weight", vec![2]),
        ("norm.bias", vec![2]),
        ("norm.running_mean", vec![2]),
        ("norm.running_var", vec![2]),
    ];
    let mut next = 0.0;
    let mut state: Vec<_> = names
        .into_iter()
        .map(|(name, shape)| {
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|_| {
                    next += 1.0;
                    next
                })
                .collect();
            (
                format!("{prefix}{name}"),
                Py::Tensor(PyTensor::floats(&shape, &values)),
            )
        })
        .collect();
    let counts = PyTensor::of("LongStorage", &[], 7_i64.to_le_bytes().to_vec());
    state.push((
        format!("{prefix}norm.num_batches_tracked"),
        Py::Tensor(counts),
    ));
    state
}

pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Py {
    Py::Tensor(PyTensor::floats(shape, values))
}

/// The state, changed.
fn changed(edit: impl FnOnce(&mut Vec<(String, Py)>)) -> Py {
    let mut state = state("");
    edit(&mut state);
    dict(state)
}

fn set(state: &mut Vec<(String, Py)>, name: &str, value: Py) {
    state.retain(|(known, _)| known != name);
    state.push((name.to_owned(), value));
}

pub(crate) fn load_with<M: Module>(
    model: M,
    object: &Py,
    options: &LoadOptions,
) -> Result<(M, LoadReport), WeightsError> {
    let directory = tempdir().unwrap();
    let path = directory.path().join("checkpoint.pth");
    std::fs::write(&path, save(object, "checkpoint")).unwrap();
    options.load(model, &path)
}

fn load(object: &Py) -> Result<(Tiny, LoadReport), WeightsError> {
    load_with(tiny(), object, &LoadOptions::default())
}

fn key(key: &str) -> LoadOptions {
    LoadOptions {
        key: Some(key.to_owned()),
        ..LoadOptions::default()
    }
}

fn ignore(pattern: &str) -> LoadOptions {
    LoadOptions {
        ignore: vec![pattern.to_owned()],
        ..LoadOptions::default()
    }
}

/// The values of [`Tiny`] as the plain state has them.
fn plain() -> Vec<Row> {
    rows(&load(&dict(state(""))).unwrap().0)
}

#[test]
fn weights_are_found_beneath_any_wrapper_and_key() {
    let nested = |keys: &[&str], prefix: &str| {
        let inner = dict(state(prefix));
        keys.iter()
            .rev()
            .fold(inner, |inner, key| dict([(*key, inner)]))
    };
    let beside = |key: &str, prefix: &str| {
        let optimizer = dict([("state", dict([("0", floats(&[2], &[1.0, 2.0]))]))]);
        dict([
            ("epoch", Py::Int(180)),
            ("best_acc1", Py::Float(91.2)),
            ("arch", Py::Text("tiny")),
            ("scheduler", Py::None),
            ("optimizer", optimizer),
            (key, dict(state(prefix))),
        ])
    };
    let whole = {
        let is_buffer = |path: &str| path.contains("running") || path.contains("num");
        let part = |name: &str, buffers: bool| -> Vec<(String, Py)> {
            state("")
                .into_iter()
                .filter_map(|(path, value)| Some((path.strip_prefix(name)?.to_owned(), value)))
                .filter(|(path, _)| is_buffer(path) == buffers)
                .collect()
        };
        let layer = |name: &str| Py::Module([part(name, false), part(name, true), vec![]]);
        let layers = ["fc", "norm"].map(|name| (name.to_owned(), layer(&format!("{name}."))));
        Py::Module([vec![], vec![], layers.to_vec()])
    };
    let table = [
        (nested(&[], "module."), "module"),
        (nested(&[], "_orig_mod."), "_orig_mod"),
        (nested(&[], "module._orig_mod."), "module._orig_mod"),
        (nested(&[], "model."), "model"),
        (nested(&[], "net."), "net"),
        (nested(&[], "encoder."), "encoder"),
        (
            nested(&[], "model.backbone.module."),
            "model.backbone.module",
        ),
        (
            nested(&["net"], "module._orig_mod."),
            "net.module._orig_mod",
        ),
        (nested(&["state_dict"], ""), "state_dict"),
        (nested(&["state_dict"], "model."), "state_dict.model"),
        (nested(&["model_state_dict"], ""), "model_state_dict"),
        (nested(&["ema", "module"], ""), "ema.module"),
        (beside("state_dict", "module."), "state_dict.module"),
        (beside("model", ""), "model"),
        (beside("model_ema", ""), "model_ema"),
        (whole.clone(), ""),
        (dict([("model", whole), ("epoch", Py::Int(3))]), "model"),
    ];
    let expected = plain();
    for (object, prefix) in table {
        let (model, report) = load(&object).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        assert_eq!(rows(&model), expected, "{prefix}");
        assert_eq!(report.prefix, prefix);
        assert_eq!(report.loaded.len(), 6, "{prefix}");
        assert_eq!(report.buffers, ["norm.num_batches_tracked"], "{prefix}");
    }
}

#[test]
fn weights_beneath_two_keys_are_an_error_that_lists_them_until_one_is_chosen() {
    let mut averaged = state("");
    set(&mut averaged, "fc.bias", floats(&[2], &[-1.0, -2.0]));
    let both = |first: &str, second: &str| {
        dict([(first, dict(state(""))), (second, dict(averaged.clone()))])
    };
    for [first, second] in [
        ["state_dict", "state_dict_ema"],
        ["model", "model_ema"],
        ["net", "ema"],
        ["module", "teacher"],
    ] {
        let object = both(first, second);
        let error = load(&object).unwrap_err();
        assert_eq!(error.keys().len(), 2, "{error}");
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        for word in [first, second, "--weights-key"] {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
        for (chosen, bias) in [(first, [7.0, 8.0]), (second, [-1.0, -2.0])] {
            let (model, report) = load_with(tiny(), &object, &key(chosen)).unwrap();
            assert_eq!(rows(&model)[1].values, bias, "{chosen}");
            assert_eq!(report.prefix, chosen);
            assert_eq!(report.outside.len(), 7);
        }
    }
    let mut beside = state("");
    beside.push(("ema".to_owned(), dict(averaged)));
    let (model, _) = load_with(tiny(), &dict(beside), &key("")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        rows(&model)[1].values,
        [7.0, 8.0],
        "an empty key is the root"
    );
}

#[test]
fn a_prefix_can_be_stripped_and_a_key_that_is_not_there_is_an_error() {
    let options = LoadOptions {
        strip: Some("student_".to_owned()),
        ..key("nets")
    };
    let object = dict([("nets", dict(state("student_")))]);
    load(&object).unwrap_err();
    let (model, report) = load_with(tiny(), &object, &options).unwrap();
    assert_eq!(rows(&model), plain());
    assert_eq!(report.prefix, "nets.student_");

    let error = load_with(tiny(), &object, &key("state_dict")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`state_dict`") && text.contains("`nets`"),
        "{text}"
    );
}

#[test]
fn masks_and_weight_norms_are_computed() {
    let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let norms = [14.0_f32.sqrt(), 77.0_f32.sqrt()];
    let mask = floats(&[2, 3], &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let without = |edit: &dyn Fn(&mut Vec<(String, Py)>)| {
        changed(|state| {
            state.retain(|(name, _)| name != "fc.weight");
            edit(state);
        })
    };
    let masked = without(&|state| {
        set(state, "fc.weight_orig", floats(&[2, 3], &weight));
        set(state, "fc.weight_mask", mask.clone());
    });
    let normed = |g: &str, v: &str| {
        without(&|state| {
            set(state, &format!("fc.{g}"), floats(&[2, 1], &norms));
            set(
                state,
                &format!("fc.{v}"),
                floats(&[2, 3], &weight.map(|w| 3.0 * w)),
            );
        })
    };
    let table = [
        (masked, [1.0, 0.0, 3.0, 0.0, 0.0, 6.0]),
        (normed("weight_g", "weight_v"), weight),
        (
            normed(
                "parametrizations.weight.original0",
                "parametrizations.weight.original1",
            ),
            weight,
        ),
    ];
    for (object, expected) in table {
        let (model, report) = load(&object).unwrap();
        let found = rows(&model)[0].values.clone();
        // Burn stores the weight transposed.
        let expected = [0, 3, 1, 4, 2, 5].map(|index: usize| expected[index]);
        let off = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(off < 1e-6, "{found:?} is not {expected:?}");
        assert_eq!(report.derived.len(), 1);
        assert!(report.is_remarkable());
    }
    let spectral = without(&|state| {
        set(
            state,
            "fc.parametrizations.weight.original",
            floats(&[2, 3], &weight),
        );
        set(
            state,
            "fc.parametrizations.weight.0._u",
            floats(&[2], &[1.0, 0.0]),
        );
    });
    let error = load(&spectral).unwrap_err();
    assert!(
        matches!(error.problems(), [Problem::Parametrized { .. }]),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("parametrizations.weight.original"),
        "{error}"
    );
}

#[test]
fn buffers_are_left_out_by_name_and_weights_are_not() {
    let long = |shape: &[usize]| {
        let bytes = vec![0; 8 * shape.iter().product::<usize>()];
        Py::Tensor(PyTensor::of("LongStorage", shape, bytes))
    };
    let buffers = [
        ("pos.position_ids", long(&[1, 4])),
        ("fc.relative_position_index", long(&[2, 2])),
        ("anchors", floats(&[3, 2], &[0.0; 6])),
        ("head.anchor_grid", floats(&[1, 3], &[0.0; 3])),
        ("ema.decay", floats(&[], &[0.999])),
        ("n_averaged", long(&[])),
        (
            "total_ops",
            Py::Tensor(PyTensor::of("DoubleStorage", &[1], vec![0; 8])),
        ),
        (
            "attn.mask",
            Py::Tensor(PyTensor::of("BoolStorage", &[2, 2], vec![0; 4])),
        ),
        ("rotary.inv_freq", floats(&[2], &[1.0, 0.5])),
    ];
    let expected = plain();
    for (name, value) in buffers {
        let (model, report) = load(&changed(|state| set(state, name, value))).unwrap();
        assert_eq!(rows(&model), expected, "{name}");
        assert!(report.buffers.iter().any(|buffer| buffer == name), "{name}");
        assert!(report.to_string().contains(name), "{report}");
    }
    for name in [
        "conv.weight",
        "conv1.bias",
        "fc.extra",
        "norm2.running_mean",
        "cls_token",
        "fc.lora_A",
    ] {
        let object = changed(|state| set(state, name, floats(&[2], &[1.0, 2.0])));
        let error = load(&object).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{name}");
        assert!(error.to_string().contains(name), "{error}");
        let (model, report) = load_with(tiny(), &object, &ignore(name)).unwrap();
        assert_eq!(rows(&model), expected);
        assert_eq!(report.ignored, [name]);
    }
}

#[test]
fn what_does_not_fit_is_told_in_one_line_with_what_to_do() {
    let table: [(Py, &[&str]); 12] = [
        (
            changed(|state| state.retain(|(name, _)| !name.contains("running"))),
            &["norm.running_mean", "norm.running_var", "--weights-ignore"],
        ),
        (
            changed(|state| {
                set(state, "fc.weight", floats(&[5, 3], &[0.0; 15]));
                set(state, "fc.bias", floats(&[5], &[0.0; 5]));
            }),
            &[
                "fc.weight",
                "[5, 3]",
                "[2, 3]",
                "5 outputs",
                "--weights-ignore fc",
            ],
        ),
        (
            Py::List(vec![floats(&[1], &[0.0])]),
            &["a list of 1 values", "a tensor", "state_dict()"],
        ),
        (Py::List(vec![]), &["an empty list"]),
        (floats(&[1], &[0.0]), &["a tensor", "state_dict()"]),
        (Py::Dict(vec![]), &["an empty dictionary", "state_dict()"]),
        (
            dict([("epoch", Py::Int(3)), ("acc", Py::Float(0.5))]),
            &["no tensors", "`acc`, `epoch`", "state_dict()"],
        ),
        (
            dict((0..300).map(|layer| (format!("blocks.{layer}.weight"), floats(&[1], &[0.0])))),
            &["another model", "`blocks` (300 tensors)", "`fc`", "0 of 6"],
        ),
        (
            dict((0..300).map(|layer| (format!("layer{layer}.weight"), floats(&[1], &[0.0])))),
            &["`layer0`", "and 294 more"],
        ),
        (
            changed(|state| set(state, "fc.bias", floats(&[2], &[f32::NAN, f32::INFINITY]))),
            &["`fc.bias`", "2 values", "NaN", "[0]"],
        ),
        (
            changed(|state| set(state, "norm.running_var", floats(&[2], &[1.0, -0.5]))),
            &["`norm.running_var`", "-0.5", "[1]"],
        ),
        (
            changed(|state| {
                let bytes = [1e300_f64, 0.0].map(f64::to_le_bytes).concat();
                set(
                    state,
                    "fc.bias",
                    Py::Tensor(PyTensor::of("DoubleStorage", &[2], bytes)),
                );
            }),
            &["`fc.bias`", "inf"],
        ),
    ];
    for (object, words) in table {
        let text = load(&object).unwrap_err().to_string();
        assert!(!text.contains('\n') && text.len() < 600, "{text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
    }
}

#[test]
fn layers_that_are_ignored_keep_their_values() {
    let object = changed(|state| {
        set(state, "fc.weight", floats(&[5, 3], &[0.0; 15]));
        set(state, "fc.bias", floats(&[5], &[0.0; 5]));
    });
    let before = rows(&tiny());
    for pattern in ["fc", "fc.*", "f*.**"] {
        let (model, report) = load_with(tiny(), &object, &ignore(pattern)).unwrap();
        let after = rows(&model);
        assert_eq!(after[1].values.len(), before[1].values.len());
        assert_eq!(after[2].values, [9.0, 10.0]);
        assert_eq!(report.ignored, ["fc.bias", "fc.weight"], "{pattern}");
    }
    let error = load_with(tiny(), &object, &ignore("fc.[")).unwrap_err();
    assert!(error.to_string().contains("`fc.[`"), "{error}");
}

#[test]
fn views_of_any_stride_offset_and_precision_have_the_values_that_they_show() {
    let expected = plain();
    let weight = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let view = |storage, bytes, offset, strides: [usize; 2]| PyTensor {
        storage,
        bytes,
        offset,
        shape: vec![2, 3],
        strides: strides.to_vec(),
    };
    let brain = |value: f32| (value.to_bits() >> 16) as u16;
    let half = |value: f32| {
        // Exact for small whole numbers: the exponent is rebiased, ten bits of the fraction stay.
        let bits = value.to_bits();
        (((bits >> 23) as u16 - 112) << 10) | ((bits >> 13) & 0x3ff) as u16
    };
    let views = [
        view(
            "FloatStorage",
            bytes(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            0,
            [1, 2],
        ),
        view(
            "FloatStorage",
            bytes(&[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]),
            2,
            [3, 1],
        ),
        view(
            "DoubleStorage",
            weight
                .iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect(),
            0,
            [3, 1],
        ),
        view(
            "HalfStorage",
            weight.iter().flat_map(|v| half(*v).to_le_bytes()).collect(),
            0,
            [3, 1],
        ),
        view(
            "BFloat16Storage",
            weight
                .iter()
                .flat_map(|v| brain(*v).to_le_bytes())
                .collect(),
            0,
            [3, 1],
        ),
    ];
    for tensor in views {
        let told = format!("{} {:?}", tensor.storage, tensor.strides);
        let object = changed(|state| set(state, "fc.weight", Py::Tensor(tensor)));
        assert_eq!(rows(&load(&object).unwrap().0), expected, "{told}");
    }
    let expanded = PyTensor {
        strides: vec![0],
        ..PyTensor::of("FloatStorage", &[2], 0.5_f32.to_le_bytes().to_vec())
    };
    let object = changed(|state| set(state, "fc.bias", Py::Tensor(expanded)));
    assert_eq!(rows(&load(&object).unwrap().0)[1].values, [0.5, 0.5]);
}

#[test]
fn archives_are_read_whatever_the_length_of_their_name() {
    let directory = tempdir().unwrap();
    let object = dict([("state_dict", dict(state("")))]);
    let expected = plain();
    for length in 1..=40 {
        let stem = "x".repeat(length);
        let path = directory.path().join(format!("{stem}.pth"));
        let bytes = save(&object, &stem);
        std::fs::write(&path, &bytes).unwrap();
        let model =
            calcine_weights::load(tiny(), &path).unwrap_or_else(|e| panic!("{length}: {e}"));
        assert_eq!(rows(&model), expected, "{length}");
        assert_eq!(
            std::fs::read(&path).unwrap(),
            bytes,
            "the file stays as it is"
        );
    }
}

#[test]
fn checkpoints_of_runs_are_read_in_burns_layout() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("best.safetensors");
    let trained = load(&dict(state(""))).unwrap().0;
    save_in_burns_layout(&trained, &file);
    assert_eq!(
        rows(&calcine_weights::load(tiny(), &file).unwrap()),
        rows(&trained)
    );

    let square = || LinearConfig::new(2, 2).init(&Device::flex());
    let trained = square();
    save_in_burns_layout(&trained, &file);
    assert_eq!(
        rows(&calcine_weights::load(square(), &file).unwrap()),
        rows(&trained)
    );
}

/// Writes a file as Calcine's checkpoints are: with Burn's names and layouts, which its metadata say.
fn save_in_burns_layout<M: Module>(model: &M, file: &Path) {
    let mut store = SafetensorsStore::from_bytes(None)
        .clear_metadata()
        .metadata("layout", "burn");
    model.save_into(&mut store).unwrap();
    std::fs::write(file, store.get_bytes().unwrap()).unwrap();
}
