//! `calcine export`: writes a network as an ONNX file.

use std::path::PathBuf;

use calcine::onnx::{ExportOptions, Form, OnnxModel, Remark, Runtime, export, export_quantized};
use calcine::run::Model;

use crate::failure::{Failure, bad};
use crate::model::{Loaded, load};
use crate::options::{DeviceOptions, MODEL_HELP, ReportOptions, WeightsOptions};
use crate::terminal::{print_line, stderr};

/// Write a network as an ONNX file, which other runtimes execute, or its weights as a safetensors file.
///
/// A float network is written as floats. A quantized network is written in the form that the runtime computes in integers
/// (--for), or in the form that --form names; ONNX Runtime and tract then compute the same integers as Calcine. What the
/// runtime does otherwise, such as layers that it computes in float, is said before the file is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "MODEL", help = MODEL_HELP)]
    model: String,
    /// The file to write: a model in ONNX, whose weights of more than 2 GiB go to a second file, FILE.onnx.data; or, of a
    /// float network, its weights as FILE.safetensors, with the names and layouts of PyTorch.
    #[arg(long, value_name = "FILE.onnx|FILE.safetensors")]
    to: PathBuf,
    /// The runtime that the file is for: onnxruntime, openvino, tensorrt, tract or rten. It decides about the form and its
    /// details [default: what all of them read, and ONNX Runtime is fastest with].
    #[arg(long = "for", value_name = "RUNTIME")]
    runtime: Option<Runtime>,
    /// The numbers of the file: float; or of a quantized network qdq (QuantizeLinear and DequantizeLinear around float
    /// operators), qoperator (QLinearConv, QLinearMatMul) or integer (ConvInteger, MatMulInteger) [default: float of a float
    /// network; of a quantized one the runtime's, else qdq, or integer for ranges of each batch].
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
    let extension = args.to.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("onnx") => onnx(args, &loaded),
        Some("safetensors") => weights(args, &loaded),
        _ => Err(bad(format!(
            "--to {}: expected a file that ends in .onnx or .safetensors",
            args.to.display()
        ))),
    }
}

/// Writes the network as an ONNX file.
fn onnx(args: &Args, loaded: &Loaded) -> Result<(), Failure> {
    let (model, form, remarks) = written(args, loaded)?;
    for remark in &remarks {
        stderr(&format!("note: {remark}"));
    }
    model.save(&args.to).map_err(bad)?;
    let (file, opset) = (args.to.display(), model.opset());
    match args.report.json {
        true => {
            let object = serde_json::json!({
                "model": loaded.name,
                "file": file.to_string(),
                "form": form.name(),
                "opset": opset,
                "runtime": args.runtime.map(Runtime::name),
                "notes": remarks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            print_line(&object.to_string());
        }
        false => print_line(&format!("{file}: {} as {form}, opset {opset}", loaded.name)),
    }
    Ok(())
}

/// Writes the network's weights as a safetensors file.
fn weights(args: &Args, loaded: &Loaded) -> Result<(), Failure> {
    let options = [
        ("--for", args.runtime.is_some()),
        ("--form", args.form.is_some()),
        ("--opset", args.opset.is_some()),
        ("--fused", args.fused),
    ];
    if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
        return Err(bad(format!(
            "{option} is for ONNX files, and --to names weights: {}",
            args.to.display()
        )));
    }
    let Model::Float(network) = &loaded.network else {
        return Err(bad(format!(
            "--to {}: {} is a quantized network, whose batch norms are part of other layers, so that it has no weights with \
             the original names: valid is a file that ends in .onnx",
            args.to.display(),
            loaded.name
        )));
    };
    calcine::weights::save(network, &args.to).map_err(bad)?;
    let file = args.to.display();
    match args.report.json {
        true => {
            let object = serde_json::json!({ "model": loaded.name, "file": file.to_string(), "form": "weights" });
            print_line(&object.to_string());
        }
        false => print_line(&format!("{file}: the weights of {}", loaded.name)),
    }
    Ok(())
}

fn written(args: &Args, loaded: &Loaded) -> Result<(OnnxModel, Form, Vec<Remark>), Failure> {
    let mut options = ExportOptions::default();
    options.runtime = args.runtime;
    options.form = args.form;
    options.opset = args.opset;
    options.exact = args.fused.then_some(false);
    options.metadata = [("calcine.model".to_owned(), loaded.name.clone())].into();
    match &loaded.network {
        Model::Float(network) => {
            if let Some(form) = args.form.filter(|form| *form != Form::Float) {
                return Err(bad(format!(
                    "--form {form}: {} is a float network, whose form is float: `calcine quantize` makes a quantized one",
                    loaded.name
                )));
            }
            let model = export(network, &options).map_err(bad)?;
            Ok((model, Form::Float, Vec::new()))
        }
        Model::Quantized(network) => {
            let form = options.form_of(network);
            let model = export_quantized(network, &options).map_err(bad)?;
            let remarks = args.runtime.map(|runtime| runtime.remarks(network, form));
            Ok((model, form, remarks.unwrap_or_default()))
        }
    }
}
