//! Every class, with all its arguments.

use calcine_testkit::each;

use crate::{assert_tables, converted, lines, pruner, schedule, tables};

#[test]
fn every_pruner_becomes_a_table() {
    let rows = [
        (
            "class: MagnitudeParameterPruner
             thresholds: {'*': 0.4}",
            r#"[pruner.it]
               params = ["**"]
               score = "magnitude"
               threshold = 0.4"#,
        ),
        (
            "class: SensitivityPruner
             sensitivities:
               'features.module.0.weight': 0.25
               classifier.1.weight: 1",
            r#"[pruner.it]
               score = "magnitude"

               [pruner.it.sensitivity]
               "features.module.0.weight" = 0.25
               "classifier.1.weight" = 1.0"#,
        ),
        (
            "class: SparsityLevelParameterPruner
             levels: {fc.weight: 0.5, '*': 0.25}",
            r#"[pruner.it]
               score = "magnitude"

               [pruner.it.level]
               "fc.weight" = 0.5

               [pruner.it_rest]
               params = ["**", "!fc.weight"]
               score = "magnitude"
               level = 0.25"#,
        ),
        (
            "class: SplicingPruner
             low_thresh_mult: 0.9
             hi_thresh_mult: 1.1
             sensitivity_multiplier: 0.015
             sensitivities: {fc.weight: 0.05}",
            r#"[pruner.it]
               score = "magnitude"
               low = 0.9
               high = 1.1
               growth = 0.015

               [pruner.it.hysteresis]
               "fc.weight" = 0.05"#,
        ),
        (
            "class: BaiduRNNPruner
             q: 0.17
             ramp_epoch_offset: 3
             ramp_slope_mult: 2
             weights: [rnn.weight_ih_l0]",
            r#"[pruner.it]
               params = ["rnn.weight_ih_l0"]
               score = "magnitude"
               threshold = { curve = "two_slopes", q = 0.17, ramp_offset = 3, ramp_slope = 2.0 }"#,
        ),
        (
            "class: AutomatedGradualPruner
             initial_sparsity: 0.05
             final_sparsity: 0.7
             weights: [layer3.1.conv1.weight, layer3.1.conv2.weight]",
            r#"[pruner.it]
               params = ["layer3.1.conv1.weight", "layer3.1.conv2.weight"]
               score = "magnitude"
               level = { curve = "cubic", from = 0.05, to = 0.7 }"#,
        ),
        (
            "class: StructureParameterPruner
             threshold_criteria: Max
             reg_regims: {conv1.weight: [0.01, 3D], conv2.weight: [0.02, Filters]}",
            r#"[pruner.it]
               score = "max"
               granularity = "filter"

               [pruner.it.threshold]
               "conv1.weight" = 0.01
               "conv2.weight" = 0.02"#,
        ),
        (
            "class: StructureParameterPruner
             threshold_criteria: Mean_Abs
             reg_regims: {conv1.weight: [0.01, 2D], fc.weight: [0.02, Cols]}",
            r#"[pruner.it_kernel]
               score = "magnitude"
               granularity = "kernel"

               [pruner.it_kernel.threshold]
               "conv1.weight" = 0.01

               [pruner.it_fc_input]
               score = "magnitude"
               granularity = "fc_input"

               [pruner.it_fc_input.threshold]
               "fc.weight" = 0.02"#,
        ),
        (
            "class: L1RankedStructureParameterPruner
             group_type: Filters
             desired_sparsity: 0.6
             weights: [conv1.weight]",
            r#"[pruner.it]
               params = ["conv1.weight"]
               score = "l1"
               granularity = "filter"
               level = 0.6"#,
        ),
        (
            "class: L2RankedStructureParameterPruner
             group_type: Channels
             desired_sparsity: 0.5
             group_dependency: Leader
             group_size: 8
             rounding_fn: math.ceil
             noise: 0.1
             weights: [conv1.weight, conv2.weight]",
            r#"[pruner.it]
               params = ["conv1.weight", "conv2.weight"]
               score = "l2"
               granularity = "channel"
               level = 0.5
               aggregate = "first"
               multiple = 8
               rounding = "ceil"
               noise = 0.1"#,
        ),
        (
            "class: L1RankedStructureParameterPruner_AGP
             group_type: Rows
             initial_sparsity: 0.05
             final_sparsity: 0.5
             weights: [fc.weight]",
            r#"[pruner.it]
               params = ["fc.weight"]
               score = "l1"
               granularity = "fc_input"
               level = { curve = "cubic", from = 0.05, to = 0.5 }"#,
        ),
        (
            "class: L2RankedStructureParameterPruner_AGP
             group_type: Blocks
             kwargs: {block_shape: [1, 8, 1, 1]}
             initial_sparsity: 0.05
             final_sparsity: 0.5
             weights: [conv1.weight]",
            r#"[pruner.it]
               params = ["conv1.weight"]
               score = "l2"
               granularity = "block(1x8x1x1)"
               level = { curve = "cubic", from = 0.05, to = 0.5 }"#,
        ),
        (
            "class: RandomLevelStructureParameterPruner
             group_type: 3D
             sparsity_range: [0.1, 0.2]
             weights: [conv1.weight]",
            r#"[pruner.it]
               params = ["conv1.weight"]
               score = "l1"
               granularity = "filter"
               level = { range = [0.1, 0.2] }"#,
        ),
    ];
    for (instance, expected) in rows {
        assert_tables(&pruner(instance), expected);
    }
}

