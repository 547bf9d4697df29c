//! Converts one of Distiller's schedules to a recipe, and checks the recipe.
//!
//! `cargo run -p calcine-distiller --example convert_schedule [FILE]`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use calcine_distiller::{Options, convert};
use calcine_recipe::Recipe;

/// A schedule that prunes filters gradually, then prunes two layers to a level, and reduces the learning rate.
const SCHEDULE: &str = "
version: 1
pruners:
  filters:
    class: L1RankedStructureParameterPruner_AGP
    initial_sparsity: 0.05
    final_sparsity: 0.5
    group_type: Filters
    group_dependency: Leader
    weights: [module.layer1.0.conv2.weight, module.layer1.1.conv2.weight]
  fine:
    class: SensitivityPruner
    sensitivities:
      fc.weight: 0.5
lr_schedulers:
  falling:
    class: StepLR
    step_size: 45
    gamma: 0.1
policies:
  - pruner: {instance_name: filters}
    starting_epoch: 0
    ending_epoch: 30
    frequency: 2
  - pruner: {instance_name: fine}
    starting_epoch: 30
    ending_epoch: 40
    frequency: 2
  - lr_scheduler: {instance_name: falling}
    starting_epoch: 0
    ending_epoch: 180
    frequency: 1
";

fn main() {
    let file = std::env::args().nth(1);
    let schedule = match &file {
        Some(file) => std::fs::read_to_string(file).expect("the schedule can be read"),
        None => SCHEDULE.to_owned(),
    };
    // A schedule contains neither the length of the run nor the model.
    let options = Options {
        epochs: Some(180),
        model: Some("resnet20".to_owned()),
    };
    match convert(file.as_deref(), &schedule, &options) {
        Ok(converted) => {
            for warning in &converted.warnings {
                println!("line {}: {}", warning.line, warning.text);
            }
            println!("\n{}", converted.recipe);
            let recipe = Recipe::parse(&converted.recipe).expect("what is written can be read");
            println!("sound: {} epochs", recipe.train().epochs);
        }
        Err(error) => println!("{error}"),
    }
}
