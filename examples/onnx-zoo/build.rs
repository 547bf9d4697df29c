//! Generates Rust code for the ONNX files of the folder that `CALCINE_ONNX_ZOO` names; for none where it is not set.
//!
//! The folder has `meta.json`: for each network the shape of a sample, the shapes of the outputs, whether the input is
//! integers, the multiply-accumulates, and which exports (`NAME.b.onnx`, norms kept; `NAME.d.onnx`) there are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, panic};

use burn_onnx::{LoadStrategy, ModelGen};
use serde_json::Value;

fn main() {
    println!("cargo:rerun-if-env-changed=CALCINE_ONNX_ZOO");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let code = env::var_os("CALCINE_ONNX_ZOO").map_or_else(
        || "pub(crate) fn networks(_: &mut crate::Table) {}\n".to_owned(),
        |folder| generated(Path::new(&folder)),
    );
    fs::write(out.join("zoo.rs"), code).expect("OUT_DIR can be written");
}

/// The modules of all networks, and a function that hands each to the table.
fn generated(folder: &Path) -> String {
    let meta = folder.join("meta.json");
    println!("cargo:rerun-if-changed={}", meta.display());
    let text = fs::read_to_string(&meta).unwrap_or_else(|e| panic!("{}: {e}", meta.display()));
    let networks: serde_json::Map<String, Value> =
        serde_json::from_str(&text).expect("meta.json is an object");
    let (mut modules, mut calls) = (String::new(), String::new());
    for (name, about) in &networks {
        let found = ["b", "d"]
            .into_iter()
            .find(|form| imported(folder, name, form));
        let Some(form) = found else {
            writeln!(calls, "    table.refused({name:?});").expect("a String takes all");
            continue;
        };
        let count = |v: &Value| v.as_array().map_or(0, Vec::len);
        let rank = 1 + count(&about["shape"]);
        let kind = if about["kind"] == "int" { ", Int" } else { "" };
        let outputs: Vec<String> = about["outs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|o| format!("Tensor<{}>", 1 + count(o)))
            .collect();
        let output = if outputs.len() == 1 {
            outputs[0].clone()
        } else {
            format!("({})", outputs.join(", "))
        };
        writeln!(
            modules,
            "#[allow(warnings, clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason)]\n\
             mod {name} {{ include!(concat!(env!(\"OUT_DIR\"), \"/{name}/{name}.{form}.rs\")); }}"
        )
        .expect("a String takes all");
        writeln!(
            calls,
            "    table.row({name:?}, {form:?}, |sample: Tensor<{rank}{kind}>| {{\n        \
             calcine::trace::trace_made({name}::Model::from_embedded, sample, |m, x| -> {output} {{ m.forward(x) }})\n    }});"
        )
        .expect("a String takes all");
    }
    format!("{modules}\npub(crate) fn networks(table: &mut crate::Table) {{\n{calls}}}\n")
}

/// Whether burn-onnx could generate code for one export of a network. It panics on what it does not know.
fn imported(folder: &Path, name: &str, form: &str) -> bool {
    let file = folder.join(format!("{name}.{form}.onnx"));
    println!("cargo:rerun-if-changed={}", file.display());
    if !file.exists() {
        return false;
    }
    let file = file.display().to_string();
    let directory = format!("{name}/");
    panic::catch_unwind(|| {
        ModelGen::new()
            .input(&file)
            .out_dir(&directory)
            .load_strategy(LoadStrategy::Embedded)
            .run_from_script();
    })
    .is_ok()
}
