//! The tree of modules, and the names of operations.

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, LinearConfig, Relu};
use burn::tensor::{Int, Tensor};
use calcine_summary::{model, modules};
use calcine_testkit::{ConvNet, Mlp, device};
use calcine_trace::trace;

#[test]
fn modules_stand_around_their_parameters() {
    let table = model(&ConvNet::new(&device()));
    assert_eq!(
        table.to_csv(),
        "path,type,shape,parameters\n\
         ,ConvNet,,196\n\
         conv,Conv2d,,144\n\
         conv.weight,,8x2x3x3,144\n\
         norm,BatchNorm,,16\n\
         norm.gamma,,8,8\n\
         norm.beta,,8,8\n\
         norm.running_mean,,8,0\n\
         norm.running_var,,8,0\n\
         head,Linear,,36\n\
         head.weight,,8x4,32\n\
         head.bias,,4,4\n"
    );
    let sheet = table.sheet();
    assert_eq!(sheet.rows[0], ["ConvNet", "ConvNet", "", "196"]);
    assert_eq!(sheet.rows[2], ["    weight", "", "[8, 2, 3, 3]", "144"]);
    assert_eq!(table.to_json()[2]["shape"], serde_json::json!([8, 2, 3, 3]));
    assert!(table.to_string().contains("    weight"), "{table}");
}

/// Lists, an activation, a parameter at two places, and numbers that are not trained.
#[derive(Module, Debug)]
struct Nested {
    mlps: Vec<Mlp>,
    activation: Relu,
    tied: Option<Linear>,
    again: Option<Linear>,
    none: Option<Linear>,
    steps: Param<Tensor<1, Int>>,
}

#[test]
fn lists_nest_shared_parameters_count_once_and_what_has_none_is_left_out() {
    let linear: Linear = LinearConfig::new(2, 3).with_bias(false).init(&device());
    let nested = Nested {
        mlps: vec![Mlp::new(&device())],
        activation: Relu::new(),
        tied: Some(linear.clone()),
        again: Some(linear),
        none: None,
        steps: Param::initialized(ParamId::new(), Tensor::zeros([4], &device())),
    };
    let table = model(&nested);
    let rows: Vec<_> = table
        .rows
        .iter()
        .map(|row| (row.depth, row.name(), row.kind.as_str(), row.parameters))
        .collect();
    let mlp = 6 * 16 + 16 + 16 * 3 + 3;
    assert_eq!(
        rows,
        [
            (0, "Nested", "Nested", mlp + 6),
            (1, "mlps", "Vec", mlp),
            (2, "0", "Mlp", mlp),
            (3, "first", "Linear", 112),
            (4, "weight", "", 96),
            (4, "bias", "", 16),
            (3, "second", "Linear", 51),
            (4, "weight", "", 48),
            (4, "bias", "", 3),
            (1, "tied", "Linear", 6),
            (2, "weight", "", 6),
            (1, "again", "Linear", 0),
            (2, "weight", "", 0),
            (1, "steps", "", 0),
        ]
    );
}

#[test]
fn operations_have_names_and_types_in_running_order() {
    let net = ConvNet::new(&device());
    let images = Tensor::<4>::zeros([1, 2, 6, 6], &device());
    let network = trace(&net, images, ConvNet::forward).unwrap();
    let table = modules(network.graph()).unwrap();
    let rows: Vec<_> = table
        .rows
        .iter()
        .map(|row| {
            (
                row.name.as_str(),
                row.kind.as_str(),
                row.attributes.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows[..3],
        [
            ("conv", "Conv2d", "k=(3, 3), padding=(1, 1)"),
            ("norm", "BatchNorm", ""),
            ("norm.relu", "relu", ""),
        ]
    );
    assert_eq!(rows.last(), Some(&("head", "Linear", "")));
    assert!(
        table
            .to_csv()
            .starts_with("name,type,attributes\nconv,Conv2d,")
    );
    assert_eq!(table.to_json()[1]["type"], "BatchNorm");
    assert!(table.to_string().contains("norm.relu"));
    assert_eq!(table.sheet().header, ["Name", "Type", "Attrs"]);
}
