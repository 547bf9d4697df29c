//! What parameters are called, and which of them a pattern means.

use burn::module::{Module, Param};
use burn::nn::{
    BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, LinearLayout,
};
use burn::tensor::Tensor;
use calcine_fold::Layout;
use calcine_params::{Inventory, Role};
use calcine_testkit::{device, each};

use crate::models::Zoo;

fn inventory() -> Inventory {
    Inventory::from_module(&Zoo::new(&device()))
}

fn selected(inventory: &Inventory, patterns: &[&str]) -> Vec<String> {
    let found = inventory
        .select(patterns)
        .unwrap_or_else(|error| panic!("{error}"));
    found
        .into_iter()
        .map(|parameter| parameter.path.clone())
        .collect()
}

#[test]
fn every_parameter_has_a_path_a_layer_a_shape_and_a_role() {
    let inventory = inventory();
    type Row<'a> = (&'a str, &'a str, &'a [usize], Role, Option<Layout>);
    let rows: [Row<'_>; 13] = [
        (
            "stem.weight",
            "Conv2d",
            &[4, 3, 3, 3],
            Role::Weight,
            Some(Layout::OutputFirst),
        ),
        ("bn1.gamma", "BatchNorm", &[4], Role::NormScale, None),
        ("bn1.beta", "BatchNorm", &[4], Role::NormShift, None),
        (
            "bn1.running_mean",
            "BatchNorm",
            &[4],
            Role::RunningStatistic,
            None,
        ),
        (
            "stages.1.bn2.running_var",
            "BatchNorm",
            &[4],
            Role::RunningStatistic,
            None,
        ),
        (
            "stages.0.conv2.weight",
            "Conv2d",
            &[4, 4, 3, 3],
            Role::Weight,
            Some(Layout::OutputFirst),
        ),
        (
            "up.weight",
            "ConvTranspose1d",
            &[4, 2, 3],
            Role::Weight,
            Some(Layout::InputFirst),
        ),
        (
            "up.bias",
            "ConvTranspose1d",
            &[2],
            Role::Bias,
            Some(Layout::InputFirst),
        ),
        (
            "words.weight",
            "Embedding",
            &[10, 4],
            Role::Weight,
            Some(Layout::InputFirst),
        ),
        ("norm.gamma", "LayerNorm", &[4], Role::NormScale, None),
        ("token", "Zoo", &[1, 4], Role::Weight, None),
        (
            "fc.weight",
            "Linear",
            &[4, 2],
            Role::Weight,
            Some(Layout::InputFirst),
        ),
        (
            "fc.bias",
            "Linear",
            &[2],
            Role::Bias,
            Some(Layout::InputFirst),
        ),
    ];
    each(rows, |(path, layer, shape, role, layout)| {
        let parameter = inventory.get(path).unwrap();
        assert_eq!(
            (parameter.layer.as_str(), parameter.shape.as_slice()),
            (*layer, *shape)
        );
        assert_eq!((parameter.role, parameter.layout()), (*role, *layout));
        assert_eq!(parameter.numel(), shape.iter().product::<usize>());
        assert_eq!(parameter.is_trainable(), *role != Role::RunningStatistic);
    });
}

#[test]
fn parameters_come_in_the_models_order_and_weights_are_of_rank_two_or_more() {
    let inventory = inventory();
    let paths: Vec<&str> = inventory
        .iter()
        .map(|parameter| parameter.path.as_str())
        .collect();
    assert_eq!(paths[..3], ["stem.weight", "bn1.gamma", "bn1.beta"]);
    assert_eq!(paths.len(), (&inventory).into_iter().count());
    let weights: Vec<&str> = inventory
        .weights()
        .map(|weight| weight.path.as_str())
        .collect();
    let mut expected = vec!["stem.weight"];
    expected.extend(["stages.0.conv1.weight", "stages.0.conv2.weight"]);
    expected.extend(["stages.1.conv1.weight", "stages.1.conv2.weight"]);
    expected.extend(["up.weight", "words.weight", "token", "fc.weight"]);
    assert_eq!(weights, expected);
}

#[test]
fn pytorch_calls_gamma_weight_and_beta_bias() {
    let inventory = inventory();
    let rows = [
        ("stages.0.bn1.gamma", "stages.0.bn1.weight"),
        ("norm.beta", "norm.bias"),
        ("fc.weight", "fc.weight"),
        ("bn1.running_mean", "bn1.running_mean"),
    ];
    each(rows, |(burn, pytorch)| {
        assert_eq!(inventory.get(burn).unwrap().pytorch_path(), *pytorch);
    });
    let alone: BatchNorm = BatchNormConfig::new(2).init(&device());
    assert_eq!(
        Inventory::from_module(&alone)
            .get("gamma")
            .unwrap()
            .pytorch_path(),
        "weight"
    );
}

