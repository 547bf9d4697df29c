//! `calcine recipe`.

use std::fs;

use crate::support::{calcine, network_file, place, refusal, root, stderr, stdout};

#[test]
fn a_new_recipe_is_made_for_its_model_and_trains_it() {
    let (directory, place) = place();
    let file = network_file(directory.path());
    for goal in ["prune", "filters", "thin", "qat", "distill"] {
        let recipe = format!("{place}/{goal}.toml");
        stdout(&format!("recipe new {file} --goal {goal} --out {recipe}"));
        stdout(&format!("recipe check {recipe} --model {file}"));
        let said = refusal(&format!("recipe new {file} --goal {goal} --out {recipe}"));
        assert!(said.contains("already exists"), "{said}");
    }
    let trained = stdout(&format!(
        "train {file} --recipe {place}/thin.toml --data synthetic --epochs 5 --train-limit 64 --batch-size 32 \
         --test-limit 50 --out {place}/run"
    ));
    assert!(trained.contains("thinned"), "{trained}");
    let quantized = stdout("recipe new --goal ptq");
    fs::write(directory.path().join("ptq.toml"), &quantized).unwrap();
    stdout(&format!(
        "quantize {file} --recipe {place}/ptq.toml --data synthetic --calibration-images 20 --test-limit 50 \
         --out {place}/q"
    ));
    assert!(refusal("recipe new resnett20").contains("did you mean `resnet20`?"));
    assert!(stdout("recipe new simplenet").contains("model = \"simplenet\""));
}

#[test]
fn the_shipped_recipes_are_sound_and_fit_their_models() {
    let files = |directory: &str| {
        let entries = fs::read_dir(root().join(directory)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .map(|path| path.display().to_string())
            .collect();
        paths.sort();
        paths
    };
    let all = [files("recipes"), files("recipes/short")].concat();
    assert!(all.len() >= 20);
    let checked = calcine(&format!("recipe check {}", all.join(" ")));
    assert!(checked.status.success(), "{}", stderr(&checked));
}
