//! Recipes and manifests in code blocks.

use std::collections::BTreeSet;

use calcine::recipe::Recipe;
use cargo_metadata::Metadata;
use toml::{Table, Value};

use super::page::{Block, Page};
use crate::recipe::check_recipe;

/// Checks that a block is a valid manifest, or a recipe that fits ResNet-20.
pub(super) fn sound(page: &Page, block: &Block<'_>, members: &Metadata) -> Result<(), String> {
    let table: Table = block.body.parse().map_err(|error| format!("{error}"))?;
    let has = |key: &str| table.contains_key(key);
    if has("package") || has("dependencies") || has("profile") {
        return manifest(&table, members);
    }
    let whole = has("format") && (has("train") || has("quantize"));
    // The page of the grammar shows parts of recipes. The recipes in guides are complete.
    if !whole && page.path != "docs/recipes.md" {
        return Err("it is no whole recipe".to_owned());
    }
    let text = match whole {
        true => block.body.clone(),
        false => completed(table).to_string(),
    };
    let recipe = Recipe::parse_as("a recipe", &text).map_err(|error| error.to_string())?;
    // The recipe in a crate's README is for a model of that README.
    match page.path.starts_with("crates/") {
        true => Ok(()),
        false => check_recipe(&recipe, None).map(drop),
    }
}

/// Completes a part of a recipe with everything else that a recipe needs, and with a policy for each table that has
/// none.
fn completed(mut table: Table) -> Table {
    let train: Table = toml::toml! { epochs = 100 };
    let rate = Value::Float(0.01);
    table.entry("format").or_insert(Value::Integer(1));
    let train = table.entry("train").or_insert(Value::Table(train));
    if let Some(train) = train.as_table_mut() {
        train.entry("lr").or_insert(rate);
    }
    let mut policies = match table.remove("policy") {
        Some(Value::Array(policies)) => policies,
        _ => Vec::new(),
    };
    let named = |policies: &[Value], kind: &str| -> BTreeSet<String> {
        let names = policies
            .iter()
            .filter_map(|policy| policy.get(kind)?.as_str());
        names.map(str::to_owned).collect()
    };
    for kind in ["pruner", "regularizer", "lr"] {
        let mut acting = table.get(kind).and_then(Value::as_table).cloned();
        for name in named(&policies, kind) {
            let pruner = toml::toml! {
                params = ["**.weight"]
                score = "magnitude"
                level = 0.5
            };
            let acting = acting.get_or_insert_default();
            acting.entry(name).or_insert(Value::Table(pruner));
        }
        let Some(acting) = acting else {
            continue;
        };
        let used = named(&policies, kind);
        for name in acting.keys().filter(|name| !used.contains(*name)) {
            let mut policy: Table = toml::toml! { start = 0 };
            policy.insert("end".to_owned(), Value::Integer(10));
            policy.insert(kind.to_owned(), Value::String(name.clone()));
            policies.push(Value::Table(policy));
        }
        table.insert(kind.to_owned(), Value::Table(acting));
    }
    if !policies.is_empty() {
        table.insert("policy".to_owned(), Value::Array(policies));
    }
    table
}

/// Checks that Calcine's crates and features exist, and that the version of Burn is that of the workspace.
fn manifest(table: &Table, members: &Metadata) -> Result<(), String> {
    let none = Table::new();
    let dependencies = table.get("dependencies").and_then(Value::as_table);
    for (name, wanted) in dependencies.unwrap_or(&none) {
        let version = wanted.as_str().or_else(|| wanted.get("version")?.as_str());
        if name == "burn" {
            let ours = members
                .packages
                .iter()
                .flat_map(|package| &package.dependencies);
            let mut ours = ours.filter(|dependency| dependency.name == "burn");
            let same = ours.any(|ours| {
                let required = ours.req.to_string();
                version.is_some_and(|version| required.trim_start_matches('^') == version)
            });
            if !same {
                return Err(format!("burn {version:?} is not the workspace's"));
            }
            continue;
        }
        let package = members
            .packages
            .iter()
            .find(|package| *package.name == **name);
        let Some(package) = package.filter(|_| name.starts_with("calcine")) else {
            return Err(format!("there is no crate `{name}`"));
        };
        let features = wanted.get("features").and_then(Value::as_array);
        for feature in features.into_iter().flatten().filter_map(Value::as_str) {
            if !package.features.contains_key(feature) {
                return Err(format!("`{name}` has no feature `{feature}`"));
            }
        }
    }
    Ok(())
}
