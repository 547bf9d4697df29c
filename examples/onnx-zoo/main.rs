//! Takes the networks of a folder of ONNX files through all stages, and prints a row for each: imported by burn-onnx, traced
//! and compared with ONNX Runtime's outputs, thinned and compared with the masked network, quantized to 8 bits.
//!
//! `CALCINE_ONNX_ZOO=DIR cargo run -p calcine-example-onnx-zoo`. Without the variable there is no network and no row.
//! `build.rs` says what the folder holds.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(dead_code, reason = "without a folder there is no network")]

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine::criteria::Norm;
use calcine::quantize::{Calibration, QuantizationSettings, quantize};
use calcine::thin::{ChannelSelection, PaddingEffect, thin, zero_out_channels};
use calcine::trace::{AnyTensor, Network, Tensors, TraceError};

include!(concat!(env!("OUT_DIR"), "/zoo.rs"));

/// The largest difference from ONNX Runtime, and of the thinned network from the masked one, relative to the largest output.
const TOLERANCE: f32 = 1e-4;

fn main() {
    let folder = std::env::var_os("CALCINE_ONNX_ZOO").map(PathBuf::from);
    let mut table = Table {
        folder: folder.unwrap_or_default(),
        rows: 0,
        passed: 0,
    };
    println!(
        "| network | file | MACs | MACs after | thinned − masked | SQNR, 8 bits | stage that fails |"
    );
    println!("|---|---|---|---|---|---|---|");
    networks(&mut table);
    println!(
        "\n{} of {} networks pass all stages.",
        table.passed, table.rows
    );
}

/// The table while it is printed.
struct Table {
    folder: PathBuf,
    rows: usize,
    passed: usize,
}

/// What is known of a network, as far as it came.
#[derive(Default)]
struct Row {
    macs: Option<[u64; 2]>,
    difference: Option<f32>,
    sqnr: Option<f64>,
}

impl Table {
    /// A network that burn-onnx does not import.
    fn refused(&mut self, name: &str) {
        self.rows += 1;
        println!("| {name} | – | | | | | burn-onnx does not import it |");
    }

    /// One network: `made` traces its generated model.
    fn row<I: Sample>(
        &mut self,
        name: &str,
        form: &str,
        made: impl Fn(I) -> Result<Network, TraceError>,
    ) {
        self.rows += 1;
        let mut row = Row::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.stages(name, form, &made, &mut row)
        }));
        let failed = match outcome {
            Ok(Ok(())) => {
                self.passed += 1;
                String::new()
            }
            Ok(Err(error)) => error.to_string().replace(['\n', '|'], " "),
            Err(_) => "a panic".to_owned(),
        };
        let [before, after] = row
            .macs
            .map_or_else(Default::default, |macs| macs.map(|n| n.to_string()));
        let difference = row
            .difference
            .map_or_else(String::new, |d| format!("{d:.1e}"));
        let sqnr = row.sqnr.map_or_else(String::new, |d| format!("{d:.1} dB"));
        println!("| {name} | {form} | {before} | {after} | {difference} | {sqnr} | {failed} |");
    }

    fn stages<I: Sample>(
        &self,
        name: &str,
        form: &str,
        made: impl Fn(I) -> Result<Network, TraceError>,
        row: &mut Row,
    ) -> Result<(), Box<dyn Error>> {
        let meta: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(self.folder.join("meta.json"))?)?;
        let shape: Vec<usize> = serde_json::from_value(meta[name]["shape"].clone())?;
        let sample = I::read(&self.folder.join(format!("{name}.x.bin")), &shape)?;
        let calibration = I::read(&self.folder.join(format!("{name}.cal.bin")), &shape)?;

        let network = made(
            I::from_any(vec![sample.clone().into_any().remove(0).select(0, &[0])]).ok_or("rank")?,
        )
        .map_err(|e| format!("traced: {e}"))?;
        let run = |network: &Network| outputs(network, &sample);
        let own = run(&network)?;
        let runtime = floats(&self.folder.join(format!("{name}.{form}.y0.bin")))?;
        let off = distance(&own, &runtime);
        if off.is_nan() || off > TOLERANCE {
            return Err(format!("compared with ONNX Runtime: off by {off:.1e}").into());
        }

        let macs = network.graph().compute()?.macs;
        let axes = network.graph().axes()?;
        let choice = ChannelSelection::new(0.3).units(&network, &axes, &Norm::L1, |_| true);
        let chosen = choice.len();
        let masked = zero_out_channels(network.clone(), &axes, choice)
            .map_err(|e| format!("masked: {e}"))?;
        let thinned =
            thin(masked.clone(), PaddingEffect::KeepBorder).map_err(|e| format!("thinned: {e}"))?;
        row.macs = Some([macs, thinned.network.graph().compute()?.macs]);
        let off = distance(&run(&masked)?, &run(&thinned.network)?);
        row.difference = Some(off);
        if off.is_nan() || off > TOLERANCE {
            return Err(format!("thinned: off by {off:.1e}").into());
        }
        let removed: usize = thinned.report.removed.iter().map(|r| r.removed).sum();
        if removed < chosen {
            return Err(format!("thinned: {removed} of {chosen} channels are removed").into());
        }

        let calibration = Calibration::collect(&network, &[calibration])
            .map_err(|e| format!("calibrated: {e}"))?;
        let quantized = quantize(&network, &calibration, &QuantizationSettings::default())
            .map_err(|e| format!("quantized: {e}"))?;
        let integers = quantized
            .run(sample.clone().into_any(), &mut |_, _| {})
            .map_err(|e| format!("in integers: {e}"))?;
        let integers = first(integers)?;
        let noise: f64 = own
            .iter()
            .zip(&integers)
            .map(|(a, b)| f64::from(a - b).powi(2))
            .sum();
        let signal: f64 = own.iter().map(|a| f64::from(*a).powi(2)).sum();
        let sqnr = 10.0 * (signal / noise).log10();
        row.sqnr = Some(sqnr);
        if !sqnr.is_finite() {
            return Err("quantized: the outputs are not finite".into());
        }
        Ok(())
    }
}

