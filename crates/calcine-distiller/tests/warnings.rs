//! What means something else is said, at its line, and once.

use calcine_distiller::{Options, convert};
use calcine_testkit::each;

use crate::{converted, pruner, schedule};

/// Instances that policies of these tests use.
const INSTANCES: &str = "pruners:
  agp: {class: AutomatedGradualPruner, initial_sparsity: 0.1, final_sparsity: 0.5, weights: [x.weight]}
  sens: {class: SensitivityPruner, sensitivities: {module.x.weight: 0.5}}
  mag: {class: MagnitudeParameterPruner, thresholds: {'*': 0.1}}
  bernoulli: {class: BernoulliFilterPruner, group_type: Filters, desired_sparsity: 0.1, weights: [c.weight]}
  lone: {class: SparsityLevelParameterPruner, levels: {z.weight: 0.5}}
regularizers:
  r: {class: L1Regularizer, reg_regims: {x.weight: 0.1}, threshold_criteria: Mean_Abs}
  s: {class: L1Regularizer, reg_regims: {e.weight: 0.1}}
lr_schedulers:
  lr: {class: ExponentialLR, gamma: 0.9}
  other: {class: StepLR, step_size: 4}
policies:
";

fn window(what: &str) -> String {
    format!("  - {{{what}, starting_epoch: 0, ending_epoch: 9, frequency: 1}}\n")
}

fn thinly(what: &str) -> String {
    format!("  - {{{what}, starting_epoch: 0, ending_epoch: 9, frequency: 3}}\n")
}

#[track_caller]
fn assert_warns(yaml: &str, line: usize, text: &str) {
    let warnings = converted(yaml).warnings;
    let found: Vec<_> = warnings
        .iter()
        .filter(|warning| warning.text.contains(text))
        .collect();
    let lines: Vec<usize> = found.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [line], "of `{text}` in {warnings:#?}\n{yaml}");
}

#[test]
fn instances_have_their_warnings() {
    let ranked = |more: &str| {
        pruner(&format!(
            "class: L1RankedStructureParameterPruner\ndesired_sparsity: 0.5\nweights: [c.weight]\n{more}"
        ))
    };
    let level = "class: SparsityLevelParameterPruner\nlevels: {'*': 0.5}";
    let regimes =
        "class: GroupLassoRegularizer\nreg_regims: {w: [0.5, Rows]}\nthreshold_criteria: Mean_Abs";
    let regularizer = |instance: &str| schedule("regularizer", "regularizers", instance);
    let rate = |instance: &str| schedule("lr_scheduler", "lr_schedulers", instance);
    let gradient =
        "class: GradientRankedFilterPruner\ngroup_type: 3D\ndesired_sparsity: 0.5\nweights: [c]";
    let of_activations = "class: ActivationMeanRankedFilterPruner\ngroup_type: 3D\ndesired_sparsity: 0.5\nweights: [c]";
    let reconstructed = "class: FMReconstructionChannelPruner\ngroup_type: Channels\ndesired_sparsity: 0.5\nweights: [c]";
    let rows = [
        (
            pruner(of_activations),
            3,
            "Distiller removed the most active",
        ),
        (pruner(of_activations), 3, "looked at when the pruner fires"),
        (pruner(reconstructed), 3, "sampled when the pruner fires"),
        (pruner(level), 3, "exactly ⌊level·N⌋ units"),
        (pruner(level), 4, "`*` is every parameter"),
        (
            ranked("group_type: Rows"),
            6,
            "are the inputs of a linear layer: `fc_input`",
        ),
        (
            ranked("group_type: Channels"),
            6,
            "`Channels` of a linear weight ranked its inputs",
        ),
        (
            ranked("group_type: Filters\ngroup_dependency: Leader"),
            7,
            "the first layer's scores decide anew",
        ),
        (
            ranked("group_type: Filters\ngroup_size: 4"),
            7,
            "`group_size` failed in Distiller",
        ),
        (
            ranked("group_type: Filters\nrounding_fn: ceil"),
            7,
            "always took the floor",
        ),
        (
            ranked("group_type: Filters\nnoise: 0.5"),
            3,
            "from another stream",
        ),
        (
            ranked("group_type: Blocks\nkwargs: {block_shape: [2, 8, 1, 1]}"),
            7,
            "a block of several filters and several channels",
        ),
        (
            ranked("group_type: Blocks\nkwargs: {block_shape: [1, 1, 3, 3]}"),
            7,
            "blocks within a kernel",
        ),
        (
            pruner(gradient),
            3,
            "the signed sum of weight times gradient",
        ),
        (
            pruner(&format!("{gradient}\ngroup_dependency: Leader")),
            7,
            "of this class did nothing in Distiller",
        ),
        (
            pruner(
                "class: L1RankedStructureParameterPruner\ndesired_sparsity: 0.5\ngroup_type: 3D\n\
                 weights: c.weight",
            ),
            6,
            "`weights` is a text, not a list",
        ),
        (
            regularizer(regimes),
            4,
            "`Rows` of a regularizer or threshold are the outputs",
        ),
        (regularizer(regimes), 5, "the strength is the threshold too"),
        (
            regularizer(regimes),
            5,
            "Distiller divided by the number of rows or columns",
        ),
        (
            regularizer(
                "class: GroupLassoRegularizer\nreg_regims: {w: [0.5, 4D]}\nthreshold_criteria: Max",
            ),
            5,
            "a threshold of whole layers failed",
        ),
        (
            regularizer("class: GroupLassoRegularizer\nreg_regims: {w: [0.5, Channels+4D]}"),
            4,
            "`Channels+4D` failed",
        ),
        (
            rate("class: CosineAnnealingLR\nT_max: 20"),
            4,
            "PyTorch's cosine rises again",
        ),
        (
            rate("class: CosineAnnealingLR\nT_max: 90\neta_min: 0.01"),
            5,
            "`eta_min` is a rate",
        ),
        (
            rate("class: PolynomialLR\nT_max: 20\npower: 2"),
            4,
            "Distiller's polynomial goes on",
        ),
        (
            rate("class: ReduceLROnPlateau\nmode: max"),
            4,
            "went by top-1",
        ),
        (
            rate("class: ReduceLROnPlateau\ncooldown: 3"),
            4,
            "`cooldown` of a plateau",
        ),
        (
            rate("class: ReduceLROnPlateau\nthreshold_mode: abs"),
            4,
            "`threshold_mode` of a plateau",
        ),
    ];
    each(rows, |(yaml, line, text)| assert_warns(yaml, *line, text));
}

