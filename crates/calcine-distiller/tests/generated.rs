//! Whatever the schedule, its recipe can be read.

use calcine_distiller::{Options, convert};
use calcine_recipe::Recipe;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// An instance of each kind of pruner; `%` is a number and `@` a name.
const PRUNERS: [&str; 9] = [
    "class: MagnitudeParameterPruner, thresholds: {'*': %, @: %}",
    "class: SensitivityPruner, sensitivities: {@: %, '*': %}",
    "class: SparsityLevelParameterPruner, levels: {@: %}",
    "class: SplicingPruner, low_thresh_mult: %, hi_thresh_mult: 1.5, sensitivities: {@: %}",
    "class: BaiduRNNPruner, q: %, ramp_epoch_offset: 1, ramp_slope_mult: %, weights: [@]",
    "class: AutomatedGradualPruner, initial_sparsity: %, final_sparsity: 1, weights: [@, x]",
    "class: L2RankedStructureParameterPruner_AGP, initial_sparsity: 0, final_sparsity: 1, group_type: \
     Channels, group_dependency: Leader, weights: [@, z]",
    "class: L1RankedStructureParameterPruner, desired_sparsity: %, group_type: Blocks, kwargs: \
     {block_shape: [2, 4, 1, 1]}, noise: %, weights: [@]",
    "class: BernoulliFilterPruner, desired_sparsity: %, group_type: 3D, weights: [@]",
];

const REGULARIZERS: [&str; 3] = [
    "class: L1Regularizer, reg_regims: {@: %}, threshold_criteria: Max",
    "class: GroupLassoRegularizer, reg_regims: {@: [%, Rows+Cols], x: [%, 3D]}",
    "class: GroupVarianceRegularizer, reg_regims: {@: [%, Channels]}",
];

const RATES: [&str; 3] = [
    "class: StepLR, step_size: 3, gamma: %",
    "class: CosineAnnealingLR, T_max: 5, eta_min: 0.01",
    "class: MultiStepLR, milestones: [1, 5]",
];

const ARGS: [&str; 5] = [
    "keep_mask: true",
    "mask_on_forward_only: true, mask_gradients: true",
    "use_double_copies: true, fold_batchnorm: true",
    "mini_batch_pruning_frequency: 3, discard_masks_at_minibatch_end: true",
    "skip_first_minibatch: true",
];

fn instance(shapes: &'static [&'static str]) -> impl Strategy<Value = String> {
    let name = select(vec![
        "fc.weight",
        "module.conv1.weight",
        "'a \"quoted\" name'",
        "\"tab\\t and \\\\ and ü\"",
        "'# none'",
    ]);
    (select(shapes), 0.0..0.9_f64, name).prop_map(|(shape, number, name)| {
        format!(
            "{{{}}}",
            shape.replace('%', &number.to_string()).replace('@', name)
        )
    })
}

fn policy(
    kind: &'static str,
    count: usize,
    args: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let window = prop_oneof![
        (0..40_u64, 3..30_u64).prop_map(|(start, length)| {
            let end = start + length;
            format!("starting_epoch: {start}, ending_epoch: {end}, frequency: 1")
        }),
        (0..40_u64, 1..30_u64).prop_map(|(start, every)| {
            let end = start + 3 * every;
            format!("starting_epoch: {start}, ending_epoch: {end}, frequency: {every}")
        }),
        vec(0..60_u64, 1..4).prop_map(|epochs| format!("epochs: {epochs:?}")),
    ];
    (0..count, window, select(args)).prop_map(move |(which, window, args)| {
        format!("  - {{{kind}: {{instance_name: {kind}{which}, args: {{{args}}}}}, {window}}}\n")
    })
}

fn section(name: &str, kind: &str, instances: &[String]) -> String {
    let mut text = format!("{name}:\n");
    for (i, instance) in instances.iter().enumerate() {
        text += &format!("  {kind}{i}: {instance}\n");
    }
    text
}

proptest! {
    #[test]
    fn a_schedule_that_converts_is_a_recipe_that_reads(
        pruners in vec(instance(&PRUNERS), 3),
        regularizers in vec(instance(&REGULARIZERS), 2),
        rates in vec(instance(&RATES), 2),
        policies in vec(
            prop_oneof![
                policy("pruner", 3, &ARGS),
                policy("regularizer", 2, &ARGS[..1]),
                // Without arguments: they have none.
                policy("lr_scheduler", 2, &[""]).prop_map(|p| p.replace(", args: {}", "")),
            ],
            0..6,
        ),
        epochs in prop_oneof![Just(None), (1..80_u64).prop_map(Some)],
    ) {
        let yaml = section("pruners", "pruner", &pruners)
            + &section("regularizers", "regularizer", &regularizers)
            + &section("lr_schedulers", "lr_scheduler", &rates)
            + "policies:\n"
            + if policies.is_empty() { "  []\n" } else { "" }
            + &policies.concat();
        match convert(None, &yaml, &Options { epochs, model: None }) {
            Ok(converted) => {
                let again = convert(None, &yaml, &Options { epochs, model: None });
                prop_assert_eq!(again.as_ref(), Ok(&converted));
                prop_assert!(Recipe::parse(&converted.recipe).is_ok());
                let lines = yaml.lines().count();
                prop_assert!(converted.warnings.iter().all(|w| 1 <= w.line && w.line <= lines));
            }
            // The one thing that these schedules can have wrong.
            Err(error) => prop_assert!(
                error.problems().iter().all(|p| p.message.contains("moves step by step")),
                "{}\n{}", error, yaml
            ),
        }
    }

    #[test]
    fn any_text_ends_with_a_recipe_or_an_error(text in "[-a-z0-9:{}\\[\\], \n'\"&*!#%|>?]{0,200}") {
        if let Ok(converted) = convert(None, &text, &Options::default()) {
            prop_assert!(Recipe::parse(&converted.recipe).is_ok());
        }
    }
}
