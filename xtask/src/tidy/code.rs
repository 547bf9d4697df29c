//! What Rust code may say where.
//!
//! Rules look at [`bare`] code, so comments and texts may speak of what code must not do.

use super::bare::{blanked, is_word};
use super::files::{File, has_extension};
use super::problem::Problem;
use super::workspace::Workspace;

/// What a step is made of, beside layers 1 and 2.
const STEP: [&str; 3] = [
    "crates/calcine-train/src/driver.rs",
    "crates/calcine-train/src/objective",
    "crates/calcine-train/src/policy",
];

/// Files of layers 1 and 2 and of the step that may read from a device, each with its reason.
///
/// A step reads nothing back (principle 5 of the design); a report reads once, batched.
const DEVICE_READS: &[(&str, &str)] = &[
    (
        "crates/calcine-criteria/src/select/smallest/chunks.rs",
        "chosen only where the scores are in host memory anyway",
    ),
    (
        "crates/calcine-train/src/objective/sums.rs",
        "loss and metrics of a report or an evaluation, all in one read",
    ),
    (
        "crates/calcine-weights/src/assign.rs",
        "weights are compared and checked as they are loaded",
    ),
    (
        "crates/calcine-weights/src/masks.rs",
        "masks of a checkpoint are compared with its weights as they are loaded",
    ),
    (
        "crates/calcine-weights/src/derived.rs",
        "weights are computed from their parts as they are loaded",
    ),
    (
        "crates/calcine-mask/src/file.rs",
        "saving masks, all in one read",
    ),
    (
        "crates/calcine-sparsity/src/share.rs",
        "one number of a report, read when the caller asks for it",
    ),
    (
        "crates/calcine-summary/src/sparsity.rs",
        "the table of a model, all in one read",
    ),
    (
        "crates/calcine-summary/src/weights.rs",
        "the zeros of a model's weights, all in one read",
    ),
    (
        "crates/calcine-quant/src/fake.rs",
        "a scale in host memory, which no device is asked for",
    ),
    (
        "crates/calcine-quant/src/host.rs",
        "numbers in host memory, which no device is asked for",
    ),
    (
        "crates/calcine-quant/src/moving.rs",
        "a range that is asked for as a quantizer",
    ),
    (
        "crates/calcine-quantize/src/batches.rs",
        "whether the numbers of batches are finite, once a batch",
    ),
    (
        "crates/calcine-trace/src/tensor.rs",
        "a tensor's elements, when the caller asks for them",
    ),
    (
        "crates/calcine-quantize/src/qat/integers.rs",
        "learned steps when a network becomes integers",
    ),
    (
        "crates/calcine-quantize/src/equalize.rs",
        "the largest activations that smoothing goes by",
    ),
    (
        "crates/calcine-quantize/src/norms.rs",
        "the statistics that norms are given",
    ),
    (
        "crates/calcine-quantize/src/calibrate.rs",
        "what the inputs of a calibration were",
    ),
    (
        "crates/calcine-quantize/src/file.rs",
        "what a quantized network keeps in float, for its file",
    ),
    (
        "crates/calcine-quantize/src/float.rs",
        "numbers that are rounded to half precision",
    ),
    (
        "crates/calcine-quantize/src/layer/folded.rs",
        "the parameters of layers that are quantized",
    ),
    (
        "crates/calcine-thin/src/choose.rs",
        "scores of channels before a thinning, all in one read",
    ),
    (
        "crates/calcine-thin/src/host.rs",
        "all parameters before a thinning, in one read",
    ),
    (
        "crates/calcine-trace/src/compare.rs",
        "what model and network give for the sample of a trace",
    ),
    (
        "crates/calcine-thin/src/measure.rs",
        "outputs before and after a thinning, if inputs are given to compare them on, in one read",
    ),
    (
        "crates/calcine-trace/src/momentum.rs",
        "one number of each batch norm of a traced model, in one read, which tells its momentum",
    ),
    (
        "crates/calcine-trace/src/order.rs",
        "elements that are put in order: Burn's own sort reads too, and leaves the order of equal ones open",
    ),
    (
        "crates/calcine-trace/src/file.rs",
        "a network's parameters for its file, in one read, and its constants",
    ),
    (
        "crates/calcine-observe/src/pass.rs",
        "statistics of activations, all in one read after the last batch",
    ),
    (
        "crates/calcine-observe/src/sampling.rs",
        "samples of layers, all in one read after the last batch",
    ),
    (
        "crates/calcine-observe/src/network_activations.rs",
        "the masks of weights that are refitted after a selection; the pruner says so",
    ),
    (
        "crates/calcine-train/src/policy/prune/outcome.rs",
        "how many units masks drop, in one read when a run is over; `PolicyOutcome` says so",
    ),
    (
        "crates/calcine-train/src/policy/prune/select.rs",
        "one number where gradients rank: how many batches were finite",
    ),
    (
        "crates/calcine-train/src/policy/record.rs",
        "the record of a checkpoint, all in one read",
    ),
    (
        "crates/calcine-criteria/src/score/lamp.rs",
        "ranks need a sort, which reads; the score says so",
    ),
    (
        "crates/calcine-criteria/src/select/global.rs",
        "a budget over units of different cost is spent in order; the selection says so",
    ),
];

