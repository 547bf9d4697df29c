//! Windows, arguments of policies, and instances that several policies use.

use calcine_distiller::{Options, convert};
use calcine_recipe::Recipe;
use calcine_testkit::each;

use crate::{converted, lines, policies, tables};

const PRUNERS: &str = "
pruners:
  it: {class: SparsityLevelParameterPruner, levels: {fc.weight: 0.5}}
  drop: {class: BernoulliFilterPruner, group_type: Filters, desired_sparsity: 0.1, weights: [c.weight]}
  f: {class: L1RankedStructureParameterPruner, group_type: Filters, desired_sparsity: 0.5, weights: [c.weight]}
regularizers:
  r: {class: L1Regularizer, reg_regims: {d.weight: 0.1}, threshold_criteria: Mean_Abs}
  s: {class: L1Regularizer, reg_regims: {e.weight: 0.1}}
lr_schedulers:
  lr: {class: ExponentialLR, gamma: 0.9}
policies:
";

fn of(policies: &str) -> String {
    format!("{PRUNERS}{policies}")
}

#[track_caller]
fn assert_policies(yaml: &str, expected: &str) {
    assert_eq!(
        policies(&converted(&of(yaml))),
        lines(expected),
        "of\n{yaml}"
    );
}

#[test]
fn windows_are_ranges_or_lists() {
    assert_policies(
        "  - {pruner: {instance_name: it}, starting_epoch: 1, ending_epoch: 7, frequency: 2}",
        "[[policy]]\npruner = \"it\"\nstart = 1\nend = 7\nevery = 2",
    );
    assert_policies(
        "  - {pruner: {instance_name: it}, starting_epoch: 1, ending_epoch: 7}",
        "[[policy]]\npruner = \"it\"\nstart = 1\nend = 7",
    );
    assert_policies(
        "  - {pruner: {instance_name: it}, epochs: [5, 0, 5]}",
        "[[policy]]\npruner = \"it\"\nepochs = [0, 5]",
    );
}

#[test]
fn a_learning_rate_moves_an_epoch_later() {
    assert_policies(
        "  - {lr_scheduler: {instance_name: lr}, starting_epoch: 0, ending_epoch: 9, frequency: 1}",
        "[[policy]]\nlr = \"lr\"\nstart = 0\nend = 10",
    );
    assert_policies(
        "  - {lr_scheduler: {instance_name: lr}, starting_epoch: 45, ending_epoch: 200, frequency: 1}",
        "[[policy]]\nlr = \"lr\"\nstart = 46\nend = 201",
    );
    assert_policies(
        "  - {lr_scheduler: {instance_name: lr}, epochs: [3, 6]}",
        "[[policy]]\nlr = \"lr\"\nepochs = [4, 7]",
    );
}

#[test]
fn every_argument_of_a_pruning_policy_has_its_key() {
    let rows = [
        ("mini_batch_pruning_frequency: 16", "again_every = 16"),
        ("mini_batch_pruning_frequency: 0", ""),
        ("mask_on_forward_only: true", "hold = \"forward\""),
        ("mask_on_forward_only: False", ""),
        ("use_double_copies: true", "hold = \"shadow\""),
        (
            "use_double_copies: true, mask_on_forward_only: true",
            "hold = \"shadow\"",
        ),
        (
            "mask_on_forward_only: true, mask_gradients: true",
            "hold = \"forward\"\nmask_gradients = true",
        ),
        (
            "discard_masks_at_minibatch_end: true",
            "lifetime = \"step\"",
        ),
        ("skip_first_minibatch: true", "first = \"next_step\""),
        (
            "keep_mask: true, mask_on_forward_only: true, mini_batch_pruning_frequency: 1",
            "again_every = 1\nhold = \"forward\"\nafter = \"hold\"",
        ),
        // A hard mask is kept anyway.
        ("keep_mask: true", ""),
    ];
    each(rows, |(args, expected)| {
        let yaml = format!(
            "  - {{pruner: {{instance_name: it, args: {{{args}}}}}, starting_epoch: 0, ending_epoch: 4, \
             frequency: 1}}"
        );
        let expected = format!("[[policy]]\npruner = \"it\"\nstart = 0\nend = 4\n{expected}");
        assert_eq!(
            policies(&converted(&of(&yaml))),
            expected.trim(),
            "of {args}"
        );
    });
}

#[test]
fn a_regularizer_keeps_its_last_mask_if_it_has_any() {
    let yaml = |name: &str| {
        format!(
            "  - {{regularizer: {{instance_name: {name}, args: {{keep_mask: true}}}}, starting_epoch: 0, \
             ending_epoch: 4, frequency: 1}}"
        )
    };
    let window = "start = 0\nend = 4";
    assert_policies(
        &yaml("r"),
        &format!("[[policy]]\nregularizer = \"r\"\n{window}\nafter = \"hold\""),
    );
    assert_policies(
        &yaml("s"),
        &format!("[[policy]]\nregularizer = \"s\"\n{window}"),
    );
}

