//! Find, name, read and safely edit the parameters of any Burn module.
//!
//! # Should I use this crate?
//!
//! Use it to select, for example, "all convolution weights of stage three" of any model, or to change stored weights of a model during
//! training. In Burn, `param.map(|w| op(w))` on a tracked parameter silently stops its training; [`edit`] does not.
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
//! let weight = Inventory::from_module(&layer).select(&["weight"])?[0].clone();
//! let layer = edit(layer, &mut Halve(weight.id));
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! | item | what |
//! |---|---|
//! | [`Inventory`], [`Parameter`] | every float parameter of a module: path, layer, shape, role |
//! | [`Parameter::fold`], [`Groups`] | a parameter as rows of units |
//! | [`Inventory::tell_groups`], [`tell_groups`] | the groups of a convolution, from a graph, or by the module itself |
//! | [`Inventory::select`] | selects parameters by name or glob pattern; errors list the nearest names |
//! | [`Inventory::norm_of`], [`Inventory::weight_of`], [`Norm`] | which batch norm follows which layer, if names and shapes identify it unambiguously |
//! | [`edit`], [`Edit`] | replaces stored values; the parameters remain trainable |
//! | [`view`] | a copy with different values for one forward pass; gradients reach the original |
//! | [`flat`], [`replace`] | flattened values of parameters without autodiff, and their replacement |
//! | [`flat_gradients`], [`edit_gradients`] | the same for gradients |
//! | [`frozen`] | parameters that are not trained |
//! | [`set_flags`] | switches what layers do in training |
//!
//! Names are Burn's paths (`layer1.0.conv1.weight`, `bn1.gamma`). If a pattern matches none of them, PyTorch's names are tried (`weight`
//! and `bias` of a norm for `gamma` and `beta`), and then both without the component `module` that data-parallel wrapping adds, in
//! the pattern or in the model.

mod edit;
mod error;
mod flags;
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
mod told;
mod unknown;
mod walk;

pub use edit::{Edit, edit, view};
pub use error::UnitError;
pub use flags::set_flags;
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
pub use told::{tell_aliases, tell_groups};
pub use unknown::UnknownParameter;