#[test]
fn policies_have_their_warnings() {
    let first = INSTANCES.lines().count() + 1;
    let rows = [
        (
            thinly("pruner: {instance_name: sens, args: {mask_on_forward_only: true}}"),
            first,
            "stay on in the epochs between",
        ),
        (
            thinly(
                "pruner: {instance_name: sens, args: {mask_on_forward_only: true, keep_mask: true}}",
            ),
            first,
            "Distiller lost it",
        ),
        (
            window("pruner: {instance_name: sens, args: {skip_first_minibatch: true}}"),
            first,
            "left out the first batch of every other epoch",
        ),
        (
            window("pruner: {instance_name: lone, args: {levels: {z.weight: 0.25}}}"),
            first,
            "`levels` are of this policy alone",
        ),
        (
            window("pruner: {instance_name: bernoulli}"),
            first,
            "masks of a Bernoulli selection",
        ),
        (
            window("pruner: {instance_name: agp}") + &window("pruner: {instance_name: sens}"),
            first + 1,
            "`agp` and `sens` prune the same parameters",
        ),
        (
            window("pruner: {instance_name: lone}") + &window("pruner: {instance_name: mag}"),
            first + 1,
            "`lone` and `mag` prune the same parameters",
        ),
        (
            window("pruner: {instance_name: sens}") + &window("pruner: {instance_name: sens}"),
            first + 1,
            "measures the deviation for itself",
        ),
        (
            window("pruner: {instance_name: sens}")
                + &window("pruner: {instance_name: lone, args: {use_double_copies: true}}"),
            first + 1,
            "of a policy's own parameters",
        ),
        (
            window("pruner: {instance_name: sens, args: {use_double_copies: true}}")
                + &window("pruner: {instance_name: lone, args: {use_double_copies: true}}"),
            first + 1,
            "share the dense weights",
        ),
        (
            window("regularizer: {instance_name: r}") + &window("pruner: {instance_name: agp}"),
            first + 1,
            "the pruner `agp` and the threshold of `r`",
        ),
        (
            window("regularizer: {instance_name: s, args: {keep_mask: true}}"),
            first,
            "`keep_mask` without `threshold_criteria`",
        ),
        (
            thinly("lr_scheduler: {instance_name: lr}"),
            first,
            "the rate moves in every epoch of its window",
        ),
        (
            window("lr_scheduler: {instance_name: lr}")
                + &window("lr_scheduler: {instance_name: other}"),
            first + 1,
            "the one whose window began last decides",
        ),
        (
            "  - {pruner: {instance_name: sens}, epochs: [300]}\n".to_owned(),
            first,
            "it begins to act in epoch 300, and the run has 300 epochs",
        ),
        (
            window("pruner: {instance_name: sens}"),
            2,
            "`agp` is left out: no policy uses it",
        ),
    ];
    each(rows, |(policies, line, text)| {
        assert_warns(&format!("{INSTANCES}{policies}"), *line, text);
    });
}

#[test]
fn a_section_that_is_not_known_and_a_length_that_is_not_said_are_warned_of() {
    let yaml = pruner("class: SensitivityPruner\nsensitivities: {x: 1}");
    assert_warns(
        &format!("{yaml}pruner: {{}}\n"),
        10,
        "did you mean `pruners`?",
    );
    let converted = convert(None, &yaml, &Options::default()).unwrap();
    let said: Vec<String> = converted.warnings.iter().map(ToString::to_string).collect();
    let expected =
        "line 1: a schedule does not say how long the run is: `epochs` is 90, Distiller's default";
    assert_eq!(said, [expected]);
}

#[test]
fn what_is_the_same_says_nothing() {
    let yaml = "
pruners:
  surgery: {class: SplicingPruner, low_thresh_mult: 0.9, hi_thresh_mult: 1.1, sensitivities: {x: 0.05}}
lr_schedulers:
  decay: {class: StepLR, step_size: 45, gamma: 0.1}
policies:
  - pruner:
      instance_name: surgery
      args: {keep_mask: true, mini_batch_pruning_frequency: 1, mask_on_forward_only: true}
    starting_epoch: 0
    ending_epoch: 100
    frequency: 1
  - {lr_scheduler: {instance_name: decay}, starting_epoch: 45, ending_epoch: 400, frequency: 1}
";
    assert_eq!(converted(yaml).warnings, []);
}

#[test]
fn the_head_of_the_recipe_repeats_the_warnings() {
    let yaml = pruner("class: SparsityLevelParameterPruner\nlevels: {x: 0.5}");
    let options = Options {
        epochs: Some(30),
        model: None,
    };
    let recipe = convert(Some("a.yaml"), &yaml, &options).unwrap().recipe;
    let head = "# Converted from Distiller's schedule `a.yaml`.\n#\n# What is different here; numbers are \
                lines of the schedule:\n# * 3: a level drops exactly";
    assert!(recipe.starts_with(head), "{recipe}");
}
