//! The options of several commands, with the same names, defaults and meaning everywhere.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use burn::tensor::Device;
use calcine::data::Normalization;
use calcine::weights::LoadOptions;

use crate::failure::{Failure, bad};
use crate::settings::Settings;
use crate::terminal::{self, print_line};

/// The weights of MODEL: the same options for every command.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct WeightsOptions {
    /// A safetensors or PyTorch file of weights, `default` for those shipped with the zoo, or `none` for fresh ones
    /// [default: those of the network file; for a network of the zoo the recipe's, else those shipped if there are,
    /// else fresh ones].
    #[arg(long, value_name = "FILE|default|none", help_heading = "Model")]
    pub(crate) weights: Option<String>,
    /// The key of a checkpoint beneath which the weights are, a dotted path such as `state_dict_ema`; empty for its root
    /// [default: the one that fits].
    #[arg(long, value_name = "KEY", requires = "weights", help_heading = "Model")]
    weights_key: Option<String>,
    /// What the names of the weights begin with in the file, and not in the network, such as `backbone.` [default: the
    /// prefix that fits].
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "weights",
        help_heading = "Model"
    )]
    weights_strip: Option<String>,
    /// Names and globs of weights that are not loaded, such as `fc.*`; may be given several times.
    #[arg(
        long,
        value_name = "GLOB",
        requires = "weights",
        help_heading = "Model"
    )]
    weights_ignore: Vec<String>,
}

/// The data, the same options for every command that needs some.
#[derive(Debug, clap::Args)]
pub(crate) struct DataOptions {
    /// CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, a folder of images by class, or arrays of inputs and targets (.npz,
    /// .npy, .safetensors), as a directory, file or archive, told by its content; `auto` for CIFAR-10 (the variable
    /// CALCINE_DATA, the cache, a download, or synthetic images), or `synthetic`.
    #[arg(
        long,
        default_value = "auto",
        value_name = "DATA",
        help_heading = "Data"
    )]
    data: String,
    /// What is subtracted from the values of images, which are from 0 to 1, for red, green and blue [default: the
    /// recipe's, else 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = colours, requires = "std", help_heading = "Data")]
    mean: Option<[f32; 3]>,
    /// What the difference is divided by [default: the recipe's, else 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = positive_colours, requires = "mean", help_heading = "Data")]
    std: Option<[f32; 3]>,
    /// The share of the training samples that is set aside for validation, where a data set has no validation split of its
    /// own [default: the recipe's, else 0.1].
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Data")]
    validation: Option<f64>,
    /// Seed of every random stream, the validation split included [default: the recipe's, else 0].
    #[arg(long, value_parser = natural::<u64>, value_name = "N", help_heading = "Data")]
    pub(crate) seed: Option<u64>,
}

/// Where a command computes.
#[derive(Debug, clap::Args)]
pub(crate) struct DeviceOptions {
    /// Where to compute; `list` shows what this build has.
    #[arg(long, default_value = "flex", value_name = "NAME")]
    pub(crate) device: String,
}

/// How a command reports.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportOptions {
    /// Print one JSON object as the last line of stdout; everything else goes to stderr then.
    #[arg(long)]
    pub(crate) json: bool,
}

impl WeightsOptions {
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            key: self.weights_key.clone(),
            strip: self.weights_strip.clone(),
            ignore: self.weights_ignore.clone(),
        }
    }
}

/// The device of this name. If it is not compiled in, the error has the command that builds with it.
pub(crate) fn device(name: &str) -> Result<Device, Failure> {
    calcine::device::by_name(name).map_err(|error| {
        if !calcine::device::NAMES.contains(&name) {
            return bad(error);
        }
        let compiled = calcine::device::compiled();
        let line = std::env::args().skip(1);
        bad(format!(
            "device `{name}` is not compiled in; this build has {}. Run\n  {}",
            compiled.join(", "),
            with_feature(name, &compiled, line)
        ))
    })
}

/// The command line that builds with one device more and runs the same.
fn with_feature(
    name: &str,
    compiled: &[&str],
    arguments: impl IntoIterator<Item = String>,
) -> String {
    let others = compiled.iter().copied().filter(|&other| other != "flex");
    let features: Vec<&str> = others.chain([name]).collect();
    let arguments = arguments.into_iter().map(|argument| quoted(&argument));
    let arguments: Vec<String> = arguments.collect();
    format!(
        "cargo run --package calcine-cli --features {} -- {}",
        features.join(","),
        arguments.join(" ")
    )
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}