/// A batch of inputs as the folder stores it.
trait Sample: Tensors + Clone {
    /// The batch in a file of raw numbers, of samples of this shape.
    fn read(file: &std::path::Path, shape: &[usize]) -> Result<Self, Box<dyn Error>>;
}

impl<const D: usize> Sample for Tensor<D> {
    fn read(file: &std::path::Path, shape: &[usize]) -> Result<Self, Box<dyn Error>> {
        let values = floats(file)?;
        let batch = values.len() / shape.iter().product::<usize>();
        let shape: Vec<usize> = [&[batch], shape].concat();
        Ok(Self::from_data(
            TensorData::new(values, shape),
            &Device::flex(),
        ))
    }
}

impl<const D: usize> Sample for Tensor<D, Int> {
    fn read(file: &std::path::Path, shape: &[usize]) -> Result<Self, Box<dyn Error>> {
        let bytes = fs::read(file)?;
        let values: Vec<i64> = bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()))
            .collect();
        let batch = values.len() / shape.iter().product::<usize>();
        let shape: Vec<usize> = [&[batch], shape].concat();
        Ok(Self::from_data(
            TensorData::new(values, shape),
            &Device::flex(),
        ))
    }
}

fn floats(file: &std::path::Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

fn outputs<I: Sample>(network: &Network, sample: &I) -> Result<Vec<f32>, Box<dyn Error>> {
    first(network.run(sample.clone().into_any(), &mut |_, t| t)?)
}

/// The numbers of the first output.
fn first(outputs: Vec<AnyTensor>) -> Result<Vec<f32>, Box<dyn Error>> {
    let first = outputs.into_iter().next().ok_or("no output")?;
    Ok(first.into_data().iter::<f32>().collect())
}

/// The largest difference, relative to the largest number of the second.
fn distance(one: &[f32], other: &[f32]) -> f32 {
    if one.len() != other.len() {
        return f32::INFINITY;
    }
    let largest = other.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let worst = |m: f32, d: f32| if d.is_nan() { f32::NAN } else { m.max(d) };
    one.iter()
        .zip(other)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, worst)
        / largest
}
