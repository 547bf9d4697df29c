//! Mistakes in the ways to select, in regularizers, in masks and in rewinding.

use calcine_recipe::Recipe;
use calcine_testkit::{ConvNet, device, each};

use crate::broken::{check, unmarked, with_pruner};

type Row = (&'static str, &'static [&'static str]);

#[test]
fn every_mistake_in_a_selection_is_named_at_its_place() {
    let head = "params = [\"**\"]\nscore = \"magnitude\"\n";
    let rows: Vec<Row> = vec![
        (
            "n_of_m = ¦\"4:2\"",
            &["expected N:M (N of every M are kept), such as \"2:4\""],
        ),
        (
            "granularity = ¦\"filter\"\nn_of_m = \"2:4\"",
            &["`n_of_m` implies a granularity"],
        ),
        (
            "level = 0.5\nat_least = ¦-1",
            &["`at_least` must be a whole number of units"],
        ),
        ("level = 0.5\nat_least = ¦1.5", &["or a share of them"]),
        (
            "level = 0.5\nrounding = ¦\"up\"",
            &["`rounding` cannot be `up`"],
        ),
        (
            "level = 0.5\nmultiple = ¦0",
            &["expected a whole number above 0"],
        ),
        (
            "level = 0.5\nbatches = ¦\"some\"",
            &["expected a whole number above 0 or \"all\""],
        ),
        (
            "level = 0.5\nbatches = ¦0",
            &["expected a whole number above 0"],
        ),
        (
            "level = 0.5\nnoise = ¦2",
            &["`noise` is 2, expected a number between 0 and 1"],
        ),
        (
            "level = 0.5\ncost = ¦\"bytes\"",
            &["`cost` needs `scope = \"global\"`"],
        ),
        (
            "level = 0.5\nscope = \"global\"\ncost = ¦7",
            &["expected \"units\", \"bytes\" or a table"],
        ),
        (
            "level = 0.5\nscope = \"global\"\ncost = { \"conv.*\" = ¦0 }",
            &["a cost is a whole number above 0"],
        ),
        (
            "threshold = 0.5\nscope = ¦\"global\"",
            &["needs one `level` for all parameters"],
        ),
        (
            "level = 0.5\nrefresh = ¦true",
            &["`refresh` needs `sensitivity`"],
        ),
        ("level = 0.5\nlow = ¦0.5", &["`low` needs `hysteresis`"]),
        (
            "hysteresis = 0.1\nlow = 2\nhigh = ¦1",
            &["`high` is 1, expected at least `low`, 2"],
        ),
        (
            "bernoulli = ¦1.5",
            &["`bernoulli` is 1.5, expected between 0 and 1"],
        ),
        (
            "threshold = ¦{ range = [0.1, 0.2] }",
            &["`range` needs `level`"],
        ),
        ("level = { range = ¦[0.2, 0.1] }", &["the lower one first"]),
        (
            "level = 0.5\ngranularity = ¦\"channel\"\ndependency = \"auto\"",
            &["`granularity = \"filter\"` or `\"fc_output\"`"],
        ),
        (
            "level = 0.5\ndependency = ¦\"all\"",
            &["`dependency` cannot be `all`"],
        ),
        ("level = 0.5\ndrop = ¦0.3", &["`drop` needs `regrow`"]),
        (
            "level = 0.5\nreconstruct = ¦true",
            &["`granularity = \"channel\"` or `\"fc_input\"`"],
        ),
        (
            "level = 0.5\ngranularity = \"channel\"\nreconstruct = ¦8",
            &["`reconstruct` is the number 8, expected true, false or a table"],
        ),
        (
            "level = 0.5\ngranularity = \"channel\"\nreconstruct = { positions = ¦0, ¦rows = 3 }",
            &["expected a whole number above 0", "unknown key `rows`"],
        ),
        (
            "threshold = 0.5\nregrow = ¦\"random\"\ndrop = 0.3",
            &["`regrow` needs `level`"],
        ),
        (
            "level = ¦{ curve = \"linear\", from = 0, to = 1 }\nregrow = \"random\"\ndrop = 0.3",
            &["the level must be one number"],
        ),
        (
            "threshold = ¦{ curve = \"two_slopes\", q = 0.1 }",
            &["`ramp_offset` is missing"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&with_pruner(&format!("{head}{marked}")));
        check(&Recipe::parse(&text).unwrap_err(), &places, fragments);
    });
    let rows: Vec<Row> = vec![
        (
            "score = \"l1\"\nlevel = 0.5\ngroups = ¦[[\"conv.weight\"]]",
            &["`groups` needs `aggregate`"],
        ),
        (
            "score = \"l1\"\nlevel = 0.5\nparams = ¦[\"conv.weight\"]\ngroups = [[\"conv.weight\"]]",
            &["`params` and `groups` exclude each other"],
        ),
        (
            "score = \"l1\"\nlevel = 0.5\naggregate = \"sum\"\ngroups = ¦[[]]",
            &["expected a list of lists of texts"],
        ),
        (
            "score = \"l1\"\nlevel = { \"conv.*\" = 0.5 }\naggregate = ¦\"sum\"",
            &["`aggregate` needs `params` or `groups`"],
        ),
        (
            "score = ¦\"norm_scale\"\nlevel = 0.5\nparams = [\"**\"]",
            &["`norm_scale` has one score per filter"],
        ),
        (
            "score = ¦\"apoz\"\nlevel = 0.5\nparams = [\"**\"]",
            &["a score of activations has one value per filter"],
        ),
        (
            "score = ¦\"mean_activation\"\ngranularity = \"channel\"\nlevel = 0.5\nparams = [\"conv.weight\"]",
            &["`granularity = \"filter\"` or `\"fc_output\"`"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&with_pruner(marked));
        check(&Recipe::parse(&text).unwrap_err(), &places, fragments);
    });
}

#[test]
fn every_mistake_in_a_regularizer_is_named_at_its_place() {
    let rows: Vec<Row> = vec![
        (
            "¦[regularizer.r]\nparams = [\"**\"]\nstrength = 1",
            &["`type` is missing"],
        ),
        (
            "[regularizer.r]\ntype = ¦\"l3\"\nparams = [\"**\"]\nstrength = 1",
            &["cannot be `l3`"],
        ),
        (
            "¦[regularizer.r]\ntype = \"l1\"\nparams = [\"**\"]",
            &["`strength` is missing: a number or curve λ"],
        ),
        (
            "¦[regularizer.r]\ntype = \"l1\"\nstrength = 1",
            &["`params` is missing"],
        ),
        (
            "[regularizer.r]\ntype = \"l1\"\nparams = [\"**\"]\nstrength = ¦-1",
            &["`strength` is -1, expected 0 or more"],
        ),
        (
            "[regularizer.r]\ntype = \"l1\"\nparams = ¦[\"**\"]\nstrength = { \"*\" = 1 }",
            &["exclude each other"],
        ),
        (
            "[regularizer.r]\ntype = \"group_variance\"\nparams = [\"**\"]\nstrength = 1\n\
             apply = ¦\"proximal\"",
            &["has no proximal step"],
        ),
        (
            "[regularizer.r]\ntype = \"group_lasso\"\nparams = [\"**\"]\nstrength = 1\n\
             smoothing = 1e-8\napply = ¦\"proximal\"",
            &["take its smoothing away"],
        ),
        (
            "[regularizer.r]\ntype = \"l1\"\nparams = [\"**\"]\nstrength = 1\nthreshold = ¦\"median\"",
            &["`median`"],
        ),
        (
            "[regularizer.r]\ntype = \"l1\"\nparams = [\"**\"]\nstrength = 1\nthreshold_at = ¦0.1",
            &["`threshold_at` needs `threshold`"],
        ),
        (
            "[regularizer.r]\ntype = \"l2\"\nparams = [\"**\"]\nstrength = 1\n\
             weakest = { score = ¦\"taylor\", level = 0.5 }",
            &["`weakest` needs a score that uses only weights"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let policy = "[[policy]]\nregularizer = \"r\"\nend = 2\n";
        let text = format!("format = 1\n[train]\nepochs = 9\n{policy}{marked}\n");
        let (text, places) = unmarked(&text);
        // A table's place is its header, as TOML has it.
        check(
            &Recipe::parse(&text).unwrap_err(),
            &named(places),
            fragments,
        );
    });
}

/// Problems of a whole named table stand at its name.
fn named(places: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    let name = |(line, column)| {
        if column == 1 {
            (line, 14)
        } else {
            (line, column)
        }
    };
    places.into_iter().map(name).collect()
}

#[test]
fn every_mistake_in_what_masks_and_rewinds_do_is_named_at_its_place() {
    let head = "format = 1\n[train]\nepochs = 9\n[lr.r]\ntype = \"cosine\"\n\
                [pruner.a]\nparams = [\"**\"]\nscore = \"l1\"\nlevel = 0.5\n\
                [regularizer.p]\ntype = \"l1\"\nparams = [\"**\"]\nstrength = 1\n\
                [[policy]]\nlr = \"r\"\n[[policy]]\nregularizer = \"p\"\nend = 1\n\
                [[policy]]\npruner = \"a\"\nend = 1\n";
    let rows: Vec<Row> = vec![
        (
            "[[policy]]\nlr = \"r\"\nhold = ¦\"always\"",
            &["`hold` is for pruners"],
        ),
        (
            "[[policy]]\nregularizer = \"p\"\nend = 1\nlifetime = ¦\"step\"",
            &["`lifetime` is for pruners"],
        ),
        (
            "[[policy]]\nlr = \"r\"\nafter = ¦\"hold\"",
            &["`after` is for pruners and regularizers"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 1\nhold = ¦\"never\"",
            &["`hold` cannot be `never`"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nsteps = [3]\nagain_every = ¦2",
            &["`again_every` needs a window in epochs"],
        ),
        (
            "¦[rewind]\nto = 1",
            &["`at` is missing: the epochs before which the run is rewound"],
        ),
        ("[rewind]\nto = 2\nat = ¦[2]", &["`at` from 3"]),
        ("[rewind]\nat = ¦[5, 4]", &["must ascend"]),
        (
            "[rewind]\nat = ¦[9]",
            &["`rewind.at` is never reached: training has 9 epochs, 0 to 8"],
        ),
        (
            "[rewind]\nat = [3]\nrestore = ¦\"all\"",
            &["`restore` cannot be `all`"],
        ),
        ("[thin]\nat = ¦[4, 2]", &["must ascend"]),
        (
            "[quantize.weights]\n¦bit = 4",
            &["unknown key `bit`; did you mean `bits`?"],
        ),
        ("[quantize.¦sums]\nbits = 16", &["unknown key `sums`"]),
        (
            "[quantize.weights]\nbits = ¦1",
            &["`quantize.weights.bits` is 1, expected 2 to 16"],
        ),
        (
            "[quantize.weights]\nscheme = ¦\"affine\"",
            &["`quantize.weights.scheme` is `affine`, expected quantization after training"],
        ),
        (
            "[quantize.activations]\nscheme = ¦\"signed\"",
            &["`scheme` cannot be `signed`; valid are symmetric, affine"],
        ),
        (
            "[quantize.prepare]\nsmooth = ¦1.5",
            &["`quantize.prepare.smooth` is 1.5, expected 0 to 1"],
        ),
        (
            "[quantize.accumulator]\nbits = ¦40\nbias_bits = 16",
            &["`quantize.accumulator.bits` is 40, expected 8 to 32"],
        ),
        (
            "[quantize.first_last]\nactivation_bits = ¦17",
            &["`quantize.first_last.activation_bits` is 17"],
        ),
        (
            "[quantize.activations]\nrange_estimator = ¦\"max\"",
            &["expected min_max"],
        ),
        (
            "[quantize.training]\nmethod = ¦\"lsk\"",
            &["`method` cannot be `lsk`; did you mean `lsq`?"],
        ),
        (
            "[quantize.training]\ndecay = ¦0.9",
            &["`decay` is for `method = \"linear\"`"],
        ),
        (
            "[quantize.training]\nmethod = \"linear\"\ndecay = ¦1",
            &["expected a number below 1"],
        ),
        (
            "[quantize.training]\nmethod = \"pact\"\n[quantize.weights]\nbits = ¦16",
            &["`quantize.weights.bits` is 16, expected 1 to 15"],
        ),
        (
            "¦[[quantize.layer]]\nweight_bits = 8",
            &["`name` is missing: a name or pattern of layers"],
        ),
        (
            "[[quantize.layer]]\nname = \"fc\"\nweight_bits = ¦1",
            &["`quantize.layer.fc.weight_bits` is 1, expected 2 to 16"],
        ),
        (
            "[[quantize.layer]]\nname = \"fc\"\nweight_stretch = ¦0",
            &["`quantize.layer.fc.weight_stretch` is 0, expected a number above 0"],
        ),
        (
            "¦[thin]\n[quantize.weights]\nbits = 4",
            &["exclude each other"],
        ),
        (
            "[distill]\ntemperature = ¦0",
            &["expected a number between 0.01 and 1000"],
        ),
        (
            "[distill]\nweights = ¦\"none\"",
            &["a teacher needs trained weights"],
        ),
        (
            "[distill]\nstudent = 0\nteacher = ¦0",
            &["at least one must be above 0"],
        ),
        ("[distill]\nteacher = ¦-1", &["`teacher` is -1"]),
        ("[thin]\nat = ¦[0, 2]", &["`at` from 1"]),
        (
            "[thin]\npadding_effect = ¦\"none\"",
            &["`padding_effect` cannot be `none`"],
        ),
        ("[thin]\n¦when = 3", &["when"]),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&format!("{head}{marked}\n"));
        check(&Recipe::parse(&text).unwrap_err(), &places, fragments);
    });
}

#[test]
fn what_does_not_fit_the_model_or_the_window_is_named_at_its_place() {
    let head = "format = 1\n[train]\nepochs = 9\nlr = 0.1\n";
    let rows: Vec<Row> = vec![
        (
            "[[policy]]\npruner = \"a\"\nend = 2\n[pruner.a]\nparams = [\"head.weight\"]\n\
             granularity = ¦\"filter\"\nscore = \"norm_scale\"\nlevel = 0.5",
            &["`head.weight`: granularity `filter` needs"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 2\n[pruner.a]\nscore = \"l1\"\nlevel = 0.5\n\
             aggregate = \"sum\"\ngroups = [¦[\"conv.weight\", \"head.weight\"]]",
            &["the same number of units, found [144, 32]"],
        ),
        (
            "[[policy]]\npruner = ¦\"a\"\nend = 2\n[pruner.a]\nparams = [\"conv.weight\"]\n\
             score = \"random\"\nbernoulli = 0.5",
            &["a Bernoulli selection is random"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 2\nhold = \"shadow\"\n[pruner.a]\nparams = [\"head.weight\"]\n\
             score = \"l1\"\ngranularity = \"fc_input\"\nlevel = 0.5\nreconstruct = ¦true",
            &["it needs masks that are always applied"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nepochs = [1, 2]\n[pruner.a]\nparams = [\"conv.weight\"]\n\
             score = \"magnitude\"\n\
             threshold = ¦{ curve = \"two_slopes\", q = 0.1, ramp_offset = 1 }",
            &["its window is a list"],
        ),
        (
            "[[policy]]\nregularizer = ¦\"p\"\nend = 2\nafter = \"hold\"\n[regularizer.p]\n\
             type = \"l1\"\nparams = [\"conv.weight\"]\nstrength = 1",
            &["keeps the zeros of a `threshold`"],
        ),
        (
            "[[policy]]\nregularizer = \"p\"\nend = 2\n[regularizer.p]\ntype = \"l1\"\n\
             params = [¦\"cnv.weight\"]\nstrength = 1",
            &["nearest: conv.weight"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 2\n[pruner.a]\nparams = [\"conv.weight\"]\n\
             score = \"magnitude\"\nn_of_m = ¦\"1:4\"",
            &["does not"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 2\n[pruner.a]\nparams = [\"conv.weight\"]\n\
             score = \"l1\"\nlevel = 0.5\ngranularity = ¦\"filter\"\ndependency = \"auto\"",
            &["`dependency = \"auto\"` needs a traced network"],
        ),
        (
            "¦[[policy]]\npruner = \"a\"\nstart = 0\nend = 5\n[pruner.a]\n\
             params = [\"conv.weight\"]\nscore = \"l1\"\nlevel = 0.5\ngranularity = \"filter\"\n\
             [thin]\nat = [4, 7]",
            &["`a` is active when the network is thinned before epoch 4"],
        ),
        (
            "¦[[policy]]\npruner = \"a\"\nhold = \"shadow\"\nunit = \"percent\"\nend = 80\n[pruner.a]\n\
             params = [\"conv.weight\"]\nscore = \"magnitude\"\nlevel = 0.5\n[thin]\nat = [4]",
            &["`a` is active when the network is thinned before epoch 4"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&format!("{head}{marked}\n"));
        let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let model = ConvNet::new(&device());
        let bound = recipe.bind_for_runner(&recipe.runner_tables(), &model, None, 10);
        check(&bound.unwrap_err(), &places, fragments);
    });
}