impl DeviceOptions {
    /// Whether the devices were asked for; then they have been printed.
    pub(crate) fn lists(&self) -> bool {
        let lists = self.device == "list";
        if lists {
            calcine::device::compiled().into_iter().for_each(print_line);
        }
        lists
    }

    pub(crate) fn device(&self) -> Result<Device, Failure> {
        device(&self.device)
    }
}

impl ReportOptions {
    /// A result: to stdout, unless that is for the JSON alone.
    pub(crate) fn say(&self, text: &str) {
        terminal::say(self.json, text);
    }

    /// The JSON, if it was asked for.
    pub(crate) fn finish(&self, json: &serde_json::Value) {
        if self.json {
            print_line(&json.to_string());
        }
    }
}

/// Settings of a command on MODEL, checked. `recipe` has the settings that are the command's own.
pub(crate) fn settings(
    model: &str,
    weights: &WeightsOptions,
    data: &DataOptions,
    device: &DeviceOptions,
    recipe: Settings,
) -> Result<Settings, Failure> {
    let named = weights.weights.as_deref();
    settings_with(Some(model), named, weights, data, device, recipe)
}

/// As [`settings`], with weights that are named in another way. Without MODEL the network is the recipe's.
pub(crate) fn settings_with(
    model: Option<&str>,
    weights: Option<&str>,
    weights_options: &WeightsOptions,
    data: &DataOptions,
    device: &DeviceOptions,
    recipe: Settings,
) -> Result<Settings, Failure> {
    Settings {
        model: model.map(str::to_owned),
        weights: weights.map(str::to_owned),
        weights_options: weights_options.load_options(),
        data: data.data.clone(),
        seed: data.seed,
        validation: data.validation,
        normalization: data
            .mean
            .zip(data.std)
            .map(|(mean, std)| Normalization { mean, std }),
        device: device.device.clone(),
        ..recipe
    }
    .check()
}

/// `runs/<name>-<time>` unless something else is said.
pub(crate) fn out(asked: Option<&Path>, name: &str) -> PathBuf {
    let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
    asked.map_or_else(
        || Path::new("runs").join(format!("{name}-{now}")),
        Path::to_path_buf,
    )
}

/// Reads a number for each of three colours for clap.
fn colours(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|number: &f32| number.is_finite())
        })
        .collect();
    let colours = numbers.and_then(|numbers| numbers.try_into().ok());
    colours.ok_or_else(|| "expected three numbers, such as 0.4914,0.4822,0.4465".to_owned())
}

/// As [`colours`], all above zero.
fn positive_colours(text: &str) -> Result<[f32; 3], String> {
    let colours = colours(text)?;
    if colours.iter().all(|number| *number > 0.0) {
        return Ok(colours);
    }
    Err("expected three numbers above 0".to_owned())
}

/// Reads a count for clap.
pub(crate) fn positive<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// Reads a number that may be 0 for clap.
pub(crate) fn natural<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number of at least 0".to_owned())
}

/// Reads a share for clap.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_builds_with_a_device_is_whole() {
        let line = ["train", "--device", "wgpu", "--out", "my runs/it's"];
        let line = || line.map(str::to_owned);
        assert_eq!(
            with_feature("wgpu", &["flex"], line()),
            "cargo run --package calcine-cli --features wgpu -- \
             train --device wgpu --out \"my runs/it's\""
        );
        let both = with_feature("wgpu", &["flex", "ndarray"], line());
        assert!(both.contains("--features ndarray,wgpu -- "), "{both}");
    }

    #[test]
    fn counts_say_what_they_expect() {
        for text in ["0", "-3", "1.5", "many", ""] {
            assert!(positive::<u64>(text).is_err_and(|error| error.contains("at least 1")));
        }
        assert_eq!((positive("7"), natural("0")), (Ok(7_usize), Ok(0_u64)));
        assert!(natural::<u64>("-1").is_err_and(|error| error.contains("at least 0")));
    }
}
