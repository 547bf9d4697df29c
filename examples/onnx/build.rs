//! Generates the model's Rust code from `model.onnx`, which `model.py` wrote.

use burn_onnx::{LoadStrategy, ModelGen};

fn main() {
    ModelGen::new()
        .input("model.onnx")
        .out_dir("model/")
        .load_strategy(LoadStrategy::Embedded)
        .run_from_script();
}
