//! What is wrong with a schedule is said at its place, all at once.

use calcine_distiller::{Options, convert};
use calcine_testkit::each;

use crate::schedule;

/// Places and beginnings of messages.
#[track_caller]
fn assert_refused(yaml: &str, expected: &[(usize, usize, &str)]) {
    let options = Options {
        epochs: Some(100),
        model: None,
    };
    let error = match convert(Some("s.yaml"), yaml, &options) {
        Ok(converted) => panic!("converted to\n{}", converted.recipe),
        Err(error) => error,
    };
    let found = error.problems();
    assert_eq!(found.len(), expected.len(), "{error}\n{yaml}");
    for (problem, (line, column, text)) in found.iter().zip(expected) {
        assert_eq!(
            (problem.line, problem.column),
            (*line, *column),
            "{error}\n{yaml}"
        );
        assert!(
            problem.message.contains(text),
            "no `{text}` in {error}\n{yaml}"
        );
    }
    assert!(error.to_string().starts_with("s.yaml:"));
}

#[test]
fn a_text_that_is_no_schedule_is_refused() {
    let rows = [
        ("a: [1\nb: }", 2, 2, "this is no YAML: "),
        ("a: 1\na: 2", 2, 1, "this is no YAML: "),
        (
            "- 1",
            1,
            1,
            "the schedule is a list, expected a map with `policies`",
        ),
        ("", 1, 1, "the schedule is nothing"),
        ("version: 1", 1, 1, "`policies` is missing"),
        ("policies: 3", 1, 11, "`policies` is a list"),
        (
            "pruners: [a]\npolicies: []",
            1,
            10,
            "`pruners` is a map of names",
        ),
        (
            "pruners: {a: 3}\npolicies: []",
            1,
            14,
            "`a` is the number 3, expected a map",
        ),
        (
            "pruners: {a: {x: 3}}\npolicies: []",
            1,
            11,
            "`class` is missing",
        ),
        (
            "policies: [x]",
            1,
            12,
            "a policy is the text \"x\", expected a map",
        ),
    ];
    each(rows, |(yaml, line, column, text)| {
        assert_refused(yaml, &[(*line, *column, text)]);
    });
}

#[test]
fn policies_are_checked() {
    let head = "pruners:\n  it: {class: SensitivityPruner, sensitivities: {x: 1}}\npolicies:\n";
    let rows: [(&str, usize, usize, &str); 14] = [
        ("  - {epochs: [0]}", 4, 5, "a policy names what acts"),
        ("  - {pruner: {instance_name: it}}", 4, 5, "when is missing"),
        (
            "  - {pruner: it, epochs: [0]}",
            4,
            14,
            "`pruner` is a map with `instance_name`",
        ),
        (
            "  - {pruner: {args: {}}, epochs: [0]}",
            4,
            14,
            "`instance_name` is missing",
        ),
        (
            "  - {pruner: {instance_name: at}, epochs: [0]}",
            4,
            30,
            "no `at` in `pruners`",
        ),
        (
            "  - {pruner: {instance_name: it}, epochs: [0], frequency: 1}",
            4,
            59,
            "not both",
        ),
        (
            "  - {pruner: {instance_name: it}, starting_epoch: 1}",
            4,
            5,
            "`ending_epoch` is missing",
        ),
        (
            "  - {pruner: {instance_name: it}, starting_epoch: 5, ending_epoch: 5, frequency: 1}",
            4,
            68,
            "must be at least 6",
        ),
        (
            "  - {pruner: {instance_name: it}, starting_epoch: 0, ending_epoch: 5, frequency: 0}",
            4,
            68,
            "every",
        ),
        (
            "  - {pruner: {instance_name: it}, starting_epoch: -1, ending_epoch: 5, frequency: 1}",
            4,
            51,
            "`starting_epoch` is the number -1, expected a whole number, 0 or more",
        ),
        (
            "  - {pruner: {instance_name: it}, epochs: [0.5]}",
            4,
            43,
            "a list of whole numbers",
        ),
        (
            "  - {pruner: {instance_name: it}, epochs: [0], freq: 1}",
            4,
            48,
            "unknown key `freq`",
        ),
        (
            "  - {pruner: {instance_name: it, args: {mask_gradients: true}}, epochs: [0]}",
            4,
            57,
            "`mask_gradients` needs `mask_on_forward_only",
        ),
        (
            "  - {pruner: {instance_name: it, args: {keep_masks: true}}, epochs: [0]}",
            4,
            41,
            "did you mean `keep_mask`?",
        ),
    ];
    each(rows, |(policy, line, column, text)| {
        assert_refused(&format!("{head}{policy}"), &[(*line, *column, text)]);
    });
    let two = "  - {pruner: {instance_name: it}, regularizer: {instance_name: it}, epochs: [0]}";
    assert_refused(&format!("{head}{two}"), &[(4, 48, "not two")]);
}

