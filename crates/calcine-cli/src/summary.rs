//! `calcine summary`: describes a network with tables and drawings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine::graph::{Detail, Drawing, Graph};
use calcine::quantize::Quantized;
use calcine::run::{Model, sparsity_of_integers};
use calcine::summary::{
    ComputeSettings, ComputeTable, Rows, Table, compute, model, modules, sparsity,
};
use calcine::trace::Network;
use clap::ValueEnum;

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::model::{Loaded, load};
use crate::options::{MODEL_HELP, WeightsOptions, positive};
use crate::terminal::{WIDTH_HELP, print_line, stderr, width};
use crate::whole;

/// Print tables of a network: its zeros, its compute, its modules; or draw it.
///
/// The command needs no data: it traces one forward pass and computes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = WIDTH_HELP)]
pub(crate) struct Args {
    #[arg(value_name = "MODEL", help = MODEL_HELP)]
    model: String,
    #[command(flatten)]
    weights: WeightsOptions,
    /// Which table to print; can be given several times [default: compute; integers for a quantized network; none with
    /// --draw].
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<Kind>,
    /// List every operation in the compute table and in the drawing, not only layers.
    #[arg(long)]
    nodes: bool,
    /// Number of samples in a batch, for the compute table and the drawing [default: 1].
    #[arg(long, alias = "batch", value_parser = positive::<usize>, value_name = "N")]
    batch_size: Option<usize>,
    /// Draw the network to an .svg file, or to a .dot file for Graphviz, with the share of zeros of each layer
    /// [default: draw nothing].
    #[arg(long, value_name = "FILE.svg|FILE.dot", value_parser = drawing)]
    draw: Option<PathBuf>,
    /// List parameters and their shapes in the drawing.
    #[arg(long, requires = "draw")]
    draw_parameters: bool,
    /// The format of the tables; csv is for a single table [default: table].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file for the tables [default: stdout].
    #[arg(long, alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the tables as one JSON object, on the last line of stdout.
    #[arg(long, conflicts_with_all = ["format", "out"])]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The zeros of each weight, by element and by structure.
    Sparsity,
    /// Shapes, weights and multiply-accumulates of each layer, with and without zeros; memory.
    Compute,
    /// The tree of modules, with the shapes of their parameters.
    Model,
    /// Names and types of all layers and operations, in execution order.
    Modules,
    /// For a quantized network: bits, zeros and bytes of the weights of each layer.
    Integers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Markdown,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    check(args)?;
    // Messages about a file of weights are printed to stderr. Tests have a log already.
    let _ = log(None);
    let loaded = load(&args.model, &args.weights, &Device::flex())?;
    let tables = match &loaded.network {
        Model::Float(network) => float(args, network)?,
        Model::Quantized(quantized) => integers(args, quantized)?,
    };
    if args.json {
        print_line(&json(&loaded, &tables).to_string());
        return Ok(());
    }
    let text = text(args, &loaded, &tables)?;
    match (&args.out, text.is_empty()) {
        (_, true) => {}
        (None, false) => print_line(&text),
        (Some(file), false) => write(file, &format!("{text}\n"))?,
    }
    Ok(())
}

/// Rejects options that exclude each other, or have no effect.
fn check(args: &Args) -> Result<(), Failure> {
    if args.format() == Format::Csv && args.kind.len() > 1 {
        return Err(bad("--format csv holds one table: give one --kind"));
    }
    let (draws, tables) = (args.draw.is_some(), !args.kind.is_empty());
    let computes = draws || !tables || args.kind.contains(&Kind::Compute);
    let without_effect = [
        ("--out", args.out.is_some(), tables || !draws),
        ("--format", args.format.is_some(), tables || !draws),
        ("--nodes", args.nodes, computes),
        ("--batch-size", args.batch_size.is_some(), computes),
    ];
    for (option, given, has_effect) in without_effect {
        if given && !has_effect {
            let expected = match draws {
                true => "with --draw, tables are written only if --kind names them",
                false => "it is for the table `compute` and for --draw",
            };
            return Err(bad(format!("{option} has no effect: {expected}")));
        }
    }
    Ok(())
}

impl Args {
    fn format(&self) -> Format {
        self.format.unwrap_or(Format::Table)
    }
}

