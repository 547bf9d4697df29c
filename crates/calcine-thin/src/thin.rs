use std::collections::HashSet;

use calcine_graph::{Axes, Cut, Graph, Op, Source, ThinningPlan};
use calcine_trace::{AnyTensor, Network};

use crate::carry::{Shifts, carry};
use crate::error::ThinError;
use crate::host::Host;
use crate::kept::kept;
use crate::measure::{difference, narrowed};
use crate::options::{PaddingEffect, ThinOptions};
use crate::report::{ConstantTarget, FoldedConstants, NetworkSize, Removed, ThinningReport};
use crate::survey::{Survey, survey};

/// A thinned network.
#[derive(Debug, Clone)]
pub struct Thinned {
    /// The thinned network.
    pub network: Network,
    /// The plan of what was removed, which [`apply`](crate::apply) can repeat.
    pub plan: ThinningPlan,
    /// The report.
    pub report: ThinningReport,
}

/// Removes every channel, filter and neuron on which the outputs of a network do not depend.
///
/// A unit is removed, with everything that is cut along with it (see [`Axes`]), if each layer that reads it has only
/// zero weights for it, or if it has the same value for every input, as with filters without weights, or scales of
/// zero. That value is added to the biases of the layers that read the unit, to the running means of the batch norms
/// behind them, or as a new bias. In inference, the thinned network computes the same as the original, except at
/// borders of padded convolutions where the report says so. Outputs of weights that are zero and cannot be removed are
/// listed in the report, each with the node that needs it.
///
/// Only zeros count: apply masks before thinning. All parameters are read from the device, once in each round.
///
/// # Errors
///
/// If the graph of the network cannot be analysed.
pub fn thin(network: Network, padding_effect: PaddingEffect) -> Result<Thinned, ThinError> {
    let options = ThinOptions {
        padding_effect,
        ..ThinOptions::default()
    };
    thin_with(network, options, &[])
}

/// Like [`thin`], optionally with features of norms, and with a measured difference.
///
/// The network is executed before and after on each of the `inputs`, which are the inputs of one pass each; the report
/// contains the difference of the outputs. The outputs are read from the device.
///
/// # Errors
///
/// If the graph of the network cannot be analysed, or the inputs do not fit the network.
pub fn thin_with(
    network: Network,
    options: ThinOptions,
    inputs: &[Vec<AnyTensor>],
) -> Result<Thinned, ThinError> {
    let mut report = ThinningReport {
        before: size(network.graph())?,
        ..ThinningReport::default()
    };
    let mut plan = ThinningPlan::default();
    let whole = network.clone();
    let mut network = network;
    let parameters = network.graph().parameters();
    let full: HashSet<String> = parameters.map(|(_, value)| value.name.clone()).collect();
    loop {
        let axes = network.graph().axes_with(options.norm_features)?;
        let host = Host::new(&network);
        let survey = survey(network.graph(), &axes, &host, options);
        if survey.dead.is_empty() {
            report.kept = kept(network.graph(), &axes, &host, &survey);
            break;
        }
        for (position, group) in axes.groups().iter().enumerate() {
            let dead = survey
                .dead
                .iter()
                .filter(|unit| unit.group == position)
                .count();
            if dead > 0 {
                let (path, axis) = group.name();
                report.remove(Removed {
                    parameter: path.to_owned(),
                    axis,
                    units: group.units.len(),
                    removed: dead,
                });
            }
        }
        let shifts = made_up(network.graph(), &axes, &survey, &mut report);
        let step = ThinningPlan::removing(&axes, survey.dead)?;
        network = carry(network, &step, &shifts)?;
        // Biases that thinning added do not exist in the network on which the plan is replayed.
        let cuts = step.steps().iter().map(|cuts| -> Vec<Cut> {
            let cuts = cuts.iter().filter(|cut| full.contains(&cut.parameter));
            cuts.cloned().collect()
        });
        plan = plan.then(ThinningPlan::try_from(cuts.collect::<Vec<_>>())?)?;
    }
    report.after = size(network.graph())?;
    report.norms = narrowed(whole.graph(), network.graph());
    report.difference = difference(&whole, &network, inputs)?;
    Ok(Thinned {
        network,
        plan,
        report,
    })
}

fn size(graph: &Graph) -> Result<NetworkSize, ThinError> {
    Ok(NetworkSize {
        parameters: graph.parameters().map(|(_, value)| value.numel_at(1)).sum(),
        macs: graph.compute()?.macs,
    })
}

/// Determines where each loss is compensated.
fn made_up(graph: &Graph, axes: &Axes, survey: &Survey, report: &mut ThinningReport) -> Shifts {
    let mut shifts = Shifts::default();
    for (&position, loss) in &survey.losses {
        let into = place(graph, position);
        match &into {
            ConstantTarget::Bias(path) => add(&mut shifts, path, loss.outputs.iter().copied()),
            // The norm subtracts the removed constant.
            ConstantTarget::Mean(path) => {
                add(&mut shifts, path, loss.outputs.iter().map(|lost| -lost));
            }
            ConstantTarget::NewBias => {
                let output = graph.nodes[position].output;
                let axis = match graph.nodes[position].op == Op::Linear {
                    true => graph.value(output).shape.len() - 1,
                    false => 1,
                };
                let stays = |index: usize| {
                    let unit = axes.unit_at(output, axis, index);
                    unit.is_none_or(|unit| !survey.dead.contains(&unit))
                };
                let outputs = loss.outputs.iter().enumerate();
                let kept = outputs.filter(|(index, _)| stays(*index));
                let kept = kept.map(|(_, lost)| *lost).collect();
                shifts.added.push((position, kept));
            }
        }
        report.folded.push(FoldedConstants {
            layer: graph.nodes[position].name.clone(),
            channels: loss.channels,
            into,
            border_error: loss.border.iter().copied().fold(0.0, f64::max),
        });
    }
    shifts
}

fn add(shifts: &mut Shifts, path: &str, by: impl Iterator<Item = f64>) {
    let total = shifts.existing.entry(path.to_owned()).or_default();
    for (index, by) in by.enumerate() {
        match total.get_mut(index) {
            Some(total) => *total += by,
            None => total.push(by),
        }
    }
}

/// The bias of the layer; or the running mean of the batch norm that is its only reader; or a new bias.
fn place(graph: &Graph, position: usize) -> ConstantTarget {
    let node = &graph.nodes[position];
    if let Some(bias) = node.inputs.get(2) {
        return ConstantTarget::Bias(graph.value(*bias).name.clone());
    }
    let mut readers = graph.consumers(node.output);
    if let (Some(norm), None) = (readers.next(), readers.next())
        && matches!(norm.op, Op::BatchNorm { .. })
        // The norm is over axis 1, which contains the outputs of a linear layer only if there is no other axis.
        && (node.op != Op::Linear || graph.value(node.output).shape.len() == 2)
        && graph.value(norm.inputs[3]).source == Source::Parameter
        && !graph.outputs.contains(&node.output)
    {
        let mean = norm.inputs[3];
        let owners = graph.consumers(mean).count();
        if owners == 1 {
            return ConstantTarget::Mean(graph.value(mean).name.clone());
        }
    }
    ConstantTarget::NewBias
}