#[test]
fn instances_are_checked() {
    let ranked = "class: L1RankedStructureParameterPruner\nweights: [c]\n";
    let pruners: [(&str, usize, usize, &str); 21] = [
        (
            "class: SensitivityPrunr",
            3,
            12,
            "did you mean `SensitivityPruner`?",
        ),
        (
            "class: SensitivityPruner",
            2,
            3,
            "`sensitivities` is missing",
        ),
        (
            "class: SensitivityPruner\nsensitivities: 3",
            4,
            20,
            "expected a map with parameter names",
        ),
        (
            "class: SensitivityPruner\nsensitivities: {x: a}",
            4,
            24,
            "`sensitivities` of `x` is the text",
        ),
        (
            "class: SensitivityPruner\nsensitivities: {x: -1}",
            4,
            24,
            "in the recipe: `sensitivity` is -1",
        ),
        (
            "class: SensitivityPruner\nsensitivities: {x: 1}\nsens: 3",
            5,
            5,
            "unknown key `sens`",
        ),
        (
            "class: MagnitudeParameterPruner\nthresholds: {x: 1}",
            2,
            3,
            "no `\"*\"`",
        ),
        (
            "class: SparsityLevelParameterPruner\nlevels: {x: 1.5}",
            4,
            17,
            "in the recipe: `level` is 1.5, expected between 0 and 1",
        ),
        (
            "class: AutomatedGradualPruner\ninitial_sparsity: 0.5\nfinal_sparsity: 0.5\nweights: [x]",
            5,
            21,
            "not above the initial one",
        ),
        (
            "class: AutomatedGradualPruner\ninitial_sparsity: 0.5\nfinal_sparsity: 0.6\nweights: [3]",
            6,
            15,
            "a name in `weights` is the number 3",
        ),
        (
            "class: BaiduRNNPruner\nq: 0.1\nramp_epoch_offset: 31\nramp_slope_mult: 2\nweights: [x]",
            5,
            24,
            "ends before the threshold's bend",
        ),
        (
            "class: StructureParameterPruner\nthreshold_criteria: L2\nreg_regims: {x: [1, 3D]}",
            4,
            25,
            "`threshold_criteria` is `L2`, expected Mean_Abs or Max",
        ),
        (
            "class: StructureParameterPruner\nthreshold_criteria: Max\nreg_regims: {x: [1, Rws]}",
            5,
            25,
            "unknown group `Rws`; did you mean `Rows`?",
        ),
        (
            "class: StructureParameterPruner\nthreshold_criteria: Max\nreg_regims: {x: 1}",
            5,
            21,
            "`x` is to be [number, group]",
        ),
        (
            &format!("{ranked}desired_sparsity: 0.5\ngroup_type: Cols"),
            6,
            17,
            "cannot be ranked",
        ),
        (
            &format!("{ranked}desired_sparsity: 0.5\ngroup_type: Blocks"),
            6,
            17,
            "`Blocks` needs `kwargs",
        ),
        (
            &format!(
                "{ranked}desired_sparsity: 0.5\ngroup_type: Blocks\nkwargs: {{block_shape: [1, 8]}}"
            ),
            7,
            27,
            "`block_shape` has four sides",
        ),
        (
            &format!("{ranked}group_type: 3D"),
            2,
            3,
            "`desired_sparsity` is missing",
        ),
        (
            &format!("{ranked}desired_sparsity: 0.5\ngroup_type: 3D\ngroup_dependency: Follower"),
            7,
            23,
            "expected Leader",
        ),
        (
            "class: RandomRankedFilterPruner\nweights: [c]\ndesired_sparsity: 0.5\ngroup_type: Channels",
            6,
            17,
            "ranks filters only",
        ),
        (
            "class: RandomLevelStructureParameterPruner\nweights: [c]\nsparsity_range: [0.5]\ngroup_type: 3D",
            5,
            21,
            "two levels",
        ),
    ];
    each(pruners, |(instance, line, column, text)| {
        let yaml = schedule("pruner", "pruners", instance);
        assert_refused(&yaml, &[(*line, *column, text)]);
    });
    let others: [(&str, &str, &str, usize, usize, &str); 8] = [
        (
            "regularizer",
            "regularizers",
            "class: L2Regularizer",
            3,
            12,
            "unknown regularizer class",
        ),
        (
            "regularizer",
            "regularizers",
            "class: L1Regularizer",
            2,
            3,
            "`reg_regims` is missing",
        ),
        (
            "regularizer",
            "regularizers",
            "class: L1Regularizer\nreg_regims: {x: 1}\nthreshold_criteria: L1",
            5,
            25,
            "expected Mean_Abs or Max",
        ),
        (
            "regularizer",
            "regularizers",
            "class: GroupVarianceRegularizer\nreg_regims: {x: [1, Filters]}",
            4,
            25,
            "group variance is of Channels",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "class: StepR",
            3,
            12,
            "did you mean `StepLR`?",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "class: StepLR",
            2,
            3,
            "`step_size` is missing",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "class: MultiStepMultiGammaLR\nmilestones: [1, 2]\ngammas: [0.1]",
            2,
            3,
            "in the recipe: `lr.it`: ",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "class: MultiStepLR\nmilestones: [2, 1]",
            2,
            3,
            "in the recipe: `lr.it`: ",
        ),
    ];
    each(others, |(kind, section, instance, line, column, text)| {
        assert_refused(
            &schedule(kind, section, instance),
            &[(*line, *column, text)],
        );
    });
}

