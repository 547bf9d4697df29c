//! What Calcine's tests share: the device under test, small models, table tests and golden vectors.
//!
//! # Should I use this crate?
//!
//! Only as a dev-dependency inside this workspace.
//!
//! | item | what |
//! |---|---|
//! | [`device`] | the device under test: flex, or what `CALCINE_DEVICE` names |
//! | [`is_reference`] | whether it is flex, where results are exact and repeatable |
//! | [`is_host`] | whether it computes in host memory: flex or ndarray |
//! | [`rounds`] | how many rounds of a property it is given |
//! | [`device_reads`] | how often something read a float tensor from a GPU |
//! | [`each`] | runs every row of a table and names the rows that failed |
//! | [`golden`] | Distiller's recorded numbers, in `golden/` of this crate or in `CALCINE_GOLDEN` |
//! | [`values`], [`numbers`] | reproducible numbers without a generator |
//! | [`Mlp`], [`ConvNet`] | models small enough for a test |
//! | [`rows()`], [`Row`] | the parameters of a module as rows of a table |
//! | [`networks`] | small models with the parts of real networks: residual blocks, attention, tied layers |

mod device;
mod each;
pub mod golden;
mod models;
pub mod networks;
mod reads;
mod rows;
mod values;

pub use device::{device, is_host, is_reference, rounds};
pub use each::each;
pub use models::{ConvNet, Mlp};
pub use reads::device_reads;
pub use rows::{Row, rows};
pub use values::{numbers, values};