/// Parameters are edited in `calcine-params`, where the only safe way to do it is written down.
pub(super) fn module_mappers(workspace: &Workspace) -> Vec<Problem> {
    let elsewhere = libraries(workspace).filter(|(name, _)| *name != "calcine-params");
    let maps = |line: &str| line.contains("ModuleMapper for");
    let message = "`ModuleMapper` is implemented in calcine-params only; \
                   an edit elsewhere can stop training silently";
    elsewhere
        .flat_map(|(_, file)| problems(file, maps, message))
        .collect()
}

/// No step may wait for the device.
pub(super) fn device_reads(workspace: &Workspace) -> Vec<Problem> {
    let allowed = |file: &File| DEVICE_READS.iter().any(|(path, _)| *path == file.path);
    let beneath = |name: &str| [1, 2].contains(&workspace.architecture.layer(name).unwrap_or(0));
    let step = |file: &File| STEP.iter().any(|path| file.path.starts_with(path));
    let watched = libraries(workspace).filter(|(name, file)| beneath(name) || step(file));
    let message = "reads from the device in layer 1 or 2 or in a step; move it to a report, \
                   or list the file with its reason in xtask/src/tidy/code.rs";
    let mut found: Vec<Problem> = watched
        .filter(|(_, file)| !allowed(file))
        .flat_map(|(_, file)| problems(file, reads_device, message))
        .collect();
    for (path, _) in DEVICE_READS {
        let reader = workspace.files.iter().find(|file| file.path == *path);
        if !reader.is_some_and(|file| library_code(file).lines().any(reads_device)) {
            found.push(Problem::in_file(
                path,
                "listed in xtask/src/tidy/code.rs, reads nothing",
            ));
        }
    }
    found
}

fn reads_device(line: &str) -> bool {
    let is_read = |word: &str| {
        let word = word.strip_prefix("try_").unwrap_or(word);
        let word = word.strip_suffix("_async").unwrap_or(word);
        ["into_data", "to_data", "into_scalar", "Transaction"].contains(&word)
    };
    line.contains(".sync(") || line.split(|c| !is_word(c)).any(is_read)
}

/// A file is whole or absent, with the permissions of any other: `calcine-files` knows how.
pub(super) fn file_writes(workspace: &Workspace) -> Vec<Problem> {
    let is_watched = |file: &&File| {
        let library = library_crate(file).is_some_and(|name| name != "calcine-files");
        library || file.path.starts_with("xtask/src/")
    };
    let message = "writes a file in place; `calcine_files::write` does it atomically";
    let files = workspace.files.iter().filter(is_watched);
    files
        .flat_map(|file| problems(file, writes_file, message))
        .collect()
}

fn writes_file(line: &str) -> bool {
    ["fs::write(", "NamedTempFile::new"]
        .iter()
        .any(|call| line.contains(call))
}

/// A library runs where its caller's tensors are.
pub(super) fn device_choices(workspace: &Workspace) -> Vec<Problem> {
    let watched = libraries(workspace).filter(|(name, _)| *name != "calcine-testkit");
    let message = "a library takes its device from the caller";
    watched
        .flat_map(|(_, file)| problems(file, chooses_device, message))
        .collect()
}

fn chooses_device(line: &str) -> bool {
    let from_array = |at: usize| {
        let before = &line[..at];
        let plain = before.ends_with("Tensor");
        let generic = before.ends_with('>')
            && before.rfind("Tensor").is_some_and(|start| {
                let arguments = before[start + "Tensor".len()..].trim_start_matches("::");
                arguments.starts_with('<') && encloses(arguments)
            });
        plain || generic
    };
    line.contains("Device::default()")
        || line.match_indices("::from([").any(|(at, _)| from_array(at))
}

/// Whether the `<` at the start closes at the very end.
fn encloses(arguments: &str) -> bool {
    let mut depth = 0;
    for (at, c) in arguments.char_indices() {
        depth += i32::from(c == '<') - i32::from(c == '>');
        if depth == 0 {
            return at + 1 == arguments.len();
        }
    }
    false
}

/// A test that does not run says why.
pub(super) fn ignored_tests(workspace: &Workspace) -> Vec<Problem> {
    let silent = |line: &str| line.contains(concat!("#[", "ignore]"));
    let everywhere = workspace.files.iter();
    everywhere
        .flat_map(|file| lines(file, &file.code, silent, "say why it is ignored"))
        .collect()
}

/// What is not written yet is not there yet.
pub(super) fn unfinished(workspace: &Workspace) -> Vec<Problem> {
    let open = |line: &str| {
        let mut words = line.split(|c: char| !is_word(c) && c != '!');
        words.any(|word| ["todo!", "unimplemented!"].contains(&word))
    };
    let everywhere = workspace.files.iter();
    everywhere
        .flat_map(|file| lines(file, &file.code, open, "finish it or leave it out"))
        .collect()
}