/// The tables of a float network; draws it first.
fn float(args: &Args, network: &Network) -> Result<Vec<Named>, Failure> {
    if let Some(file) = &args.draw {
        draw(
            args,
            network.graph(),
            computed(args, network)?.notes(),
            file,
        )?;
    }
    let kinds = kinds(args, Kind::Compute).into_iter();
    kinds.map(|kind| table(args, kind, network)).collect()
}

/// The requested tables; if there are none, and no drawing, the default one.
fn kinds(args: &Args, default: Kind) -> Vec<Kind> {
    match (&args.kind[..], &args.draw) {
        ([], None) => vec![default],
        (kinds, _) => kinds.to_vec(),
    }
}

/// A table with its name.
type Named = (Kind, Box<dyn Table>);

fn table(args: &Args, kind: Kind, network: &Network) -> Result<Named, Failure> {
    Ok((
        kind,
        match kind {
            Kind::Sparsity => Box::new(sparsity(network)),
            Kind::Compute => Box::new(computed(args, network)?),
            Kind::Model => Box::new(model(network)),
            Kind::Modules => Box::new(modules(network.graph()).map_err(bad)?),
            Kind::Integers => {
                return Err(bad(
                    "the network is in float: `integers` is a table of quantized networks",
                ));
            }
        },
    ))
}

/// The tables of a quantized network.
fn integers(args: &Args, quantized: &Quantized) -> Result<Vec<Named>, Failure> {
    if let Some(file) = &args.draw {
        draw(args, quantized.graph(), BTreeMap::new(), file)?;
    }
    let table = |&kind: &Kind| -> Result<Named, Failure> {
        Ok((
            kind,
            match kind {
                Kind::Integers => Box::new(calcine::run::integers(quantized)),
                Kind::Sparsity => Box::new(sparsity_of_integers(quantized)),
                Kind::Modules => Box::new(modules(quantized.graph()).map_err(bad)?),
                Kind::Compute | Kind::Model => {
                    return Err(bad(format!(
                        "a quantized network has no table `{kind}`: take integers, sparsity or modules"
                    )));
                }
            },
        ))
    };
    kinds(args, Kind::Integers).iter().map(table).collect()
}

fn computed(args: &Args, network: &Network) -> Result<ComputeTable, Failure> {
    let settings = ComputeSettings {
        batch: args.batch_size.unwrap_or(1),
        rows: if args.nodes {
            Rows::Nodes
        } else {
            Rows::Layers
        },
    };
    compute(network.graph(), network, &settings).map_err(bad)
}

fn text(args: &Args, loaded: &Loaded, tables: &[Named]) -> Result<String, Failure> {
    let joined = |text: fn(&dyn Table) -> String| {
        let texts = tables.iter().map(|(_, table)| text(&**table));
        let texts: Vec<String> = texts.map(|text| text.trim_end().to_owned()).collect();
        texts.join("\n\n")
    };
    Ok(match args.format() {
        Format::Table if tables.is_empty() => String::new(),
        Format::Table => {
            joined(|table| table.fitted(width())) + &recorded(loaded.network.metadata())
        }
        Format::Csv => joined(|table| table.to_csv()),
        Format::Markdown => joined(|table| table.sheet().to_markdown()),
        Format::Json if tables.is_empty() => String::new(),
        Format::Json => serde_json::to_string_pretty(&json(loaded, tables))
            .map_err(|error| Failure::new(format!("the tables cannot be written: {error}")))?,
    })
}

/// The metadata of the network, one line for each key. Texts of several lines are indented below their key.
fn recorded(metadata: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in metadata {
        match value.trim_end().contains('\n') {
            false => text.push_str(&format!("\n{key}: {value}")),
            true => {
                text.push_str(&format!("\n{key}:"));
                let lines = value.trim_end().lines();
                lines.for_each(|line| text.push_str(&format!("\n    {line}")));
            }
        }
    }
    text
}

/// The tables by their names, the name of the network, and its metadata.
fn json(loaded: &Loaded, tables: &[Named]) -> serde_json::Value {
    let tables = tables
        .iter()
        .map(|(kind, table)| (kind.to_string(), table.to_json()));
    let mut json: serde_json::Map<_, _> = tables.collect();
    json.insert("model".to_owned(), loaded.name.as_str().into());
    json.insert(
        "metadata".to_owned(),
        serde_json::json!(loaded.network.metadata()),
    );
    json.into()
}

