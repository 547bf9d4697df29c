//! Products of matrices: heads of attention, and weights that belong to no layer.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use calcine_graph::{ThinningPlan, UnitId};
use calcine_testkit::device;
use calcine_thin::{PaddingEffect, thin, zero_out_channels};
use calcine_trace::trace;

use crate::{difference, numbers};

#[derive(Module, Debug)]
struct Heads {
    attention: MultiHeadAttention,
}

impl Heads {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.attention.forward(MhaInput::self_attn(x)).context
    }
}

#[test]
fn zeroed_heads_go_and_nothing_changes() {
    let attention = MultiHeadAttentionConfig::new(12, 3).with_dropout(0.0);
    let model = Heads {
        attention: attention.init(&device()),
    };
    let x = numbers([2, 5, 12]);
    let network = trace(&model, x.clone(), |m, x| m.forward(x)).unwrap();
    let axes = network.graph().axes().unwrap();
    let group = axes.groups_of("attention.query.weight", 1)[0];
    assert_eq!(axes.groups()[group].units.len(), 3);
    for heads in [vec![1], vec![0, 2]] {
        let units: Vec<UnitId> = heads.iter().map(|&unit| UnitId { group, unit }).collect();
        let plan = ThinningPlan::removing(&axes, units.iter().copied()).unwrap();
        let predicted = plan.apply(network.graph()).unwrap().compute().unwrap();
        let silent = zero_out_channels(network.clone(), &axes, units).unwrap();
        let before: Tensor<3> = silent.forward(x.clone());
        let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<3> = thinned.network.forward(x.clone());
        assert!(difference(&before, &after) <= 1e-5);
        assert_eq!(thinned.report.after.macs, predicted.macs);
        assert_eq!(thinned.report.removed[0].removed, heads.len());
    }
}

/// A hidden layer, and a head that is written out, as models are that come from ONNX.
#[derive(Module, Debug)]
struct Written {
    hidden: Linear,
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Written {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = self.hidden.forward(x).tanh();
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

#[test]
fn what_a_product_multiplies_with_nothing_goes() {
    let model = Written {
        hidden: LinearConfig::new(6, 8).init(&device()),
        weight: Param::from_tensor(numbers([3, 8])),
        bias: Param::from_tensor(numbers([3])),
    };
    let x = numbers([4, 6]);
    let network = trace(&model, x.clone(), |m, x| m.forward(x)).unwrap();
    let axes = network.graph().axes().unwrap();
    let group = axes.groups_of("hidden.weight", 1)[0];
    let units = [0, 3, 5].map(|unit| UnitId { group, unit });
    let silent = zero_out_channels(network, &axes, units).unwrap();
    let before: Tensor<2> = silent.forward(x.clone());
    let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
    let after: Tensor<2> = thinned.network.forward(x);
    assert!(difference(&before, &after) <= 1e-5);
    assert_eq!(thinned.report.after.macs, 6 * 5 + 5 * 3);
}
