//! Takes the networks of a folder of ONNX files through all stages, and prints a table with a row for each.
//!
//! `cargo run -p calcine-examples --bin zoo_table -- FOLDER [NAME]`, or `cargo xtask zoo-table FOLDER`. With a name, only the files whose
//! names contain it are taken. Without a folder there is no row.
//!
//! The stages: read the file and compare the network's outputs with ONNX Runtime's; find the dependency groups; zero out 30 % of their
//! channels, remove them, and compare the thinned network with the masked one; quantize to 8 bits after training; write the network as an ONNX
//! file, read that, and compare again. The smallest file comes first.
//!
//! The folder holds `NAME.KIND.onnx`, `NAME.x.bin` (a batch of inputs), `NAME.cal.bin` (a batch for calibration) and `NAME.KIND.y0.bin`, … (what
//! ONNX Runtime gives), all of raw little-endian floats, or of 64-bit integers where an input is of integers.
//! `benches/peers/export_torchvision.py` writes such a folder. The exit code is 1 if a network fails.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use calcine::criteria::Norm;
use calcine::graph::ElementKind;
use calcine::onnx::{ExportOptions, ImportOptions, export, is_onnx, read_bytes, read_file};
use calcine::quantize::{Calibration, QuantizationSettings, quantize};
use calcine::thin::{ChannelSelection, PaddingEffect, thin, zero_out_channels};
use calcine::trace::{AnyTensor, Network};

/// The largest difference from ONNX Runtime, and of the thinned network from the masked one, relative to the largest output.
const TOLERANCE: f32 = 1e-4;

/// The share of channels that is pruned.
const SHARE: f64 = 0.3;

/// What is known of a network, as far as it came.
#[derive(Default)]
struct Row {
    parameters: Option<usize>,
    macs: Option<u64>,
    groups: Option<usize>,
    macs_after: Option<u64>,
    thinned_off: Option<f32>,
    sqnr: Option<f64>,
    exported_off: Option<f32>,
    /// Reading, groups, pruning with thinning, calibration with quantization, writing with reading.
    times: Vec<Duration>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        println!("No folder of ONNX files was given, so there is no row.");
        return ExitCode::SUCCESS;
    };
    let only = arguments.next().unwrap_or_default();
    match table(&folder, &only.to_string_lossy()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Prints the table; returns how many networks fail.
fn table(folder: &Path, only: &str) -> Result<usize, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if is_onnx(&file) && stem(&file).contains(only) {
            files.push((fs::metadata(&file)?.len(), file));
        }
    }
    files.sort();
    println!(
        "| network | parameters | MACs | groups | MACs left | thinned − masked | SQNR, 8 bits | written and read − own | times in ms | fails |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut failed = 0;
    for (_, file) in &files {
        let mut row = Row::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| row.stages(file)));
        let reason = match outcome {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string().replace(['\n', '|'], " "),
            Err(_) => "a panic".to_owned(),
        };
        failed += usize::from(!reason.is_empty());
        let stem = stem(file);
        // The kind is told where a network has files of several.
        let kinds = files
            .iter()
            .filter(|(_, other)| network_of(&self::stem(other)) == network_of(&stem));
        let name = match kinds.count() {
            1 => network_of(&stem),
            _ => &stem,
        };
        println!("| {name} | {} {reason} |", row.cells());
    }
    println!(
        "\n{} of {} files pass all stages.",
        files.len() - failed,
        files.len()
    );
    Ok(failed)
}

impl Row {
    fn cells(&self) -> String {
        let number = |number: Option<u64>| number.map_or_else(String::new, grouped);
        let off = |off: Option<f32>| off.map_or_else(String::new, |off| format!("{off:.1e}"));
        #[allow(clippy::cast_precision_loss, reason = "a share of two digits")]
        let share = match (self.macs, self.macs_after) {
            (Some(before), Some(after)) => format!("{:.2}", after as f64 / before as f64),
            _ => String::new(),
        };
        let times: Vec<String> = self
            .times
            .iter()
            .map(|time| time.as_millis().to_string())
            .collect();
        let cells = [
            number(self.parameters.map(|n| n as u64)),
            number(self.macs),
            number(self.groups.map(|n| n as u64)),
            share,
            off(self.thinned_off),
            self.sqnr
                .map_or_else(String::new, |sqnr| format!("{sqnr:.1} dB")),
            off(self.exported_off),
            times.join(" / "),
        ];
        cells.join(" | ") + " |"
    }

