//! The flags that say which network, on which data, where: the same for every command that runs one.

use std::str::FromStr;

use burn::tensor::Device;
use calcine::data::loader::Normalization;
use calcine::weights::LoadOptions;
use calcine::zoo::Architecture;
use calcine::zoo::reference::Settings;

use crate::failure::Failure;
use crate::terminal::print_line;
use crate::train::bad;

/// A network, its data and its device.
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// resnet20, resnet32, resnet44, resnet56, plain20 or simplenet [default: the recipe's, else resnet20].
    #[arg(long)]
    model: Option<Architecture>,
    /// A safetensors or PyTorch file, `default` for those shipped (resnet20 has some), or `none` for fresh ones
    /// [default: the recipe's, else `default`].
    #[arg(long)]
    weights: Option<String>,
    #[command(flatten)]
    weights_options: WeightsOptions,
    /// `auto` (the environment's CALCINE_DATA, the cache, a download, or synthetic images), `synthetic`, a
    /// directory, or the official archive (.tar.gz).
    #[arg(long, default_value = "auto")]
    data: String,
    /// What is subtracted from the bytes of images over 255, for red, green and blue [default: the recipe's, else
    /// 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = colours, requires = "std")]
    mean: Option<[f32; 3]>,
    /// What they are divided by then [default: the recipe's, else 0.5,0.5,0.5].
    #[arg(long, value_name = "R,G,B", value_parser = positive_colours, requires = "mean")]
    std: Option<[f32; 3]>,
    /// Where to compute; `list` shows what this build has.
    #[arg(long, default_value = "flex")]
    pub(crate) device: String,
}

/// Where a file of weights has them.
#[derive(Debug, clap::Args)]
pub(crate) struct WeightsOptions {
    /// The key of a checkpoint that has the weights, a dotted path such as `state_dict_ema`; empty for its root
    /// [default: found out].
    #[arg(long, value_name = "KEY", requires = "weights")]
    weights_key: Option<String>,
    /// What names of weights begin with in the file, and not in the network, such as `backbone.` [default: found out].
    #[arg(long, value_name = "PREFIX", requires = "weights")]
    weights_strip: Option<String>,
    /// Names and globs of weights that are not loaded, such as `fc.*`; may be given several times.
    #[arg(long, value_name = "GLOB", requires = "weights")]
    weights_ignore: Vec<String>,
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

impl Network {
    /// Whether the devices were asked for; then they have been printed.
    pub(crate) fn lists_devices(&self) -> bool {
        let lists = self.device == "list";
        if lists {
            calcine::device::compiled().into_iter().for_each(print_line);
        }
        lists
    }

    /// Settings with what these flags say in them.
    pub(crate) fn over(&self, settings: Settings) -> Settings {
        Settings {
            model: self.model.map(|model| model.to_string()),
            weights: self.weights.clone(),
            weights_options: self.weights_options.load_options(),
            data: self.data.clone(),
            normalization: self
                .mean
                .zip(self.std)
                .map(|(mean, std)| Normalization { mean, std }),
            device: self.device.clone(),
            ..settings
        }
    }

    /// Settings of what is no training: `name` stands for the recipe in messages.
    pub(crate) fn settings(&self, name: &str) -> Settings {
        self.over(Settings::new(name, "format = 1\n[train]\nepochs = 1\n"))
    }
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