#[test]
fn patterns_match_by_path_element() {
    let inventory = inventory();
    let rows: [(&[&str], &[&str]); 19] = [
        (&["fc.weight"], &["fc.weight"]),
        (
            &["*.weight"],
            &["stem.weight", "up.weight", "words.weight", "fc.weight"],
        ),
        (&["fc.*"], &["fc.weight", "fc.bias"]),
        (
            &["stages.0.**"],
            &[
                "stages.0.conv1.weight",
                "stages.0.bn1.gamma",
                "stages.0.bn1.beta",
                "stages.0.conv2.weight",
                "stages.0.bn2.gamma",
                "stages.0.bn2.beta",
            ],
        ),
        (
            &["**.conv?.weight"],
            &[
                "stages.0.conv1.weight",
                "stages.0.conv2.weight",
                "stages.1.conv1.weight",
                "stages.1.conv2.weight",
            ],
        ),
        (
            &["stages.*.conv[2].weight"],
            &["stages.0.conv2.weight", "stages.1.conv2.weight"],
        ),
        (
            &["stages.1.{conv1,bn2}.*"],
            &[
                "stages.1.conv1.weight",
                "stages.1.bn2.gamma",
                "stages.1.bn2.beta",
            ],
        ),
        (
            &["**.bn1.gamma"],
            &["bn1.gamma", "stages.0.bn1.gamma", "stages.1.bn1.gamma"],
        ),
        (&["**.bias"], &["up.bias", "fc.bias"]),
        // In the model's order, each once.
        (
            &["fc.weight", "stem.*", "fc.*"],
            &["stem.weight", "fc.weight", "fc.bias"],
        ),
        (&["token"], &["token"]),
        (&["*"], &["token"]),
        // Exclusion, and a later pattern may add again.
        (
            &["*.weight", "!fc.weight"],
            &["stem.weight", "up.weight", "words.weight"],
        ),
        (&["*.weight", "!*.weight", "up.weight"], &["up.weight"]),
        (&["!fc.weight", "fc.weight"], &["fc.weight"]),
        (&["fc.*", "!**.weight"], &["fc.bias"]),
        // PyTorch's names, where Burn's match nothing.
        (&["bn1.weight"], &["bn1.gamma"]),
        (
            &["stages.*.bn2.bias"],
            &["stages.0.bn2.beta", "stages.1.bn2.beta"],
        ),
        (&["norm.*", "!norm.bias"], &["norm.gamma"]),
    ];
    each(rows, |(patterns, expected)| {
        assert_eq!(selected(&inventory, patterns), *expected);
    });
}

#[test]
fn gamma_answers_to_weight_only_where_nothing_else_does() {
    let inventory = inventory();
    let all = selected(&inventory, &["**.weight"]);
    assert!(
        !all.is_empty() && all.iter().all(|path| path.ends_with(".weight")),
        "{all:?}"
    );
    assert_eq!(selected(&inventory, &["**.bn2.weight"]).len(), 2);
}

#[test]
fn the_component_of_data_parallel_wrapping_may_be_in_the_pattern_or_in_the_model() {
    #[derive(Module, Debug)]
    struct Wrapped {
        module: Zoo,
    }
    let inventory = inventory();
    assert_eq!(selected(&inventory, &["module.fc.weight"]), ["fc.weight"]);
    assert_eq!(
        selected(&inventory, &["stages.module.0.conv1.weight"]),
        ["stages.0.conv1.weight"]
    );
    assert_eq!(selected(&inventory, &["module.bn1.weight"]), ["bn1.gamma"]);
    let wrapped = Inventory::from_module(&Wrapped {
        module: Zoo::new(&device()),
    });
    assert_eq!(
        selected(&wrapped, &["module.fc.weight"]),
        ["module.fc.weight"]
    );
    assert_eq!(selected(&wrapped, &["fc.weight"]), ["module.fc.weight"]);
    assert_eq!(selected(&wrapped, &["bn1.weight"]), ["module.bn1.gamma"]);
}