#[test]
fn channels_are_reconstructed() {
    let class = "class: FMReconstructionChannelPruner";
    let rest = "group_type: Channels\ndesired_sparsity: 0.5\nweights: [c]";
    let table = |score: &str| {
        format!(
            "[pruner.it]\nparams = [\"c\"]\nscore = \"{score}\"\ngranularity = \"channel\"\nlevel = 0.5\n\
             reconstruct = true"
        )
    };
    assert_tables(&pruner(&format!("{class}\n{rest}")), &table("l1"));
    let l2 = format!("{class}\nmagnitude_fn: l2\n{rest}");
    assert_tables(&pruner(&l2), &table("l2"));
}

#[test]
fn filters_are_ranked_by_gradient_activations_at_random_or_by_bernoulli() {
    let scores = [
        ("GradientRankedFilterPruner", "taylor_signed", "level"),
        ("ActivationAPoZRankedFilterPruner", "apoz", "level"),
        (
            "ActivationMeanRankedFilterPruner",
            "mean_activation",
            "level",
        ),
        ("RandomRankedFilterPruner", "random", "level"),
        ("BernoulliFilterPruner", "random", "bernoulli"),
    ];
    each(scores, |(class, score, amount)| {
        let head = format!("[pruner.it]\nparams = [\"conv1.weight\"]\nscore = \"{score}\"\n");
        let yaml = format!(
            "class: {class}\ngroup_type: Filters\ndesired_sparsity: 0.1\nweights: [conv1.weight]"
        );
        assert_tables(
            &pruner(&yaml),
            &format!("{head}granularity = \"filter\"\n{amount} = 0.1"),
        );
        let yaml = format!(
            "class: {class}_AGP\ngroup_type: 3D\ninitial_sparsity: 0.05\nfinal_sparsity: 0.5\n\
             weights: [conv1.weight]"
        );
        let curve = "{ curve = \"cubic\", from = 0.05, to = 0.5 }";
        assert_tables(
            &pruner(&yaml),
            &format!("{head}granularity = \"filter\"\n{amount} = {curve}"),
        );
    });
}

#[test]
fn every_regularizer_becomes_a_table_for_each_granularity() {
    let regularizer = |instance: &str| schedule("regularizer", "regularizers", instance);
    assert_tables(
        &regularizer("class: L1Regularizer\nreg_regims: {fc2.weight: 0.001, conv.weight: 1e-4}"),
        r#"[regularizer.it]
           type = "l1"

           [regularizer.it.strength]
           "fc2.weight" = 0.001
           "conv.weight" = 0.0001"#,
    );
    assert_tables(
        &regularizer(
            "class: GroupVarianceRegularizer\nreg_regims: {conv.weight: [8e-6, Channels]}",
        ),
        r#"[regularizer.it]
           type = "group_variance"
           granularity = "channel"
           smoothing = 1e-8

           [regularizer.it.strength]
           "conv.weight" = 8e-6"#,
    );
    let words = [
        ("2D", "kernel"),
        ("3D", "filter"),
        ("Filters", "filter"),
        ("4D", "layer"),
        ("Rows", "fc_output"),
        ("Cols", "fc_input"),
    ];
    each(words, |(word, granularity)| {
        let instance =
            format!("class: GroupLassoRegularizer\nreg_regims: {{w.weight: [0.5, {word}]}}");
        let expected = format!(
            "[regularizer.it]\ntype = \"group_lasso\"\ngranularity = \"{granularity}\"\n\n[regularizer.it.strength]\n\
             \"w.weight\" = 0.5"
        );
        assert_tables(&regularizer(&instance), &expected);
    });
    let sum = regularizer(
        "class: GroupLassoRegularizer\nreg_regims: {fc.weight: [0.5, Rows+Cols], conv.weight: [0.1, \
         Channels+4D]}\nthreshold_criteria: Max",
    );
    let sum = converted(&sum);
    for granularity in ["fc_output", "fc_input", "channel", "layer"] {
        let table = format!(
            "[regularizer.it_{granularity}]\ntype = \"group_lasso\"\ngranularity = \"{granularity}\""
        );
        assert!(sum.recipe.contains(&table), "{}", sum.recipe);
        assert!(
            sum.recipe
                .contains(&format!("regularizer = \"it_{granularity}\""))
        );
    }
    assert_eq!(sum.recipe.matches("threshold = \"max\"").count(), 4);
}

