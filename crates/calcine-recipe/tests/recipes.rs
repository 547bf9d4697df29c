//! The recipes for models that are not in the zoo bind to such models.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Lstm, LstmConfig};
use calcine_params::Inventory;
use calcine_recipe::Recipe;
use calcine_testkit::{device, each};

/// `AlexNet`'s layers where PyTorch has them, narrow.
#[derive(Module, Debug)]
struct AlexNet {
    features: Vec<Option<Conv2d>>,
    classifier: Vec<Option<Linear>>,
}

impl AlexNet {
    fn new() -> Self {
        let device = device().autodiff();
        let conv = |at: usize| {
            let channels = if at == 0 { [3, 4] } else { [4, 4] };
            let has_weights = [0, 3, 6, 8, 10].contains(&at);
            has_weights.then(|| Conv2dConfig::new(channels, [3, 3]).init(&device))
        };
        let linear = |at: usize| {
            let has_weights = [1, 4, 6].contains(&at);
            has_weights.then(|| LinearConfig::new(8, 8).init(&device))
        };
        Self {
            features: (0..13).map(conv).collect(),
            classifier: (0..7).map(linear).collect(),
        }
    }
}

/// A word language model of two layers, narrow.
#[derive(Module, Debug)]
struct WordLm {
    encoder: Embedding,
    rnn: Vec<Lstm>,
    decoder: Linear,
}

impl WordLm {
    fn new() -> Self {
        let device = device().autodiff();
        let lstm = |_| LstmConfig::new(4, 4, true).init(&device);
        Self {
            encoder: EmbeddingConfig::new(10, 4).init(&device),
            rnn: (0..2).map(lstm).collect(),
            decoder: LinearConfig::new(4, 10).init(&device),
        }
    }
}

fn recipes(of: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../recipes")
        .join(of);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{of}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{of}");
    files
}

fn bind<M: Module>(model: &M, file: &Path) {
    let recipe = Recipe::from_file(file).unwrap_or_else(|error| panic!("{error}"));
    recipe
        .bind(model, 100)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(recipe.warnings(100), [""; 0]);
}

#[test]
fn recipes_for_alexnet_bind() {
    each(recipes("alexnet"), |file| bind(&AlexNet::new(), file));
}

#[test]
fn recipes_for_a_word_language_model_bind() {
    each(recipes("wordlm"), |file| bind(&WordLm::new(), file));
}

#[test]
fn one_pattern_covers_the_gates_of_all_layers() {
    let model = WordLm::new();
    let inventory = Inventory::from_module(&model);
    let of = |pattern: &str| inventory.select(&[pattern]).unwrap().len();
    assert_eq!(of("rnn.0.*.input_transform.weight"), 4);
    assert_eq!(of("rnn.*.*.{input,hidden}_transform.weight"), 16);
}