#[test]
fn a_ramp_needs_a_window_to_move_in() {
    let yaml = "
pruners:
  it: {class: AutomatedGradualPruner, initial_sparsity: 0.1, final_sparsity: 0.5, weights: [x]}
  ih: {class: BaiduRNNPruner, q: 0.1, ramp_epoch_offset: 3, ramp_slope_mult: 2, weights: [x]}
policies:
  - {pruner: {instance_name: it}, epochs: [0, 2]}
  - {pruner: {instance_name: it}, starting_epoch: 0, ending_epoch: 3, frequency: 3}
  - {pruner: {instance_name: ih}, epochs: [0]}
";
    assert_refused(
        yaml,
        &[(3, 15, "moves step by step"), (4, 15, "moves step by step")],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let yaml = "pruners:
  a: {class: Nothing}
  b: {class: SensitivityPruner, sensitivity: {x: 1}}
policies:
  - {pruner: {instance_name: a}, epochs: [0]}
  - {pruner: {instance_name: b}, epochs: [0]}
  - {pruner: {instance_name: c}, epochs: []}
";
    assert_refused(
        yaml,
        &[
            (2, 14, "unknown pruner class `Nothing`"),
            (3, 3, "`sensitivities` is missing"),
            (3, 33, "did you mean `sensitivities`?"),
            (7, 30, "no `c` in `pruners`"),
            (7, 42, "the list of moments is empty"),
        ],
    );
}