/// Draws the network, with a note at each layer.
fn draw(
    args: &Args,
    graph: &Graph,
    notes: BTreeMap<String, String>,
    file: &Path,
) -> Result<(), Failure> {
    let drawing = Drawing {
        parameters: args.draw_parameters,
        notes,
        detail: match args.nodes {
            true => Detail::Operations,
            false => Detail::Layers,
        },
    };
    let drawn = match file.extension() {
        Some(end) if end == "dot" => drawing.dot(graph),
        _ => drawing.svg(graph),
    };
    write(file, &drawn.map_err(bad)?)
}

/// Writes a file, and prints a message.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    whole::write(file, text)?;
    stderr(&format!("wrote {}", file.display()));
    Ok(())
}

/// Parses the name of a drawing, for clap.
fn drawing(file: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(file);
    match file.extension().and_then(|end| end.to_str()) {
        Some("svg" | "dot") => Ok(file),
        _ => Err("expected a file that ends in .svg or .dot".to_owned()),
    }
}

/// The name that `--kind` uses.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn summary(flags: &[&str]) -> Result<(), Failure> {
        let line = Line::try_parse_from([&["summary"], flags].concat());
        run(&line.map_err(bad)?.args)
    }

    /// The text that the command writes to a file.
    fn written(flags: &[&str]) -> String {
        let directory = tempfile::tempdir().expect("there is a place for it");
        let file = directory.path().join("tables");
        let output = ["--out", file.to_str().expect("it is text")];
        let small = ["simplenet"];
        summary(&[&small, flags, &output].concat()).unwrap_or_else(|error| panic!("{error}"));
        std::fs::read_to_string(file).expect("it is written")
    }

    #[test]
    fn every_table_in_every_format() {
        let table = written(&[]);
        assert!(table.contains("651,720"), "{table}");
        let csv = written(&["--kind", "compute", "--format", "csv"]);
        assert!(
            csv.contains("\nconv1,Conv2d,\"k=(5, 5)\",1x3x32x32,3072,"),
            "{csv}"
        );
        let all = [
            "--kind", "model", "--kind", "modules", "--kind", "sparsity", "--kind", "compute",
        ];
        let json = written(&[&all[..], &["--format", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json["compute"]["macs"], 651_720);
        assert_eq!(json["model"], "simplenet");
        assert_eq!(json["sparsity"].as_array().map(Vec::len), Some(5));
        let markdown = written(&[&all[..], &["--format", "markdown"]].concat());
        let rules = markdown.lines().filter(|line| line.starts_with("|--"));
        assert_eq!(rules.count(), 4, "{markdown}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (flags, word) in [
            (
                &["--format", "csv", "--kind", "model", "--kind", "modules"][..],
                "one table",
            ),
            (&["--draw", "net.png"], ".svg or .dot"),
            (&["--batch", "0"], "at least 1"),
            (&["--draw", "net.svg", "--out", "x"], "--out has no effect"),
            (
                &["--draw", "net.svg", "--format", "json"],
                "--format has no effect",
            ),
            (&["--kind", "model", "--nodes"], "--nodes has no effect"),
            (
                &["--kind", "model", "--kind", "sparsity", "--batch", "2"],
                "--batch-size has no effect",
            ),
            (&["--weights", "default"], "no weights are shipped"),
            (&["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
            (&["--batch", "18446744073709551615"], "too large"),
        ] {
            let failure = summary(&[&["simplenet"], flags].concat()).expect_err(word);
            assert!(failure.to_string().contains(word), "{failure}");
            assert_eq!(failure.exit_code(), 2);
        }
    }

    #[test]
    fn networks_are_drawn() {
        let directory = tempfile::tempdir().expect("there is a place for it");
        for (name, start) in [("net.svg", "<svg"), ("net.dot", "digraph")] {
            let file = directory.path().join(name);
            let file = file.to_str().expect("it is text");
            summary(&["simplenet", "--nodes", "--draw", file, "--draw-parameters"])
                .unwrap_or_else(|error| panic!("{error}"));
            let drawn = std::fs::read_to_string(file).expect("it is written");
            assert!(drawn.starts_with(start), "{drawn}");
            assert!(drawn.contains("conv1"), "{drawn}");
        }
    }
}