    fn stages(&mut self, file: &Path) -> Result<(), Box<dyn Error>> {
        let device = Device::flex();
        let folder = file.parent().unwrap_or(Path::new("."));
        let stem = stem(file);
        let name = network_of(&stem);

        let start = Instant::now();
        let network = read_file(file, &ImportOptions::default(), &device)?;
        self.times.push(start.elapsed());
        self.parameters = Some(network.num_params());
        self.macs = Some(network.graph().compute()?.macs);
        let sample = batch(&network, &folder.join(format!("{name}.x.bin")))?;
        let own = outputs(&network, &sample)?;
        for (number, own) in own.iter().enumerate() {
            let runtime = floats(&folder.join(format!("{stem}.y{number}.bin")))?;
            near(distance(own, &runtime), "compared with ONNX Runtime")?;
        }

        let start = Instant::now();
        let axes = network.graph().axes()?;
        self.groups = Some(axes.groups().len());
        self.times.push(start.elapsed());

        let start = Instant::now();
        let choice = ChannelSelection::new(SHARE).units(&network, &axes, &Norm::L1, |_| true);
        let chosen = choice.len();
        let masked = zero_out_channels(network.clone(), &axes, choice)
            .map_err(|e| format!("masked: {e}"))?;
        let thinned =
            thin(masked.clone(), PaddingEffect::KeepBorder).map_err(|e| format!("thinned: {e}"))?;
        self.times.push(start.elapsed());
        self.macs_after = Some(thinned.network.graph().compute()?.macs);
        let pairs = outputs(&masked, &sample)?
            .into_iter()
            .zip(outputs(&thinned.network, &sample)?);
        let off = pairs.map(|(masked, thinned)| distance(&masked, &thinned));
        let off = off.fold(0.0, f32::max);
        self.thinned_off = Some(off);
        near(off, "thinned")?;
        let removed: usize = thinned
            .report
            .removed
            .iter()
            .map(|removed| removed.removed)
            .sum();
        if removed < chosen {
            return Err(format!("thinned: {removed} of {chosen} channels are removed").into());
        }
        drop((masked, thinned));

        let start = Instant::now();
        let calibration = batch(&network, &folder.join(format!("{name}.cal.bin")))?;
        let calibration = Calibration::collect(&network, &[calibration])
            .map_err(|e| format!("calibrated: {e}"))?;
        let quantized = quantize(&network, &calibration, &QuantizationSettings::default())
            .map_err(|e| format!("quantized: {e}"))?;
        self.times.push(start.elapsed());
        let integers = quantized
            .run(sample.clone(), &mut |_, _| {})
            .map_err(|e| format!("in integers: {e}"))?;
        let integers = integers.into_iter().next().map(numbers).unwrap_or_default();
        let pairs = own[0].iter().zip(&integers);
        let noise: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let signal: f64 = own[0].iter().map(|a| f64::from(*a).powi(2)).sum();
        let sqnr = 10.0 * (signal / noise).log10();
        self.sqnr = Some(sqnr);
        if !sqnr.is_finite() {
            return Err("quantized: the outputs are not finite".into());
        }
        drop(quantized);

        let start = Instant::now();
        let written =
            export(&network, &ExportOptions::default()).map_err(|e| format!("exported: {e}"))?;
        let written = written.to_bytes().map_err(|e| format!("exported: {e}"))?;
        let again = read_bytes(&written, &ImportOptions::default(), &device)
            .map_err(|e| format!("read again: {e}"))?;
        self.times.push(start.elapsed());
        let pairs = outputs(&again, &sample)?.into_iter().zip(&own);
        let off = pairs
            .map(|(again, own)| distance(&again, own))
            .fold(0.0, f32::max);
        self.exported_off = Some(off);
        near(off, "exported")
    }
}

fn stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The name of a network, of a file's stem: without the kind.
fn network_of(stem: &str) -> &str {
    stem.rsplit_once('.').map_or(stem, |(name, _)| name)
}

/// A number with a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (start, rest) = digits.split_at(first);
    let threes = rest.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let start = Some(start.into()).filter(|_| first > 0);
    let parts: Vec<_> = start.into_iter().chain(threes).collect();
    parts.join(",")
}

fn near(off: f32, stage: &str) -> Result<(), Box<dyn Error>> {
    match off <= TOLERANCE {
        true => Ok(()),
        false => Err(format!("{stage}: off by {off:.1e}").into()),
    }
}

/// A batch of raw numbers for the network's first input.
fn batch(network: &Network, file: &Path) -> Result<Vec<AnyTensor>, Box<dyn Error>> {
    let graph = network.graph();
    let input = graph.value(*graph.inputs.first().ok_or("no input")?);
    let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let size = if input.kind == ElementKind::Int { 8 } else { 4 };
    let samples = bytes.len() / size / input.numel_at(1);
    let shape = input.shape_at(samples);
    let data = match input.kind {
        ElementKind::Int => {
            let numbers = bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b));
            TensorData::new(numbers.collect::<Vec<_>>(), shape)
        }
        _ => TensorData::new(floats(file)?, shape),
    };
    let tensor = AnyTensor::from_data(data, input.kind, &Device::flex());
    Ok(vec![tensor.ok_or("an input that is no tensor")?])
}

fn floats(file: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect())
}

fn numbers(tensor: AnyTensor) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn outputs(network: &Network, sample: &[AnyTensor]) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let outputs = network.run(sample.to_vec(), &mut |_, tensor| tensor)?;
    Ok(outputs.into_iter().map(numbers).collect())
}

/// The largest difference, relative to the largest number of the second.
fn distance(one: &[f32], other: &[f32]) -> f32 {
    if one.len() != other.len() {
        return f32::INFINITY;
    }
    let largest = other.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let worst = |m: f32, d: f32| {
        if d.is_nan() || m.is_nan() {
            f32::NAN
        } else {
            m.max(d)
        }
    };
    one.iter()
        .zip(other)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, worst)
        / largest
}
