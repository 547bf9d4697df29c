//! Whether a network computes what its model computes.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use calcine_graph::ElementKind;

use crate::error::TraceError;
use crate::network::Network;
use crate::record::attempt;
use crate::tensor::{AnyTensor, Tensors, with_rank};

/// How far outputs may be apart, as a share of the largest one: devices choose other kernels for other shapes.
const SHARE: f64 = 1e-3;

/// Computes the same with both and compares every output. Reads the device.
pub(crate) fn agree<M: Module, I: Tensors, O: Tensors>(
    network: &Network,
    model: &M,
    sample: Vec<AnyTensor>,
    forward: &impl Fn(&M, I) -> O,
) -> Result<(), TraceError> {
    let differs = |output, what| TraceError::SampleDiffers { output, what };
    let Some(inputs) = I::from_any(sample.clone()) else {
        return Err(TraceError::Sample {
            expected: I::expected(),
        });
    };
    let expected = attempt(|| forward(model, inputs).into_any())?;
    let found = network.valid().run(sample, &mut |_, tensor| tensor);
    let found = found.map_err(|error| differs(0, format!("is an error: {error}")))?;
    if found.len() != expected.len() {
        return Err(differs(
            0,
            format!("is one of {}, not of {}", found.len(), expected.len()),
        ));
    }
    for (output, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        if let Some(what) = difference(found, expected) {
            return Err(differs(output, what));
        }
    }
    Ok(())
}

/// In what the first differs from the second, if it does.
fn difference(found: AnyTensor, expected: AnyTensor) -> Option<String> {
    if (found.kind(), found.shape()) != (expected.kind(), expected.shape()) {
        let described = |tensor: &AnyTensor| format!("{:?} {:?}", tensor.kind(), tensor.shape());
        return Some(format!(
            "is {}, not {}",
            described(&found),
            described(&expected)
        ));
    }
    let (found, expected) = (numbers(found), numbers(expected));
    let finite = expected.iter().filter(|number| number.is_finite());
    let largest = finite.fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let near = |found: f64, expected: f64| {
        let both_nan = found.is_nan() && expected.is_nan();
        both_nan || found == expected || (found - expected).abs() <= SHARE * largest
    };
    let mut pairs = found.into_iter().zip(expected);
    let (found, expected) = pairs.find(|&(found, expected)| !near(found, expected))?;
    Some(format!("has {found} where the model has {expected}"))
}

fn numbers(tensor: AnyTensor) -> Vec<f64> {
    with_rank!(tensor.rank(), D => match tensor.kind() {
        ElementKind::Float => tensor.of::<D, burn::tensor::Float>().into_data().iter::<f64>().collect(),
        ElementKind::Int => tensor.of::<D, Int>().into_data().iter::<f64>().collect(),
        ElementKind::Bool => {
            let tensor: Tensor<D, burn::tensor::Bool> = tensor.of();
            tensor.into_data().iter::<bool>().map(|b| f64::from(u8::from(b))).collect()
        }
    })
}
