//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod bytes;
mod combining;
mod forward;
mod training;

use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use calcine_mask::Masks;
use calcine_params::Inventory;
use calcine_testkit::device;

/// Masks that keep the elements `i` of each of these parameters for which `keep(i)`.
fn masks<M: Module>(model: &M, paths: &[&str], keep: impl Fn(usize) -> bool) -> Masks {
    let inventory = Inventory::from_module(model);
    let mut masks = Masks::default();
    for path in paths {
        let parameter = inventory.get(path).unwrap();
        let decision: Vec<bool> = (0..parameter.numel()).map(&keep).collect();
        masks.insert(
            parameter,
            Tensor::<1, Bool>::from_bool(decision.as_slice(), &device()),
        );
    }
    masks
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn bools<const D: usize>(tensor: Tensor<D, Bool>) -> Vec<bool> {
    tensor.into_data().iter::<bool>().collect()
}
