//! Find, name, read and safely edit the parameters of any Burn module.
//!
//! # Should I use this crate?
//!
//! Use it when you want "all convolution weights of stage three" of a model you do not own, or to
//! change stored weights of a model in training. Editing is where Burn bites: `param.map(|w| op(w))`
//! on a tracked parameter silently stops its training. [`edit`] does not.
//!
//! ```
//! use burn::module::ParamId;
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_params::{Edit, Inventory, edit};
//!
//! struct Halve(ParamId);
//!
//! impl Edit for Halve {
//!     fn wants(&self, id: ParamId) -> bool {
//!         id == self.0
//!     }
//!     fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
//!         value * 0.5
//!     }
//! }
//!
//! # fn main() -> Result<(), calcine_params::UnknownParameter> {
//! let layer: Linear = LinearConfig::new(4, 2).init(&Device::flex());
//! let weight = Inventory::of(&layer).select(&["weight"])?[0].clone();
//! let layer = edit(layer, &mut Halve(weight.id));
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! | item | what |
//! |---|---|
//! | [`Inventory`], [`Parameter`] | every float parameter of a module: path, layer, shape, role |
//! | [`Parameter::fold`], [`Groups`] | a parameter as rows of units, where what they depend on is known |
//! | [`Inventory::select`] | parameters by name and glob, with nearest matches on a miss |
//! | [`Inventory::norm_of`], [`Inventory::weight_of`], [`Norm`] | which batch norm follows which layer, where names and shapes leave no doubt |
//! | [`edit`], [`Edit`] | replace stored values and keep how they train |
//! | [`view`] | a clone whose forward pass sees other values; gradients reach the original |
//! | [`flat`], [`replace`] | values of chosen parameters, flattened, outside autodiff, and back |
//! | [`flat_gradients`], [`edit_gradients`] | the same for gradients |
//! | [`frozen`] | parameters that do not train |
//!
//! Names are Burn's paths (`layer1.0.conv1.weight`, `bn1.gamma`). Where they match nothing, PyTorch's
//! are tried: a norm's `weight` and `bias` for `gamma` and `beta`; then both without the component
//! `module` that data-parallel wrapping adds, in the pattern or in the model.

mod edit;
mod error;
#[cfg(feature = "gradients")]
mod frozen;
#[cfg(feature = "gradients")]
mod gradients;
mod groups;
mod inventory;
mod norm;
mod parameter;
mod read;
mod replace;
mod settings;
mod unknown;
mod walk;

pub use edit::{Edit, edit, view};
pub use error::UnitError;
#[cfg(feature = "gradients")]
pub use frozen::frozen;
#[cfg(feature = "gradients")]
pub use gradients::{edit_gradients, flat_gradients};
pub use groups::Groups;
pub use inventory::Inventory;
pub use norm::Norm;
pub use parameter::{Parameter, Role};
pub use read::flat;
pub use replace::replace;
pub use unknown::UnknownParameter;
