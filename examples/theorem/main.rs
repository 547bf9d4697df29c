//! Thins two models that know nothing of Calcine, and checks that nothing changed but the size.
//!
//! `cargo run -p calcine-examples --bin theorem`
//!
//! What is checked of each: the thinned network computes what the masked one does; its multiply-accumulates
//! are those that the plan predicts; it is the same after saving and loading, and when the plan is carried out on
//! another copy; and thinning it again does nothing.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod encoder;
mod mobile;

use std::error::Error;

use burn::tensor::{Device, Tensor};
use calcine::criteria::Norm;
use calcine::graph::{Axes, Role, ThinningPlan, UnitId};
use calcine::thin::{ChannelSelection, PaddingEffect, apply, thin, zero_out_channels};
use calcine::trace::{AnyTensor, Network, NetworkTensor, Tensors};

/// How far the outputs may be apart.
const NEAR: f32 = 1e-5;

/// How units are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// All that makes them is zero: weights, biases, norms.
    Whole,
    /// Their weights are zero, as pruners of filters leave them. What biases and norms still say is made up for.
    Weights,
}

/// What was measured.
#[derive(Debug)]
struct Row {
    groups: usize,
    units: usize,
    macs: [u64; 3],
    parameters: [usize; 2],
    difference: f32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    println!(
        "model    mask     groups  units      MACs  predicted     after   params   after  difference"
    );
    for mask in [Mask::Whole, Mask::Weights] {
        let (network, images) = mobile::trained(&device)?;
        print("mobile", mask, &check(&network, &images, mask)?);
        let (network, words) = encoder::trained(&device)?;
        print("encoder", mask, &check(&network, &words, mask)?);
    }
    Ok(())
}

fn print(model: &str, mask: Mask, row: &Row) {
    let ([before, predicted, after], [parameters, left]) = (row.macs, row.parameters);
    let (groups, units, difference) = (row.groups, row.units, row.difference);
    println!(
        "{model:<8} {:<8} {groups:>6} {units:>6} {before:>9} {predicted:>10} {after:>9} {parameters:>8} \
         {left:>7}  {difference:.1e}",
        format!("{mask:?}").to_lowercase(),
    );
}

/// Masks half of every group, thins, and checks all that is claimed.
fn check<I: Tensors + Clone>(
    network: &Network,
    inputs: &I,
    mask: Mask,
) -> Result<Row, Box<dyn Error>> {
    let output = |network: &Network| network.forward::<I, Tensor<2>>(inputs.clone());
    let axes = network.graph().axes()?;
    let units = ChannelSelection::new(0.5).units(network, &axes, &Norm::L1, |_| true);
    let predicted = ThinningPlan::removing(&axes, units.iter().copied())?.apply(network.graph())?;
    let predicted = predicted.compute()?.macs;
    let masked = match mask {
        Mask::Whole => zero_out_channels(network.clone(), &axes, units.iter().copied())?,
        Mask::Weights => without_weights(network.clone(), &axes, &units)?,
    };
    let thinned = thin(masked.clone(), PaddingEffect::KeepBorder)?;
    let (before, after) = (output(&masked), output(&thinned.network));
    let samples = before.clone().narrow(0, 0, 2).chunk(2, 0);
    let apart = distance(samples[0].clone(), samples[1].clone());
    assert!(
        apart > 100.0 * NEAR,
        "the masked network tells no samples apart"
    );
    let difference = distance(before, after.clone());
    assert!(difference <= NEAR, "the outputs are {difference} apart");

    let size = &thinned.report;
    match mask {
        Mask::Whole => assert_eq!(size.after.macs, predicted, "{size}"),
        // What says a constant that nothing can be given in its place stays: heads with a bias.
        Mask::Weights => assert!(size.after.macs >= predicted, "{size}"),
    }
    assert!(size.after.macs < size.before.macs);

    let loaded = Network::from_bytes(&thinned.network.to_bytes()?, &Device::flex())?;
    assert_eq!(loaded.graph(), thinned.network.graph());
    assert_eq!(distance(output(&loaded), after.clone()), 0.0);
    if mask == Mask::Whole {
        let replayed = apply(masked, &thinned.plan)?;
        assert!(distance(output(&replayed), after.clone()) <= NEAR);
    }
    let again = thin(thinned.network.clone(), PaddingEffect::KeepBorder)?;
    assert!(again.plan.is_empty());
    assert_eq!(again.network.graph(), thinned.network.graph());
    assert_eq!(distance(output(&again.network), after), 0.0);

    Ok(Row {
        groups: axes.groups().len(),
        units: units.len(),
        macs: [size.before.macs, predicted, size.after.macs],
        parameters: [size.before.parameters, size.after.parameters],
        difference,
    })
}

/// Zeros the weights that make units, and nothing else.
fn without_weights(
    network: Network,
    axes: &Axes,
    units: &[UnitId],
) -> Result<Network, Box<dyn Error>> {
    let graph = network.graph().clone();
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| {
        let NetworkTensor::Parameter(path) = which else {
            return tensor;
        };
        let members = units.iter().flat_map(|id| {
            let group = &axes.groups()[id.group];
            group.members.iter().zip(&group.units[id.unit].indices)
        });
        let own = members.filter(|(member, _)| {
            member.path == path && matches!(member.role, Role::Output | Role::Channelwise)
        });
        own.fold(tensor, |tensor, (member, indices)| {
            let mut keep = vec![1.0_f32; tensor.shape()[member.axis]];
            indices.iter().for_each(|&index| keep[index] = 0.0);
            let keep = Tensor::from_floats(keep.as_slice(), &tensor.device());
            tensor.scaled(member.axis, keep)
        })
    };
    Ok(network.rewritten(graph, &mut change, Vec::new())?)
}

fn distance(a: Tensor<2>, b: Tensor<2>) -> f32 {
    (a - b).abs().max().into_scalar::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separable_network_is_thinned_without_a_change() {
        for mask in [Mask::Whole, Mask::Weights] {
            let (network, images) = mobile::trained(&Device::flex()).unwrap();
            check(&network, &images, mask).unwrap();
        }
    }

    #[test]
    fn the_encoder_is_thinned_without_a_change() {
        for mask in [Mask::Whole, Mask::Weights] {
            let (network, words) = encoder::trained(&Device::flex()).unwrap();
            check(&network, &words, mask).unwrap();
        }
    }
}