/// The library sources of the crates, each with the name of its crate.
fn libraries(workspace: &Workspace) -> impl Iterator<Item = (&str, &File)> {
    let named = |file| library_crate(file).map(|name| (name, file));
    workspace.files.iter().filter_map(named)
}

/// The crate whose library the file belongs to, if it does.
fn library_crate(file: &File) -> Option<&str> {
    let (name, path) = file.path.strip_prefix("crates/")?.split_once('/')?;
    let path = path.strip_prefix("src/")?;
    let binary = path == "main.rs" || path.starts_with("bin/");
    let test = path == "tests.rs" || path.ends_with("/tests.rs") || path.contains("tests/");
    (has_extension(path, "rs") && !binary && !test).then_some(name)
}

/// Problems of a library file outside of its tests.
fn problems(file: &File, is_wrong: impl Fn(&str) -> bool, message: &str) -> Vec<Problem> {
    lines(file, &library_code(file), is_wrong, message)
}

fn lines(file: &File, code: &str, is_wrong: impl Fn(&str) -> bool, message: &str) -> Vec<Problem> {
    let numbered = (1..).zip(code.lines());
    numbered
        .filter(|(_, line)| is_wrong(line))
        .map(|(number, _)| Problem::at(&file.path, number, message))
        .collect()
}

/// The code of a file with its `#[cfg(test)]` items blanked.
fn library_code(file: &File) -> String {
    let mut code = file.code.clone();
    while let Some(start) = code
        .find("#[cfg(test)]")
        .or_else(|| code.find("#[cfg(all(test"))
    {
        let end = start + item_length(&code[start..]);
        let blank: String = code[start..end].chars().map(blanked).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// Bytes up to the end of the first block or statement.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (c == '}' || c == ';') {
            return at + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::bare::bare;

    #[test]
    fn comments_and_literals_are_no_code() {
        let cases = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"a\\\"b\") c", "f(      ) c"),
            ("f(r#\"a\"b\"#) c", "f(        ) c"),
            ("f('\\'', '\"') c", "f(    ,    ) c"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("for\"x\"", "for   "),
            ("/// é\nlet x;", "     \nlet x;"),
        ];
        for (source, code) in cases {
            assert_eq!(bare(source), code, "{source}");
        }
    }

    fn library(text: &str) -> File {
        File::new("crates/calcine-fold/src/lib.rs", text.to_owned())
    }

    #[test]
    fn a_problem_outside_of_tests_has_its_line() {
        let file =
            library("fn f() {\n    x.into_data();\n}\n#[cfg(test)]\nmod t { x.to_data() }\n");
        let found = problems(&file, reads_device, "reads");
        assert_eq!(
            found,
            [Problem::at("crates/calcine-fold/src/lib.rs", 2, "reads")]
        );
    }

    #[test]
    fn what_follows_the_tests_is_watched() {
        let file =
            library("#[cfg(test)]\nuse a::{b};\n#[cfg(test)]\nmod t { { } }\nx.to_data();\n");
        assert_eq!(problems(&file, reads_device, "reads").len(), 1);
    }

    #[test]
    fn device_reads_are_recognized() {
        for line in [
            "x.into_data()",
            "x.try_into_scalar()",
            "Transaction::default()",
            "d.sync()",
        ] {
            assert!(reads_device(line), "{line}");
        }
        for line in [
            "file.sync_all()",
            "into_database()",
            "TransactionLog",
            "from_data(x)",
        ] {
            assert!(!reads_device(line), "{line}");
        }
    }

    #[test]
    fn writing_in_place_is_recognized() {
        for (line, writes) in [
            ("std::fs::write(&file, bytes)?;", true),
            (
                "let beside = tempfile::NamedTempFile::new_in(directory)?;",
                true,
            ),
            ("calcine_files::write(file, bytes)?;", false),
            ("beside.write_all(&bytes)?;", false),
        ] {
            assert_eq!(writes_file(line), writes, "{line}");
        }
    }

    #[test]
    fn device_choices_are_recognized() {
        for line in [
            "let d = Device::default();",
            "Tensor::from([1.0])",
            "Tensor::<2>::from([[1.0]])",
            "Tensor::<1, Bool<X>>::from([true])",
        ] {
            assert!(chooses_device(line), "{line}");
        }
        for line in [
            "Shape::from([1, 2])",
            "Vec::<Tensor<1>>::from([a])",
            "Tensor::from_data([1.0], d)",
        ] {
            assert!(!chooses_device(line), "{line}");
        }
    }

    #[test]
    fn binaries_tests_and_examples_belong_to_no_library() {
        let named = |path: &str| library_crate(&File::new(path, String::new())).map(str::to_owned);
        assert_eq!(
            named("crates/calcine-fold/src/granularity/row.rs").as_deref(),
            Some("calcine-fold")
        );
        for path in [
            "crates/calcine/src/main.rs",
            "crates/calcine/src/bin/calcine.rs",
            "crates/calcine-mask/src/mask/tests.rs",
            "crates/calcine-mask/tests/all.rs",
            "crates/calcine-mask/examples/save.rs",
            "xtask/src/tidy.rs",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
