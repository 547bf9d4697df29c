//! `cargo xtask test`: the suite on one or several devices.

use std::path::Path;
use std::process::Command;

use cargo_metadata::{Metadata, Package};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::cargo::{self, cargo};
use crate::failure::Failure;

/// Run the test suite on one or several devices.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where tensors live; several are separated by commas and share one build.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "flex")]
    device: Vec<Device>,
    /// Compile the suite for the device without running it.
    #[arg(long)]
    check_only: bool,
    /// Passed on to the test programs.
    #[arg(last = true, conflicts_with = "check_only")]
    args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    Flex,
    Ndarray,
    Wgpu,
    Vulkan,
    Metal,
    Cuda,
    Rocm,
}

/// Runs the suite once a device and names the devices on which it failed.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let members = cargo::members()?;
    let runtime = runtime_directory(&args.device)?;
    let mut failures = Vec::new();
    for suite in suites(args, &deviceless(&members)) {
        let mut command = suite.command(members.target_directory.as_std_path(), args.check_only);
        if let Some(directory) = &runtime {
            command.env("XDG_RUNTIME_DIR", directory.path());
        }
        failures.extend(cargo::run(&mut command).err());
    }
    let messages: Vec<String> = failures.iter().map(ToString::to_string).collect();
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(messages.join("\n")).with_exit_code(first.exit_code())),
    }
}

/// The packages whose tests ask for no device, so that they need not be built for each.
fn deviceless(members: &Metadata) -> Vec<String> {
    const TESTKIT: &str = "calcine-testkit";
    let asks = |package: &Package| {
        package.name == TESTKIT || package.dependencies.iter().any(|on| on.name == TESTKIT)
    };
    let packages = members.packages.iter().filter(|package| !asks(package));
    packages.map(|package| package.name.to_string()).collect()
}

/// One call of cargo.
#[derive(Debug, PartialEq)]
struct Suite {
    /// Flex needs no feature and no variable.
    device: Option<Device>,
    arguments: Vec<String>,
}

/// One suite a device; all but flex are built with the same features, so once, and `without` some packages.
fn suites(args: &Args, without: &[String]) -> Vec<Suite> {
    let others: Vec<Device> = args
        .device
        .iter()
        .copied()
        .filter(|&d| d != Device::Flex)
        .collect();
    let features: Vec<String> = others.iter().map(|device| device.feature()).collect();
    let verb = if args.check_only { "check" } else { "test" };

    let mut suites = Vec::new();
    if others.len() < args.device.len() {
        suites.push(Suite {
            device: None,
            arguments: words(&[verb, "--workspace"]),
        });
    }
    for device in others {
        let mut arguments = words(&[verb, "--workspace"]);
        arguments.extend(without.iter().map(|package| format!("--exclude={package}")));
        arguments.extend(words(&[
            "--features",
            &features.join(","),
            "--lib",
            "--tests",
        ]));
        suites.push(Suite {
            device: Some(device),
            arguments,
        });
        if args.check_only {
            break;
        }
    }
    if !args.args.is_empty() {
        for suite in &mut suites {
            suite.arguments.push("--".to_owned());
            suite.arguments.extend(args.args.iter().cloned());
        }
    }
    suites
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Suite {
    fn command(&self, target: &Path, check_only: bool) -> Command {
        let mut command = cargo(&self.arguments);
        if let Some(device) = self.device {
            command.env("CALCINE_DEVICE", device.name());
            if check_only {
                cargo::without_toolkits(&mut command, target);
            }
        }
        command
    }
}

impl Device {
    /// As written on the command line and in `CALCINE_DEVICE`.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn feature(self) -> String {
        format!("calcine-testkit/{}", self.name())
    }
}

/// Vulkan loaders want a runtime directory, which a container or a CI job often lacks.
fn runtime_directory(devices: &[Device]) -> Result<Option<TempDir>, Failure> {
    let vulkan = devices
        .iter()
        .any(|device| matches!(device, Device::Wgpu | Device::Vulkan));
    if !vulkan || std::env::var_os("XDG_RUNTIME_DIR").is_some() {
        return Ok(None);
    }
    let directory = TempDir::with_prefix("calcine-runtime-");
    directory
        .map(Some)
        .map_err(|error| Failure::new(format!("cannot make a runtime directory: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asked(device: &[Device], check_only: bool, args: &[&str]) -> Vec<(String, String)> {
        let args = Args {
            device: device.to_vec(),
            check_only,
            args: words(args),
        };
        let name = |suite: &Suite| suite.device.map_or_else(|| "-".to_owned(), Device::name);
        suites(&args, &words(&["plots"]))
            .iter()
            .map(|s| (name(s), s.arguments.join(" ")))
            .collect()
    }

    fn row(device: &str, arguments: &str) -> (String, String) {
        (device.to_owned(), arguments.to_owned())
    }

    #[test]
    fn flex_is_plain_cargo_test() {
        assert_eq!(
            asked(&[Device::Flex], false, &[]),
            [row("-", "test --workspace")]
        );
    }

    #[test]
    fn several_devices_share_one_set_of_features() {
        let shared = "test --workspace --exclude=plots \
                      --features calcine-testkit/ndarray,calcine-testkit/wgpu --lib --tests -- masks";
        assert_eq!(
            asked(
                &[Device::Ndarray, Device::Flex, Device::Wgpu],
                false,
                &["masks"]
            ),
            [
                row("-", "test --workspace -- masks"),
                row("ndarray", shared),
                row("wgpu", shared)
            ]
        );
    }

    #[test]
    fn checking_several_devices_is_one_call() {
        let shared = "check --workspace --exclude=plots \
                      --features calcine-testkit/cuda,calcine-testkit/rocm --lib --tests";
        assert_eq!(
            asked(&[Device::Cuda, Device::Rocm], true, &[]),
            [row("cuda", shared)]
        );
    }

    #[test]
    fn a_device_is_named_to_the_tests() {
        let wgpu = variables(Device::Wgpu, false);
        assert_eq!(wgpu["CALCINE_DEVICE"], "wgpu");
    }

    #[test]
    fn a_check_needs_no_toolkit_and_builds_apart_from_what_runs() {
        let cuda = variables(Device::Cuda, true);
        assert_eq!(cuda["DOCS_RS"], "1");
        assert_eq!(Path::new(&cuda["CARGO_TARGET_DIR"]), Path::new("t/check"));
    }

    fn variables(device: Device, check_only: bool) -> BTreeMap<String, String> {
        let suite = Suite {
            device: Some(device),
            arguments: words(&["test"]),
        };
        let command = suite.command(Path::new("t"), check_only);
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let variables = command.get_envs();
        variables
            .filter_map(|(name, value)| Some((text(name), text(value?))))
            .collect()
    }
}