#[test]
fn an_instance_with_other_arguments_is_a_table_of_its_own() {
    let yaml = of("
  - {pruner: {instance_name: it}, epochs: [0]}
  - {pruner: {instance_name: it, args: {levels: {fc.weight: 0.75}}}, epochs: [5]}
  - {pruner: {instance_name: it, args: {fold_batchnorm: true}}, epochs: [6]}
  - {pruner: {instance_name: it, args: {mask_on_forward_only: true}}, epochs: [7]}
");
    let converted = converted(&yaml);
    let expected = r#"[pruner.it]
        score = "magnitude"

        [pruner.it.level]
        "fc.weight" = 0.5

        [pruner.it_2]
        score = "magnitude"

        [pruner.it_2.level]
        "fc.weight" = 0.75

        [pruner.it_3]
        score = "magnitude"
        fold_norm = true

        [pruner.it_3.level]
        "fc.weight" = 0.5"#;
    assert_eq!(tables(&converted), lines(expected));
    let named: Vec<&str> = converted
        .recipe
        .lines()
        .filter(|line| line.starts_with("pruner = "))
        .collect();
    let expected = ["it", "it_2", "it_3", "it"].map(|name| format!("pruner = \"{name}\""));
    assert_eq!(named, expected);
}

#[test]
fn a_table_that_is_added_takes_no_instance_s_name() {
    let yaml = "
pruners:
  it: {class: SparsityLevelParameterPruner, levels: {a: 0.5, '*': 0.25}}
  it_rest: {class: SparsityLevelParameterPruner, levels: {b: 0.5}}
policies:
  - {pruner: {instance_name: it}, epochs: [0]}
  - {pruner: {instance_name: it_rest}, epochs: [0]}
";
    let converted = converted(yaml);
    for name in ["it", "it_rest_2", "it_rest"] {
        assert!(converted.recipe.contains(&format!("pruner = \"{name}\"")));
        assert!(converted.recipe.contains(&format!("[pruner.{name}]")));
    }
}

#[test]
fn names_are_quoted_as_toml_wants_it() {
    let yaml = "
pruners:
  \"a \\\"b\\\" \\\\ é.\": {class: SparsityLevelParameterPruner, levels: {'x\"y': 0.5}}
policies:
  - {pruner: {instance_name: \"a \\\"b\\\" \\\\ é.\"}, epochs: [0]}
";
    let recipe = converted(yaml).recipe;
    assert!(recipe.contains(r#"[pruner."a \"b\" \\ é."]"#), "{recipe}");
    assert!(recipe.contains(r#""x\"y" = 0.5"#), "{recipe}");
}

#[test]
fn masks_of_a_bernoulli_selection_that_would_stay_are_for_the_forward_pass() {
    assert_policies(
        "  - {pruner: {instance_name: drop}, starting_epoch: 0, ending_epoch: 4, frequency: 1}",
        "[[policy]]\npruner = \"drop\"\nstart = 0\nend = 4\nhold = \"shadow\"",
    );
    assert_policies(
        "  - {pruner: {instance_name: drop, args: {discard_masks_at_minibatch_end: true, \
         mask_on_forward_only: true}}, starting_epoch: 0, ending_epoch: 4, frequency: 1}",
        "[[policy]]\npruner = \"drop\"\nstart = 0\nend = 4\nhold = \"forward\"\nlifetime = \"step\"",
    );
}

#[test]
fn the_length_of_the_run_is_as_asked_or_as_the_policies_need() {
    let epochs = |yaml: &str, epochs: Option<u64>| {
        let options = Options {
            epochs,
            model: Some("resnet20".to_owned()),
        };
        let converted = convert(None, &of(yaml), &options).unwrap();
        let recipe = Recipe::parse(&converted.recipe).unwrap();
        assert_eq!(recipe.train().model.as_deref(), Some("resnet20"));
        recipe.train().epochs
    };
    let pruner = |end: u64| {
        format!(
            "  - {{pruner: {{instance_name: it}}, starting_epoch: 0, ending_epoch: {end}, frequency: 1}}"
        )
    };
    let rate = "  - {lr_scheduler: {instance_name: lr}, starting_epoch: 3, ending_epoch: 900, frequency: 1}";
    assert_eq!(epochs(&pruner(30), Some(7)), 7);
    assert_eq!(epochs(&pruner(30), None), 90);
    assert_eq!(epochs(&pruner(180), None), 180);
    assert_eq!(epochs(rate, None), 90);
}

#[test]
fn anchors_and_merged_maps_are_read() {
    let yaml = "
pruners:
  a: &a
    class: AutomatedGradualPruner
    initial_sparsity: 0.1
    final_sparsity: 0.5
    weights: [x.weight]
  b:
    <<: *a
    weights: [y.weight]
policies:
  - {pruner: {instance_name: a}, starting_epoch: 0, ending_epoch: 4, frequency: 1}
  - {pruner: {instance_name: b}, starting_epoch: 0, ending_epoch: 4, frequency: 1}
";
    let recipe = converted(yaml).recipe;
    assert!(recipe.contains("params = [\"y.weight\"]"), "{recipe}");
    assert_eq!(recipe.matches("from = 0.1, to = 0.5").count(), 2);
}
