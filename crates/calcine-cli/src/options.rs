//! Options that several commands share, with the same names, defaults and meaning.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use burn::tensor::Device;
use calcine::data::Normalization;
use calcine::weights::LoadOptions;
use serde::Serialize;

use crate::failure::{Failure, bad};
use crate::settings::Settings;
use crate::terminal::{self, print_line};

/// The help of MODEL.
pub(crate) const MODEL_HELP: &str = "A network of the zoo, such as resnet20, or a network file of Calcine or ONNX; a \
                                     quantized one cannot be trained or changed";

/// The options for the weights of MODEL.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct WeightsOptions {
    /// A safetensors or PyTorch file with weights, `default` for those that come with the zoo, or `none` for random
    /// ones [default: those of the network file; for a network of the zoo those of the recipe, otherwise those that
    /// come with it if there are any, otherwise random ones].
    #[arg(long, value_name = "FILE|default|none", help_heading = "Model")]
    pub(crate) weights: Option<String>,
    /// The key of a checkpoint that contains the weights, a dotted path such as `state_dict_ema`; empty for the root
    /// [default: the key that fits].
    #[arg(long, value_name = "KEY", requires = "weights", help_heading = "Model")]
    weights_key: Option<String>,
    /// A prefix of the weights' names in the file that the network does not have, such as `backbone.` [default: the
    /// prefix that fits].
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "weights",
        help_heading = "Model"
    )]
    weights_strip: Option<String>,
    /// Names or glob patterns of weights that are not loaded, such as `fc.*`; can be given several times.
    #[arg(
        long,
        value_name = "GLOB",
        requires = "weights",
        help_heading = "Model"
    )]
    weights_ignore: Vec<String>,
}

/// The options for the data.
#[derive(Debug, clap::Args)]
pub(crate) struct DataOptions {
    /// CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST, a folder of images by class, or arrays of inputs and targets (.npz,
    /// .npy, .safetensors), as a directory, file or archive, recognized by its content; `auto` for CIFAR-10 (from the
    /// variable CALCINE_DATA, the cache or a download, otherwise synthetic images), or `synthetic`.
    #[arg(
        long,
        default_value = "auto",
        value_name = "DATA",
        help_heading = "Data"
    )]
    data: String,
    /// The mean that is subtracted from the values of images, which are from 0 to 1, for red, green and blue [default:
    /// that of the recipe, otherwise 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = colours, requires = "std", help_heading = "Data")]
    mean: Option<[f32; 3]>,
    /// The standard deviation by which the difference is divided [default: that of the recipe, otherwise 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = positive_colours, requires = "mean", help_heading = "Data")]
    std: Option<[f32; 3]>,
    /// The share of the training samples that is held out for validation if the data set has no validation split
    /// [default: that of the recipe, otherwise 0.1].
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Data")]
    validation: Option<f64>,
    /// The seed of every random stream, including the validation split [default: that of the recipe, otherwise 0].
    #[arg(long, value_parser = natural::<u64>, value_name = "N", help_heading = "Data")]
    pub(crate) seed: Option<u64>,
}

/// The option for the test split.
#[derive(Debug, clap::Args)]
pub(crate) struct TestOptions {
    /// Use at most this number of test samples: the first ones, or ones at equal distances in a folder of images, which is
    /// sorted by class [default: all].
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    pub(crate) test_limit: Option<usize>,
}

/// The options for the device.
#[derive(Debug, clap::Args)]
pub(crate) struct DeviceOptions {
    /// The device to compute on; `list` prints those that this build has.
    #[arg(long, default_value = "flex", value_name = "NAME")]
    pub(crate) device: String,
}

/// The options for the output.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportOptions {
    /// Print one JSON object as the last line of stdout; everything else is printed to stderr.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of every command that runs a network on data, except for the network itself.
#[derive(Debug, clap::Args)]
pub(crate) struct JobOptions {
    #[command(flatten)]
    pub(crate) weights: WeightsOptions,
    #[command(flatten)]
    pub(crate) data: DataOptions,
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    #[command(flatten)]
    pub(crate) report: ReportOptions,
}

/// MODEL, and the options of every command that runs it on data.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelOptions {
    #[arg(value_name = "MODEL", help = MODEL_HELP)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) job: JobOptions,
}

impl JobOptions {
    /// The checked settings of a command on a network. Without a MODEL, the network is that of the recipe. `recipe`
    /// contains the settings of the command itself.
    pub(crate) fn settings(
        &self,
        model: Option<&str>,
        recipe: Settings,
    ) -> Result<Settings, Failure> {
        self.settings_with(model, self.weights.weights.as_deref(), recipe)
    }

    /// Like [`settings`](Self::settings), with other weights than those of the command line.
    pub(crate) fn settings_with(
        &self,
        model: Option<&str>,
        weights: Option<&str>,
        recipe: Settings,
    ) -> Result<Settings, Failure> {
        let data = &self.data;
        let normalization = data.mean.zip(data.std);
        Settings {
            model: model.map(str::to_owned),
            weights: weights.map(str::to_owned),
            weights_options: self.weights.load_options(),
            data: data.data.clone(),
            seed: data.seed,
            validation: data.validation,
            normalization: normalization.map(|(mean, std)| Normalization { mean, std }),
            device: self.device.device.clone(),
            ..recipe
        }
        .check()
    }
}

impl ModelOptions {
    /// See [`JobOptions::settings`].
    pub(crate) fn settings(&self, recipe: Settings) -> Result<Settings, Failure> {
        self.job.settings(Some(&self.model), recipe)
    }
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

/// The device with this name. If it is not compiled in, the error contains the command that builds with it.
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

/// The command line that builds with one more device and runs the same command.
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

/// A word, quoted for a shell if necessary.
pub(crate) fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}

impl DeviceOptions {
    /// Whether the list of devices was requested; it has then been printed.
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
    /// Prints a result: to stdout, or to stderr if stdout is reserved for the JSON.
    pub(crate) fn say(&self, text: &str) {
        terminal::say(self.json, text);
    }

    /// Prints the JSON, if it was requested.
    pub(crate) fn finish(&self, result: &impl Serialize) {
        if self.json {
            let json = serde_json::to_string(result).expect("results are plain data");
            print_line(&json);
        }
    }
}

/// The directory `runs/<name>-<time>`, unless another one was requested.
pub(crate) fn out(asked: Option<&Path>, name: &str) -> PathBuf {
    let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
    asked.map_or_else(
        || Path::new("runs").join(format!("{name}-{now}")),
        Path::to_path_buf,
    )
}

/// Parses a number for each of three colours, for clap.
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

/// Like [`colours`], with numbers above zero.
fn positive_colours(text: &str) -> Result<[f32; 3], String> {
    let colours = colours(text)?;
    if colours.iter().all(|number| *number > 0.0) {
        return Ok(colours);
    }
    Err("expected three numbers above 0".to_owned())
}

/// Parses a count of at least 1, for clap.
pub(crate) fn positive<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// Parses a count of at least 0, for clap.
pub(crate) fn natural<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number of at least 0".to_owned())
}

/// Parses a number from 0 to 1, for clap.
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
