//! Whatever the text, reading it ends with a recipe or an error.

use calcine_recipe::Recipe;
use calcine_testkit::{ConvNet, device};
use proptest::prelude::*;

const SOUND: &str = r#"
format = 1
[train]
epochs = 9
lr = 0.1
[pruner.a]
params = ["conv.weight", "!head.*"]
score = "magnitude"
granularity = "block(2x1x1x1)"
level = { curve = "cubic", from = 0.05, to = 0.8 }
[pruner.b]
score = "l1"
threshold = { "head.weight" = { curve = "steps", from = 0.1, steps = [[0.5, 0.3]] } }
[lr.c]
type = "one_cycle"
[[policy]]
pruner = "a"
start = 1
end = 8
every = 2
mask_gradients = true
[[policy]]
pruner = "b"
steps = [3, 5]
[[policy]]
lr = "c"
start = 5
end = 95
unit = "percent"
"#;

/// What tends to hurt a reader of numbers, names and quotes.
const PIECES: [&str; 28] = [
    "0",
    "-1",
    "9223372036854775807",
    "18446744073709551616",
    "1e400",
    "nan",
    "-inf",
    "0x7fff",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "\r\n",
    "\t",
    ".",
    "¦ä🦀",
    "#",
    "\u{feff}",
    "true",
    "1979-05-27",
    "policy",
    "[[policy]]\n",
    "\\u0000",
];

fn read(text: &str) -> Result<(), String> {
    let recipe = Recipe::parse(text).map_err(|error| {
        let lines = text.split('\n').count();
        for problem in error.problems() {
            assert!((1..=lines).contains(&problem.line), "{problem:?}");
            assert!(problem.column >= 1);
        }
        assert!(!error.problems().is_empty(), "an error without a problem");
        assert!(
            error
                .problems()
                .is_sorted_by_key(|problem| (problem.line, problem.column))
        );
        error.to_string()
    })?;
    for steps_per_epoch in [1, 7, u64::MAX] {
        let _ = recipe.warnings(steps_per_epoch);
        let _ = recipe.bind(&ConvNet::new(&device()), steps_per_epoch);
    }
    Ok(())
}

#[test]
fn the_recipe_that_is_mutated_is_sound() {
    read(SOUND).unwrap_or_else(|error| panic!("{error}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_no_panic(text in "\\PC{0,80}(\n\\PC{0,40}){0,4}") {
        let _ = read(&text);
    }

    #[test]
    fn text_of_toml_pieces_is_no_panic(pieces in prop::collection::vec(0..PIECES.len(), 0..30)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let _ = read(&text);
    }

    #[test]
    fn a_recipe_with_pieces_put_in_and_cut_out_is_no_panic(
        edits in prop::collection::vec((0usize..SOUND.len(), 0usize..12, 0..PIECES.len()), 1..5),
    ) {
        let mut text = SOUND.to_owned();
        for (at, cut, piece) in edits {
            let from = text.floor_char_boundary(at.min(text.len()));
            let to = text.floor_char_boundary((from + cut).min(text.len()));
            text.replace_range(from..to.max(from), PIECES[piece]);
        }
        let _ = read(&text);
    }

    #[test]
    fn a_recipe_with_other_numbers_is_no_panic(
        numbers in prop::collection::vec((0usize..40, prop::sample::select(PIECES[..8].to_vec())), 1..4),
    ) {
        let mut text = SOUND.to_owned();
        for (nth, piece) in numbers {
            let starts: Vec<usize> = text
                .match_indices(|c: char| c.is_ascii_digit())
                .map(|(at, _)| at)
                .collect();
            let at = starts[nth % starts.len()];
            text.replace_range(at..=at, piece);
        }
        let _ = read(&text);
    }

    #[test]
    fn a_recipe_cut_anywhere_is_no_panic(at in 0usize..SOUND.len()) {
        let _ = read(&SOUND[..SOUND.floor_char_boundary(at)]);
    }
}
