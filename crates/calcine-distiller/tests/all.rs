//! Distiller's schedules become recipes.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod classes;
mod generated;
mod golden;
mod mistakes;
mod policies;
mod warnings;
mod yaml;

use calcine_distiller::{Converted, Options, convert};
use calcine_recipe::Recipe;

/// The conversion, which must succeed, of a run of 300 epochs.
#[track_caller]
fn converted(yaml: &str) -> Converted {
    let options = Options {
        epochs: Some(300),
        model: None,
    };
    let converted = convert(None, yaml, &options).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    if let Err(error) = Recipe::parse(&converted.recipe) {
        panic!("{error}\n{}", converted.recipe);
    }
    converted
}

/// A schedule of one instance and a policy of it, every second epoch of the first thirty.
fn schedule(kind: &str, section: &str, instance: &str) -> String {
    let mut text = format!("{section}:\n  it:\n");
    for line in instance.lines() {
        // As deep as in the tables of tests.
        let line = line.strip_prefix("             ").unwrap_or(line);
        text += &format!("    {line}\n");
    }
    text + &format!(
        "policies:\n  - {kind}: {{instance_name: it}}\n    starting_epoch: 0\n    ending_epoch: 30\n    \
         frequency: 2\n"
    )
}

fn pruner(instance: &str) -> String {
    schedule("pruner", "pruners", instance)
}

/// The recipe's tables between `[train]` and the first policy, without comments.
fn tables(converted: &Converted) -> String {
    let tables = converted.recipe.split("weight_decay = 1e-4\n").nth(1);
    let tables = tables.and_then(|rest| rest.split("[[policy]]").next());
    without_comments(tables.unwrap_or_default())
}

/// The recipe's policies, without comments.
fn policies(converted: &Converted) -> String {
    match converted.recipe.find("[[policy]]") {
        Some(at) => without_comments(&converted.recipe[at..]),
        None => String::new(),
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text: Vec<&str> = lines.collect();
    text.join("\n").trim().replace("\n\n\n", "\n\n")
}

/// The text of a recipe, indented for reading in a test.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_start).collect();
    lines.join("\n")
}

#[track_caller]
fn assert_tables(yaml: &str, expected: &str) {
    assert_eq!(tables(&converted(yaml)), lines(expected), "of\n{yaml}");
}
