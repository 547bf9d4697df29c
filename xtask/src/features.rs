//! `cargo xtask features`: each library alone, with each of its features alone.

use cargo_metadata::Package;

use crate::cargo::{self, cargo};
use crate::failure::Failure;

/// Features that pull in a GPU stack; checked with `--gpu` only.
const GPU: [&str; 5] = ["wgpu", "vulkan", "metal", "cuda", "rocm"];

/// Compile each library alone: bare, with each feature, with its defaults.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check the GPU features too.
    #[arg(long)]
    gpu: bool,
    /// Check this library only; may be given several times.
    #[arg(long, short, value_name = "CRATE")]
    package: Vec<String>,
}

/// Checks every combination and lists those that do not compile.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let metadata = cargo::members()?;
    let mut libraries = metadata.workspace_packages();
    libraries.retain(|package| is_library(package));
    let known: Vec<String> = libraries.iter().map(|p| p.name.to_string()).collect();
    if let Some(unknown) = unknown(&args.package, &known) {
        let message = format!(
            "no library of the workspace is called `{unknown}`: expected one of {}",
            known.join(", ")
        );
        return Err(Failure::new(message).with_exit_code(2));
    }
    let mut failures = Vec::new();
    for package in libraries
        .into_iter()
        .filter(|package| wanted(&package.name, &args.package))
    {
        let features: Vec<&str> = package.features.keys().map(String::as_str).collect();
        for combination in combinations(&features, args.gpu) {
            let mut command = cargo(["check", "--package", &package.name]);
            command.args(combination);
            if args.gpu {
                cargo::without_toolkits(&mut command, metadata.target_directory.as_std_path());
            }
            failures.extend(cargo::run(&mut command).err());
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let messages: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Err(Failure::new(messages.join("\n")))
}

fn is_library(package: &Package) -> bool {
    package
        .targets
        .iter()
        .any(|target| target.is_lib() || target.is_proc_macro())
}

/// The first package asked for that there is not.
fn unknown<'a>(packages: &'a [String], known: &[String]) -> Option<&'a String> {
    packages.iter().find(|package| !known.contains(package))
}

fn wanted(name: &str, packages: &[String]) -> bool {
    packages.is_empty() || packages.iter().any(|package| package == name)
}

/// Arguments of `cargo check`: no feature, each alone, the defaults.
fn combinations(features: &[&str], gpu: bool) -> Vec<Vec<String>> {
    let bare = || vec!["--no-default-features".to_owned()];
    let alone = features
        .iter()
        .filter(|&&feature| feature != "default" && (gpu || !GPU.contains(&feature)))
        .map(|feature| [bare(), vec!["--features".to_owned(), (*feature).to_owned()]].concat());
    let mut all = vec![bare()];
    all.extend(alone);
    if features.contains(&"default") {
        all.push(Vec::new());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_alone_and_gpu_features_on_request() {
        let lines = |gpu| -> Vec<String> {
            let all = combinations(&["default", "serde", "wgpu"], gpu);
            all.iter().map(|arguments| arguments.join(" ")).collect()
        };
        let serde = "--no-default-features --features serde";
        let wgpu = "--no-default-features --features wgpu";
        assert_eq!(lines(false), ["--no-default-features", serde, ""]);
        assert_eq!(lines(true), ["--no-default-features", serde, wgpu, ""]);
    }

    #[test]
    fn a_package_that_there_is_not_is_found() {
        let asked = ["calcine-fold", "calcine-flod"].map(str::to_owned);
        assert_eq!(unknown(&asked, &asked[..1]), Some(&asked[1]));
        assert_eq!(unknown(&asked[..1], &asked[..1]), None);
    }

    #[test]
    fn a_crate_without_features_is_checked_once() {
        assert_eq!(combinations(&[], true).len(), 1);
    }
}
