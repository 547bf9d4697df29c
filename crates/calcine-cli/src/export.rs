//! `calcine export`: writes a network as an ONNX file.

use std::path::PathBuf;

use calcine::onnx::{ExportOptions, Form, OnnxModel, export, export_quantized};

use crate::failure::{Failure, bad};
use crate::model::{AnyNetwork, Loaded, load};
use crate::options::{DeviceOptions, ReportOptions, WeightsOptions};
use crate::terminal::print_line;

/// Write a network as an ONNX file, which other runtimes execute.
///
/// A float network is written with float operators. A quantized network is written with QuantizeLinear and
/// DequantizeLinear, or in the form that --form names; ONNX Runtime computes the same integers as Calcine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file.
    #[arg(value_name = "MODEL")]
    model: String,
    /// The file to write. Weights of more than 2 GiB are written to a second file, FILE.onnx.data.
    #[arg(long, value_name = "FILE.onnx")]
    to: PathBuf,
    /// How numbers are represented: float; or, for a quantized network, qdq (QuantizeLinear and DequantizeLinear around
    /// float operators), qoperator (QLinearConv, QLinearMatMul) or integer (ConvInteger, MatMulInteger) [default: float
    /// for a float network, qdq for a quantized one].
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,
    /// The version of the ONNX operators, 13 to 25 [default: 17, or 21 if the network needs a type that was introduced
    /// there].
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// With --form qdq: allow runtimes to fuse sums, products and means, whose integers may then differ by one near
    /// ties.
    #[arg(long)]
    fused: bool,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let device = args.device.device()?;
    let loaded = load(&args.model, &args.weights, &device)?;
    let (model, form) = written(args, &loaded)?;
    model.save(&args.to).map_err(bad)?;
    let (file, opset) = (args.to.display(), model.opset());
    match args.report.json {
        true => {
            let object = serde_json::json!({
                "model": loaded.name,
                "file": file.to_string(),
                "form": form.name(),
                "opset": opset,
            });
            print_line(&object.to_string());
        }
        false => print_line(&format!("{file}: {} as {form}, opset {opset}", loaded.name)),
    }
    Ok(())
}

fn written(args: &Args, loaded: &Loaded) -> Result<(OnnxModel, Form), Failure> {
    let mut options = ExportOptions::default();
    options.opset = args.opset;
    options.exact = !args.fused;
    options.metadata = vec![("calcine.model".to_owned(), loaded.name.clone())];
    match &loaded.network {
        AnyNetwork::Float(network) => {
            if let Some(form) = args.form.filter(|form| *form != Form::Float) {
                return Err(bad(format!(
                    "--form {form}: {} is a float network, whose form is float: `calcine quantize` makes a quantized one",
                    loaded.name
                )));
            }
            Ok((export(network, &options).map_err(bad)?, Form::Float))
        }
        AnyNetwork::Quantized(network) => {
            options.form = args.form.unwrap_or_default();
            let model = export_quantized(network, &options).map_err(bad)?;
            Ok((model, options.form))
        }
    }
}