#[test]
fn running_statistics_are_listed_and_never_selected() {
    let inventory = inventory();
    assert_eq!(
        inventory
            .iter()
            .filter(|parameter| !parameter.is_trainable())
            .count(),
        10
    );
    let all = inventory.select(&["**"]).unwrap();
    assert!(all.iter().all(|parameter| parameter.is_trainable()));
    assert_eq!(all.len(), inventory.iter().count() - 10);
    assert!(inventory.select(&["bn1.running_mean"]).is_err());
}

#[test]
fn a_miss_names_the_nearest() {
    let inventory = inventory();
    let rows = [
        ("fc.wieght", "fc.weight"),
        ("stages.0.conv3.weight", "stages.0.conv1.weight"),
        ("bn1.weigth", "bn1.gamma"),
        ("!fc.weights", "fc.weight"),
    ];
    each(rows, |(pattern, nearest)| {
        let error = inventory.select(&[pattern]).unwrap_err();
        assert_eq!(error.pattern(), pattern.trim_start_matches('!'));
        assert_eq!(error.nearest()[0], *nearest);
        assert_eq!(error.nearest().len(), 3);
        assert!(
            error.nearest().iter().all(|name| !name.contains("running")),
            "{error}"
        );
    });
    let error = inventory.select(&["fc.wieght"]).unwrap_err().to_string();
    assert!(
        error.starts_with("`fc.wieght` matches no parameter; nearest: fc.weight, "),
        "{error}"
    );
}

#[test]
fn a_malformed_pattern_says_why() {
    let error = inventory().select(&["fc.[weight"]).unwrap_err();
    assert_eq!(error.nearest(), [""; 0]);
    assert!(
        error
            .to_string()
            .starts_with("`fc.[weight` is not a valid pattern: "),
        "{error}"
    );
}

#[test]
fn a_model_without_parameters_has_nothing_near() {
    let empty: Vec<Linear> = Vec::new();
    let error = Inventory::from_module(&empty)
        .select(&["fc.weight"])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fc.weight` matches no parameter: the model has none"
    );
}

#[test]
fn a_shared_parameter_is_listed_once_under_its_first_path() {
    #[derive(Module, Debug)]
    struct Tied {
        encoder: Param<Tensor<2>>,
        decoder: Param<Tensor<2>>,
    }
    let encoder = Param::from_tensor(Tensor::<2>::ones([2, 2], &device()));
    let tied = Tied {
        decoder: encoder.clone(),
        encoder,
    };
    let inventory = Inventory::from_module(&tied);
    assert_eq!(
        inventory
            .iter()
            .map(|p| p.path.as_str())
            .collect::<Vec<_>>(),
        ["encoder"]
    );
    let [shared] = inventory.iter().collect::<Vec<_>>()[..] else {
        panic!("one parameter");
    };
    assert_eq!(shared.aliases, ["decoder"]);
    for name in ["encoder", "decoder"] {
        assert_eq!(inventory.get(name), Some(shared));
    }
    for patterns in [
        &["encoder"][..],
        &["decoder"],
        &["dec*"],
        &["*"],
        &["encoder", "decoder"],
    ] {
        assert_eq!(
            inventory.select(patterns).unwrap(),
            [shared],
            "{patterns:?}"
        );
    }
    let none = inventory.select(&["encoder", "!decoder"]).unwrap();
    assert!(none.is_empty(), "either name takes it away again");
}

#[test]
fn a_shared_norm_scale_has_pytorchs_name_under_each_path() {
    #[derive(Module, Debug)]
    struct Tied {
        first: LayerNorm,
        second: LayerNorm,
    }
    let first = LayerNormConfig::new(3).init(&device());
    let tied = Tied {
        second: first.clone(),
        first,
    };
    let inventory = Inventory::from_module(&tied);
    let selected = |name: &str| inventory.select(&[name]).unwrap()[0].path.clone();
    assert_eq!(selected("first.weight"), "first.gamma");
    assert_eq!(selected("second.weight"), "first.gamma");
    assert_eq!(selected("module.second.bias"), "first.beta");
}

#[test]
fn lazy_parameters_are_listed_with_the_shape_they_will_have() {
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        let linear: Linear = LinearConfig::new(6, 4).with_layout(layout).init(&device());
        let before = Inventory::from_module(&linear)
            .get("weight")
            .unwrap()
            .shape
            .clone();
        assert_eq!(before, linear.weight.val().dims());
        assert_eq!(
            Inventory::from_module(&linear).get("weight").unwrap().shape,
            before
        );
    }
}
