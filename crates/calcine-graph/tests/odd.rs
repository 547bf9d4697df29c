//! Graphs and plans that are wrong are errors, never panics.

use calcine_graph::{
    Cut, Drawing, Extent, Graph, GraphError, Op, PlanError, ThinningPlan, UnitId, ValueId, weakest,
};
use proptest::prelude::*;

use crate::motifs;
use crate::network::{Network, square};
use crate::numbers::Dice;
use crate::zoo;

fn says(result: Result<impl Sized, GraphError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn a_wrong_graph_says_what_where_and_what_would_be_valid() {
    let mut graph = zoo::simplenet();
    graph.nodes[0].inputs[1] = ValueId(999);
    assert_eq!(
        says(graph.axes()),
        "conv1 names value 999, but the graph has 23 values, from 0"
    );
    let mut graph = zoo::simplenet();
    let weight = graph.parameter("fc1.weight").unwrap();
    graph.values[weight.0].shape[0] = 399.into();
    assert_eq!(
        says(graph.axes()),
        "`linear` at fc1: axis 0 of fc1.weight (399) and axis 1 of \
         conv2.relu.max_pool.reshape (400) must be equally long"
    );
    let mut graph = zoo::simplenet();
    graph.nodes.swap(0, 1);
    assert!(matches!(graph.check(), Err(GraphError::Order { .. })));
    let mut graph = zoo::simplenet();
    graph.nodes[1].op = Op::Softmax(4);
    assert_eq!(
        says(graph.compute()),
        "`softmax` at conv1.relu works along axis 4, but conv1 has 4 axes, from 0"
    );
    let mut graph = zoo::simplenet();
    graph.nodes[1].op = Op::Matmul;
    assert_eq!(
        says(graph.axes()),
        "`matmul` at conv1.relu has 1 operands, but takes 2"
    );
    let mut net = Network::default();
    let input = net.input(&[6, 4, 4]);
    let y = net.conv("conv", input, 6, 1, square(1, 1, 2));
    let mut graph = net.output(y);
    if let Op::Convolution(windows) = &mut graph.nodes[0].op {
        windows.groups = 4;
    }
    assert_eq!(
        says(graph.axes()),
        "`conv` at conv: 6 input and 6 output channels do not split into 4 groups"
    );
}

fn cut(parameter: &str, axis: usize, length: usize, keep: &[usize]) -> Cut {
    Cut {
        parameter: parameter.into(),
        axis,
        length,
        keep: keep.into(),
    }
}

fn refused(graph: &Graph, cuts: &[Cut]) -> String {
    let plan = ThinningPlan::try_from(vec![cuts.to_vec()]);
    plan.and_then(|plan| plan.apply(graph))
        .expect_err("an error")
        .to_string()
}

#[test]
fn a_wrong_plan_says_what_where_and_what_would_be_valid() {
    let graph = motifs::branches();
    let b = cut("b.weight", 0, 4, &[0, 2]);
    assert_eq!(
        refused(&graph, std::slice::from_ref(&b)),
        "index 1 of axis 0 of b.weight goes, but index 1 of axis 0 of b.bias stays: they can only \
         go together"
    );
    assert_eq!(
        refused(&graph, &[b.clone(), b.clone()]),
        "one step of the plan cuts axis 0 of b.weight twice: valid is once"
    );
    assert_eq!(
        refused(&graph, &[cut("d.weight", 0, 4, &[0])]),
        "the plan cuts d.weight, but the graph has no parameter of that name"
    );
    assert_eq!(
        refused(&graph, &[cut("b.weight", 4, 4, &[0])]),
        "the plan cuts axis 4 of b.weight, which has 4 axes, from 0"
    );
    assert_eq!(
        refused(&graph, &[cut("b.weight", 0, 8, &[0, 1, 2])]),
        "axis 0 of b.weight has length 4; the plan is for 8 or 3"
    );
    assert_eq!(
        refused(&graph, &[cut("c.weight", 0, 5, &[0])]),
        "index 1 of axis 0 of c.weight has to stay: it is the network's output"
    );
    for keep in [&[][..], &[1, 0], &[0, 0], &[0, 4], &[0, 1, 2, 3]] {
        let text = refused(&graph, &[cut("b.weight", 0, 4, keep)]);
        assert_eq!(
            text,
            "the plan must keep at least one and not all of the 4 indices of axis 0 of b.weight, \
             in ascending order"
        );
    }
    let text = r#"[[{"parameter": "b.weight", "axis": 0, "length": 4, "keep": []}]]"#;
    assert!(serde_json::from_str::<ThinningPlan>(text).is_err());
}

#[test]
fn a_half_thinned_network_is_neither_before_nor_after() {
    let graph = motifs::branches();
    let axes = graph.axes().unwrap();
    let units = ["a.weight", "b.weight"].map(|path| axes.unit_of(path, 0, 1).unwrap());
    let both = ThinningPlan::removing(&axes, units).unwrap();
    let one = ThinningPlan::removing(&axes, units[..1].to_vec()).unwrap();
    let thinned = one.apply(&graph).unwrap();
    let error = both.apply(&thinned).unwrap_err();
    assert!(matches!(error, PlanError::Length { .. }), "{error}");
}

#[test]
fn no_units_is_a_plan_that_changes_nothing() {
    let graph = motifs::branches();
    let plan = ThinningPlan::removing(&graph.axes().unwrap(), []).unwrap();
    assert!(plan.is_empty());
    assert_eq!(plan.apply(&graph).unwrap(), graph);
    assert_eq!(serde_json::to_string(&plan).unwrap(), "[]");
}

#[test]
fn the_weakest_go_and_the_rest_is_a_multiple() {
    assert_eq!(weakest(&[1.0, 1.0, 1.0, 1.0], 2, 1), [0, 1]);
    assert_eq!(weakest(&[0.0, -0.0, f64::NAN, -f64::NAN], 2, 1), [0, 1]);
    assert_eq!(weakest(&[3.0, 2.0, 1.0], 3, 1), [1, 2]);
    assert_eq!(weakest(&[3.0, 2.0, 1.0], 1, 8), [0; 0]);
    assert_eq!(weakest(&[3.0, 2.0, 1.0], 9, 0), [1, 2]);
    assert_eq!(weakest(&[], 3, 2), [0; 0]);
}

/// Something of the graph becomes something else.
fn spoil(graph: &mut Graph, dice: &mut Dice) {
    let mut below =
        |bound: usize| (((dice.next() + 1.0) * bound as f64 / 2.0) as usize).min(bound - 1);
    let value = below(graph.values.len());
    let node = below(graph.nodes.len());
    match below(8) {
        0 => {
            let extents = [
                0.into(),
                1.into(),
                7.into(),
                Extent::BATCH,
                usize::MAX.into(),
            ];
            let odd = Extent {
                fixed: 3,
                per_sample: 2,
            };
            let extent = *extents.get(below(6)).unwrap_or(&odd);
            let axis = below(graph.values[value].shape.len().max(1));
            if let Some(length) = graph.values[value].shape.get_mut(axis) {
                *length = extent;
            }
        }
        1 => graph.values[value].shape.push(2.into()),
        2 => drop(graph.values[value].shape.pop()),
        3 => graph.nodes[node].inputs.push(ValueId(value)),
        4 => drop(graph.nodes[node].inputs.pop()),
        5 => {
            let place = below(graph.nodes[node].inputs.len().max(1));
            if let Some(input) = graph.nodes[node].inputs.get_mut(place) {
                *input = ValueId(value);
            }
        }
        6 => {
            let other = below(graph.nodes.len());
            graph.nodes[node].op = graph.nodes[other].op.clone();
        }
        _ => {
            let ops = [
                Op::Matmul,
                Op::Reshape,
                Op::Expand,
                Op::Concat(1),
                Op::Gather(0),
                Op::Select(1),
                Op::Embedding,
                Op::Repeat { axis: 1, times: 0 },
                Op::Permute(vec![1, 0]),
                Op::ReduceAll(calcine_graph::Reduction::Sum),
                Op::Attention {
                    scale: None,
                    softcap: None,
                    causal: true,
                    masked: true,
                },
            ];
            graph.nodes[node].op = ops[below(ops.len())].clone();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_graphs_do_not_panic(which in 0usize..8, seed in any::<u64>(), times in 1usize..4) {
        let mut graph = match which {
            0 => zoo::simplenet(),
            1 => motifs::encoder(5, 12, 3, true),
            2 => motifs::attention(),
            3 => motifs::upsampling(),
            4 => motifs::padded_skip(),
            5 => motifs::shuffle(),
            6 => motifs::group_norm(),
            _ => motifs::bilinear(),
        };
        let mut dice = Dice(seed | 1);
        (0..times).for_each(|_| spoil(&mut graph, &mut dice));
        let _ = graph.compute();
        let _ = Drawing { parameters: true, ..Drawing::default() }.svg(&graph);
        let first = graph.nodes[0].name.clone();
        let _ = (graph.layers_after(&first), graph.layers_before(&first));
        if let Ok(axes) = graph.axes() {
            for group in 0..axes.groups().len() {
                let plan = ThinningPlan::removing(&axes, [UnitId { group, unit: 0 }]);
                let thinned = plan.and_then(|plan| plan.apply(&graph));
                if let Ok(thinned) = thinned {
                    prop_assert!(thinned.axes().is_ok(), "{:?}", thinned.axes().unwrap_err());
                }
            }
        }
    }
}
