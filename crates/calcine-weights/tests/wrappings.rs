//! Whatever the weights are wrapped in, and whatever is beside them, the same weights are loaded.

use burn::module::Module;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::checkpoints::state;
use crate::import::tiny;
use crate::torch::{Py, dict, save};
use calcine_testkit::rows;
use calcine_weights::LoadOptions;

/// A path element of the file alone, and whether it is a wrapper's, which a name may have anywhere.
fn element() -> impl Strategy<Value = (&'static str, bool)> {
    prop::sample::select(vec![
        ("state_dict", false),
        ("model", false),
        ("net", false),
        ("ema", false),
        ("model_state_dict", false),
        ("backbone", false),
        ("encoder", false),
        ("module", true),
        ("_orig_mod", true),
        ("_fsdp_wrapped_module", true),
    ])
}

/// Other things that training scripts save.
fn beside() -> impl Strategy<Value = Vec<(String, Py)>> {
    let entry = prop::sample::select(vec![
        ("epoch", Py::Int(3)),
        ("best_acc", Py::Float(0.5)),
        ("arch", Py::Text("tiny")),
        ("scheduler", Py::None),
        (
            "optimizer",
            Py::Dict(vec![(
                "param_groups".to_owned(),
                Py::List(vec![Py::Int(0)]),
            )]),
        ),
    ]);
    prop::collection::vec(entry, 0..4).prop_map(|entries| {
        let mut named: Vec<(String, Py)> = Vec::new();
        for (name, value) in entries {
            if !named.iter().any(|(known, _)| known == name) {
                named.push((name.to_owned(), value));
            }
        }
        named
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_keys_and_wrappers_lead_to_the_same_weights(
        keys in prop::collection::vec(element(), 0..3),
        prefix in prop::collection::vec(element(), 0..3),
        beside in beside(),
    ) {
        let dotted: String = prefix.iter().map(|(element, _)| format!("{element}.")).collect();
        let mut object = dict(state(&dotted));
        for (key, _) in keys.iter().rev() {
            object = dict([(*key, object)]);
        }
        if let Py::Dict(entries) = &mut object
            && !keys.is_empty()
        {
            entries.extend(beside);
        }
        let directory = tempdir().unwrap();
        let path = directory.path().join("checkpoint.pth");
        std::fs::write(&path, save(&object, "checkpoint")).unwrap();
        let (model, report) = LoadOptions::default().load(tiny(), &path).unwrap();
        let plain = directory.path().join("plain.pth");
        std::fs::write(&plain, save(&dict(state("")), "plain")).unwrap();
        let expected = calcine_weights::load(tiny(), &plain).unwrap();
        prop_assert_eq!(rows(&model), rows(&expected));
        prop_assert_eq!(report.loaded.len(), 6);
        prop_assert!(model.num_params() > 0);
        // What the report says can be said in options, with the same result.
        let options = LoadOptions { key: Some(report.prefix.clone()), ..LoadOptions::default() };
        let (again, _) = options.load(tiny(), &path).unwrap();
        prop_assert_eq!(rows(&again), rows(&expected));
    }
}