#[test]
fn every_scheduler_becomes_a_table() {
    let rows = [
        (
            "StepLR\nstep_size: 45",
            "\"step\"\nstep_size = 45\ngamma = 0.1",
        ),
        (
            "MultiStepLR\nmilestones: [2, 4]\ngamma: 0.5",
            "\"multi_step\"\nmilestones = [2, 4]\ngamma = 0.5",
        ),
        (
            "MultiStepMultiGammaLR\nmilestones: [2, 4]\ngammas: [0.1, 0.5]",
            "\"multi_step_multi_gamma\"\nmilestones = [2, 4]\ngammas = [0.1, 0.5]",
        ),
        (
            "ExponentialLR\ngamma: 0.95",
            "\"exponential\"\ngamma = 0.95",
        ),
        (
            "CosineAnnealingLR\nT_max: 100\neta_min: 0.001",
            "\"cosine\"\nt_max = 100.0\nfloor = 0.01",
        ),
        (
            "CosineAnnealingWarmRestarts\nT_0: 10\nT_mult: 2",
            "\"cosine_warm_restarts\"\nperiod = 10.0\ngrowth = 2.0",
        ),
        (
            "ReduceLROnPlateau\nmode: min\nfactor: 0.2\npatience: 5\nverbose: true",
            "\"plateau\"\nfactor = 0.2\npatience = 5",
        ),
        (
            "PolynomialLR\nT_max: 90\npower: 0.9",
            "\"polynomial\"\nt_max = 90.0\npower = 0.9",
        ),
    ];
    each(rows, |(instance, expected)| {
        let yaml = schedule(
            "lr_scheduler",
            "lr_schedulers",
            &format!("class: {instance}"),
        );
        assert_eq!(
            tables(&converted(&yaml)),
            lines(&format!("[lr.it]\ntype = {expected}"))
        );
    });
}

#[test]
fn what_is_not_supported_leaves_a_comment_and_a_warning() {
    let rows = [
        (
            "quantizer",
            "quantizers",
            "DorefaQuantizer",
            "write `[quantize.training]` with `method = \"dorefa\"`",
        ),
        (
            "quantizer",
            "quantizers",
            "PostTrainLinearQuantizer",
            "without `[train]`",
        ),
        ("extension", "extensions", "FilterRemover", "write `[thin]`"),
        (
            "extension",
            "extensions",
            "Whatever",
            "no recipe runs code of others",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "LambdaLR",
            "a function in Python",
        ),
        (
            "lr_scheduler",
            "lr_schedulers",
            "OneCycleLR",
            "steps by the batch",
        ),
    ];
    each(rows, |(kind, section, class, why)| {
        let yaml = schedule(kind, section, &format!("class: {class}\nwhatever: [1, 2]"));
        let converted = converted(&yaml);
        assert!(!converted.recipe.contains("[[policy]]"));
        let comment = format!("# Left out: {kind} `it` in epochs 0 to 29, every 2 (");
        assert!(converted.recipe.contains(&comment), "{}", converted.recipe);
        let warning = &converted.warnings[0];
        assert_eq!(warning.line, 6);
        let expected = format!("{kind} `it` ({class}) is left out: ");
        assert!(warning.text.starts_with(&expected), "{warning}");
        assert!(warning.text.contains(why), "{warning}");
    });
}
