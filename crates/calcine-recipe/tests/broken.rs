//! Recipes that are wrong: what is said about them, and where.

use calcine_recipe::{Recipe, RecipeError};
use calcine_testkit::{ConvNet, Mlp, device, each};

use crate::graph;

/// Every `¦` in a recipe stands where a problem is expected; several at one place stand side by side.
pub(crate) fn unmarked(marked: &str) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut places) = (String::new(), Vec::new());
    let (mut line, mut column) = (1, 1);
    for c in marked.chars() {
        match c {
            '¦' => {
                places.push((line, column));
                continue;
            }
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        text.push(c);
    }
    (text, places)
}

#[track_caller]
pub(crate) fn check(error: &RecipeError, places: &[(usize, usize)], fragments: &[&str]) {
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|p| (p.line, p.column))
        .collect();
    assert_eq!(found, places, "\n{error}");
    assert_eq!(found.len(), fragments.len(), "\n{error}");
    for (problem, fragment) in error.problems().iter().zip(fragments) {
        assert!(
            problem.message.contains(fragment),
            "no `{fragment}` in: {}",
            problem.message
        );
    }
}

type Row = (&'static str, &'static [&'static str]);

#[test]
fn every_mistake_is_named_at_its_place() {
    let rows: Vec<Row> = vec![
        // The root.
        (
            "¦[train]\nepochs = 3",
            &["`format` is missing: the version of the grammar"],
        ),
        (
            "format = ¦2\n[train]\nepochs = 3",
            &["format 2 is unknown; this version reads 1"],
        ),
        (
            "format = ¦\"1\"\n[train]\nepochs = 3",
            &["`format` is the text \"1\", expected a whole"],
        ),
        ("¦format = 1", &["`[train]` is missing: at least `epochs`"]),
        ("format = 1\ntrain = ¦3", &["`train` is a table: `[train]`"]),
        (
            "format = 1\n[train]\nepochs = 3\n[¦pruners.x]\nscore = \"l1\"",
            &["unknown key `pruners`; did you mean `pruner`?"],
        ),
        // [train].
        (
            "format = 1\n¦[train]\nlr = 0.1",
            &["`epochs` is missing: the number of epochs of the run"],
        ),
        (
            "format = 1\n[train]\nepochs = ¦0",
            &["`epochs` is the number 0, expected a whole number above 0"],
        ),
        (
            "format = 1\n[train]\nepochs = ¦-3",
            &["`epochs` is the number -3"],
        ),
        (
            "format = 1\n[train]\nepochs = ¦2.5",
            &["`epochs` is the number 2.5"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nlr = ¦inf",
            &["`lr` is the number inf"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nlr = ¦-0.1",
            &["`lr` is -0.1, expected a number of at least 0"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nvalidation = ¦1.5",
            &["`validation` is 1.5, expected a number between 0 and 0.9"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[data]\nmean = ¦[0.5, 0.5]",
            &["`mean` is [0.5, 0.5], expected three numbers: red, green, blue"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[data]\nstd = ¦[0.2, 0, 0.2]",
            &["`std` is [0.2, 0.0, 0.2], expected three numbers above 0"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[data]\n¦deviation = 0.5",
            &["unknown key `deviation`"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nnesterov = ¦1",
            &["expected true or false"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nmodel = ¦[]",
            &["`model` is a list, expected text in quotes"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n¦epoch = 3",
            &["unknown key `epoch`; did you mean `epochs`?"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\nseed = ¦1979-05-27",
            &["`seed` is a date"],
        ),
        // [lr.NAME].
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n[lr.¦a]\ngamma = 0.1",
            &["`type` is missing"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n[lr.a]\ntype = ¦\"multistep\"",
            &["`type` cannot be `multistep`; did you mean `multi_step`?"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n[lr.¦¦a]\ntype = \"multi_step\"",
            &["`milestones` is missing", "`gamma` is missing"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n\
             [lr.¦a]\ntype = \"multi_step\"\nmilestones = [3, 2]\ngamma = 0.1",
            &["`lr.a`:"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n\
             [lr.a]\ntype = \"step\"\nstep_size = 3\n¦gama = 0.1\ngamma = 0.1",
            &["unknown key `gama`; did you mean `gamma`?"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\nlr = \"a\"\n\
             [lr.a]\ntype = \"multi_step\"\nmilestones = ¦[1, 2.5]\ngamma = 0.1",
            &["`milestones` is a list, expected a list of whole numbers"],
        ),
        // [pruner.NAME].
        (
            "format = 1\nlr = ¦5\n[train]\nepochs = 3",
            &["`lr` is the number 5, expected tables `[lr.NAME]`"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[pruner]\nx = ¦5",
            &["`pruner.x` is the number 5, expected a table"],
        ),
        (
            "format = 1\n[train]\nepochs = 3\n[[policy]]\npruner = \"a\"\nend = 2\n[pruner.¦¦a]",
            &[
                "`score` is missing",
                "how much to prune is missing: one of `level`",
            ],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(marked);
        let error = Recipe::parse(&text).unwrap_err();
        check(&error, &places, fragments);
    });
}

/// A recipe with a sound `[train]` and policy around the keys of one pruner.
pub(crate) fn with_pruner(keys: &str) -> String {
    format!(
        "format = 1\n[train]\nepochs = 9\n[[policy]]\npruner = \"a\"\nend = 2\n[pruner.a]\n{keys}"
    )
}

#[test]
fn every_mistake_in_a_pruner_is_named_at_its_place() {
    let score = "score = \"magnitude\"\n";
    let params = "params = [\"**\"]\n";
    let rows: Vec<(String, &[&str])> = vec![
        (
            format!("{params}level = 0.5\nscore = ¦\"l3\""),
            &["`score` cannot be `l3`; valid are"],
        ),
        (
            format!("{params}level = 0.5\nscore = ¦\"magnitud\""),
            &["did you mean `magnitude`?"],
        ),
        (
            format!("{params}{score}level = 0.5\ngranularity = ¦\"fliters\""),
            &["unknown granularity `fliters`: expected element, kernel, filter"],
        ),
        (
            format!("{params}{score}level = 0.5\ngranularity = ¦3"),
            &["`granularity` is the number 3"],
        ),
        (
            format!("{params}{score}level = ¦1.5"),
            &["`level` is 1.5, expected between 0 and 1"],
        ),
        (
            format!("{params}{score}threshold = ¦-1"),
            &["`threshold` is -1, expected 0 or more"],
        ),
        (
            format!("{params}{score}level = 0.5\nsensitivity = ¦0.5"),
            &["`sensitivity`: expected only one of `level`, `threshold`,"],
        ),
        (
            format!("{params}{score}level = ¦\"half\""),
            &["the text \"half\" is not an amount: expected a number or {"],
        ),
        (
            format!("{params}{score}level = {{ curve = ¦\"cubik\", from = 0, to = 0.5 }}"),
            &["`curve` cannot be `cubik`; did you mean `cubic`?"],
        ),
        (
            format!("{params}{score}level = ¦{{ curve = \"cubic\", to = 0.5 }}"),
            &["`from` is missing: the first value of the curve"],
        ),
        (
            format!("{params}{score}level = ¦{{ from = 0, to = 0.5 }}"),
            &["`curve` is missing: cubic, linear"],
        ),
        (
            format!("{score}level = {{ \"conv.weight\" = ¦{{ from = 0.1, to = 0.5 }} }}"),
            &["`curve` is missing: cubic, linear"],
        ),
        (format!("{score}level = ¦{{}}"), &["the table is empty"]),
        (
            format!("{params}{score}level = {{ curve = \"cubic\", from = 0, to = 0.5, ¦too = 3 }}"),
            &["unknown key `too`; did you mean `to`?"],
        ),
        (
            format!("{params}{score}level = ¦{{ curve = \"steps\", from = 0.1 }}"),
            &["`steps` is missing: pairs of progress and value"],
        ),
        (
            format!("{params}{score}level = {{ curve = \"steps\", from = 0.1, steps = ¦[1, 2] }}"),
            &["`steps` is a list, expected a list of pairs of numbers"],
        ),
        (
            format!(
                "{params}{score}level = {{ curve = \"steps\", from = 0, steps = ¦[[0.5, 0.1], [0.4, 0.2]] }}"
            ),
            &[""],
        ),
        (
            format!("{params}{score}level = ¦{{ curve = \"cubic\", from = 0, to = 7 }}"),
            &["`level` is 7, expected between 0 and 1"],
        ),
        (
            format!("{score}params = ¦[]\nlevel = 0.5"),
            &["`params` is empty: expected names or patterns of parameters"],
        ),
        (
            format!("{score}params = ¦\"x\"\nlevel = 0.5"),
            &["expected a list of texts"],
        ),
        (
            format!("{score}params = ¦[\"x\"]\nlevel = {{ \"conv.weight\" = 0.5 }}"),
            &["`params` and a table of `level` by parameter exclude each other"],
        ),
        (
            format!("{params}{score}threshold = 0.5\nscope = ¦\"global\""),
            &["`scope = \"global\"` needs one `level` for all parameters"],
        ),
        (
            format!("{params}{score}level = 0.5\nscope = ¦\"globe\""),
            &["did you mean `global`?"],
        ),
        (
            format!("{params}{score}level = 0.5\n¦sparsity = 0.5"),
            &["unknown key `sparsity`; valid are"],
        ),
        (
            // Several at once, in the order of the file.
            "¦parms = [\"x\"]\nscore = ¦3\ngranularity = ¦\"fliter\"\nlevel = ¦2".to_owned(),
            &[
                "did you mean `params`?",
                "`score` is the number 3",
                "unknown granularity `fliter`",
                "`level` is 2",
            ],
        ),
    ];
    each(rows, |(keys, fragments)| {
        let (text, places) = unmarked(&with_pruner(keys));
        let error = Recipe::parse(&text).unwrap_err();
        let mut problems = error.problems().to_vec();
        // Where `params` is misspelt it is missing too; that is said of the whole table.
        problems.retain(|problem| !problem.message.starts_with("`params` is missing"));
        let found: Vec<_> = problems.iter().map(|p| (p.line, p.column)).collect();
        assert_eq!(found, places, "\n{error}");
        assert_eq!(problems.len(), fragments.len(), "\n{error}");
        for (problem, fragment) in problems.iter().zip(*fragments) {
            assert!(
                problem.message.contains(fragment),
                "no `{fragment}` in: {}",
                problem.message
            );
        }
    });
}

#[test]
fn every_mistake_in_a_policy_is_named_at_its_place() {
    let head = "format = 1\n[train]\nepochs = 9\n[lr.r]\ntype = \"cosine\"\n[[policy]]\nlr = \"r\"\n\
                [pruner.a]\nparams = [\"**\"]\nscore = \"l1\"\nlevel = 0.5\n\
                [[policy]]\npruner = \"a\"\nend = 1\n";
    let rows: Vec<Row> = vec![
        (
            "¦[[policy]]\nend = 3",
            &["a policy must name what it uses: `pruner = …`, `regularizer = …` or `lr = …`"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nlr = ¦\"r\"\nend = 3",
            &["a policy must have exactly one of `pruner`, `regularizer` and `lr`"],
        ),
        (
            "[[policy]]\npruner = ¦\"b\"\nend = 3",
            &["no `[pruner.b]`; valid are a"],
        ),
        (
            "¦[[policy]]\npruner = \"a\"",
            &["`end` is missing: the first moment after the window"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nstart = 3\nend = ¦3",
            &["must be at least 4"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 3\nevery = ¦0",
            &["`every` is the number 0"],
        ),
        ("[[policy]]\npruner = \"a\"\nend = ¦3\nevery = 4", &[""]),
        (
            "[[policy]]\npruner = \"a\"\nend = 3\nunit = ¦\"epoch\"",
            &["`unit` cannot be `epoch`; did you mean `epochs`?"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = ¦101\nunit = \"percent\"",
            &["`end` is 101 percent, at most 100"],
        ),
        (
            "¦[[policy]]\npruner = \"a\"\nstart = 9\nend = 12",
            &["policy of `a` never fires: it begins at epoch 9 of 9"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nepochs = ¦[9, 11]",
            &["never fires: it begins at epoch 9 of 9"],
        ),
        ("[[policy]]\npruner = \"a\"\nepochs = ¦[]", &[""]),
        ("[[policy]]\npruner = \"a\"\nsteps = ¦[3, 3]", &[""]),
        (
            "[[policy]]\npruner = \"a\"\nepochs = ¦[1]\nend = 3",
            &["a list of moments excludes `start`, `end` and `every`"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nepochs = [1]\nsteps = ¦[3]",
            &["a policy can have one list, `epochs` or `steps`, not both"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nepochs = [1]\nunit = ¦\"steps\"",
            &["`unit` is not possible with a list"],
        ),
        (
            "[[policy]]\nlr = \"r\"\nmask_gradients = ¦true",
            &["`mask_gradients` is for pruners"],
        ),
        (
            "[[policy]]\npruner = \"a\"\nend = 3\n¦ends = 4",
            &["unknown key `ends`; did you mean `end`?"],
        ),
        (
            "[pruner.¦idle]\nparams = [\"**\"]\nscore = \"l1\"\nlevel = 0.5",
            &["no policy uses `pruner.idle`"],
        ),
        (
            "[lr.¦idle]\ntype = \"cosine\"",
            &["no policy uses `lr.idle`"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&format!("{head}{marked}"));
        check(&Recipe::parse(&text).unwrap_err(), &places, fragments);
    });
}

#[test]
fn a_policy_with_a_bad_window_still_uses_what_it_names() {
    let (text, places) = unmarked(
        "format = 1\n[train]\nepochs = 9\n[pruner.a]\nparams = [\"**\"]\nscore = \"l1\"\nlevel = 0.5\n\
         [[policy]]\npruner = \"a\"\nstart = 5\nend = ¦2\n\
         [[policy]]\npruner = ¦\"aa\"\nend = ¦true\n",
    );
    let fragments = ["must be at least 6", "no `[pruner.aa]`", "`end` is true"];
    check(&Recipe::parse(&text).unwrap_err(), &places, &fragments);
}

#[test]
fn a_syntax_error_has_its_place() {
    let rows: [Row; 5] = [
        ("format = 1\n[train\n", &[]),
        ("format = 1\nformat = 1\n", &[]),
        ("format = ", &[]),
        ("ä = \"\nb = 3", &[]),
        ("= 3", &[]),
    ];
    each(rows, |(text, _)| {
        let error = Recipe::parse(text).unwrap_err();
        assert!(
            error
                .problems()
                .iter()
                .all(|p| p.line >= 1 && p.column >= 1 && !p.message.is_empty())
        );
        assert!(!error.problems().is_empty());
    });
    let error = Recipe::parse("format = 1\n[train]\nepochs = 3\nepochs = 4\n").unwrap_err();
    assert_eq!(
        (error.problems()[0].line, error.problems()[0].column),
        (4, 1),
        "{error}"
    );
}

#[test]
fn an_error_shows_file_line_and_column_a_line_each() {
    let error = Recipe::parse("format = 2\n[train]\nepochs = 0\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "recipe:1:10: format 2 is unknown; this version reads 1\n\
         recipe:3:10: `epochs` is the number 0, expected a whole number above 0"
    );
    let error = Recipe::from_file("/nowhere/agp.toml").unwrap_err();
    assert_eq!(error.file(), Some("/nowhere/agp.toml"));
    assert!(
        error
            .to_string()
            .starts_with("/nowhere/agp.toml:1:1: the recipe cannot be read")
    );
}

#[test]
fn a_run_of_unknown_length_makes_nothing_too_late() {
    let (text, places) = unmarked(
        "format = 1\n¦[train]\nlr = 0.1\n[pruner.a]\nparams = [\"**\"]\nscore = \"l1\"\nlevel = 0.5\n\
         [[policy]]\npruner = \"a\"\nstart = 10\nend = 20\n",
    );
    check(
        &Recipe::parse(&text).unwrap_err(),
        &places,
        &["`epochs` is missing"],
    );
}

#[test]
fn what_does_not_fit_the_model_is_named_at_its_place() {
    let head = "format = 1\n[train]\nepochs = 9\nlr = 0.1\n[[policy]]\npruner = \"a\"\nend = 2\n";
    let rows: Vec<Row> = vec![
        (
            "[pruner.a]\nparams = [¦\"conv1.weight\"]\nscore = \"l1\"\nlevel = 0.5",
            &["`conv1.weight` matches no parameter; nearest: conv.weight"],
        ),
        (
            "[pruner.a]\nparams = [\"conv.weight\", ¦\"hea.weight\", ¦\"{\"]\nscore = \"l1\"\nlevel = 0.5",
            &["nearest: head.weight", "is not a valid pattern"],
        ),
        (
            "[pruner.a]\nscore = \"l1\"\nlevel = { \"conv.weight\" = 0.5, ¦\"x.weight\" = 0.1 }",
            &["`x.weight` matches no parameter"],
        ),
        (
            "[pruner.a]\nscore = \"l1\"\nlevel = { \"conv.*\" = 0.5, ¦\"conv.weight\" = 0.1 }",
            &["`conv.weight` already has an amount"],
        ),
        (
            "[pruner.a]\nparams = [\"head.weight\"]\nscore = \"l1\"\nlevel = 0.5\ngranularity = ¦\"filter\"",
            &["`head.weight`: granularity `filter` needs"],
        ),
        (
            "[pruner.a]\nparams = [\"norm.gamma\"]\nscore = \"l1\"\nlevel = 0.5\ngranularity = ¦\"channel\"",
            &["`norm.gamma` belongs to a `BatchNorm`, whose output axis is unknown"],
        ),
        (
            "[pruner.a]\nparams = [\"conv.weight\"]\nscore = \"l1\"\nlevel = 0.5\n\
             granularity = ¦\"block(3x1x1x1)\"",
            &["does not tile the weight"],
        ),
        (
            "[pruner.a]\nparams = [¦\"conv.weight\", \"!conv.*\"]\nscore = \"l1\"\nlevel = 0.5",
            &["the patterns exclude all parameters"],
        ),
        (
            "[pruner.a]\nparams = [\"conv.weight\"]\nscore = \"l1\"\nlevel = 0.5\n\
             ¦[[policy]]\npruner = \"a\"\nstart = 900\nend = 901\nunit = \"steps\"",
            &["policy of `a` never fires: it begins at 900 of a run of 900"],
        ),
    ];
    each(rows, |(marked, fragments)| {
        let (text, places) = unmarked(&format!("{head}{marked}\n"));
        let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let model = ConvNet::new(&device());
        let bound = recipe.bind_traced(&model, &graph(&model), 100);
        check(&bound.unwrap_err(), &places, fragments);
    });
}

#[test]
fn a_recipe_fits_one_model_and_not_another() {
    let recipe = Recipe::parse(
        "format = 1\n[train]\nepochs = 2\nlr = 0.1\n[pruner.a]\nparams = [\"conv.weight\"]\n\
         score = \"l1\"\ngranularity = \"filter\"\nlevel = 0.5\n[[policy]]\npruner = \"a\"\nend = 2\n",
    )
    .unwrap();
    assert!(recipe.bind(&ConvNet::new(&device()), 10).is_ok());
    let error = recipe.bind(&Mlp::new(&device()), 10).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("matches no parameter; nearest: "),
        "{error}"
    );
}
