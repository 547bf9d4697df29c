//! When something happens in a training run, and how strongly: windows, curves and learning-rate schedules, as plain
//! arithmetic without tensors.
//!
//! # Should I use this crate?
//!
//! Use it in your own training loop for an automated-gradual-pruning ramp, for "from epoch 10 to epoch 40, every second
//! epoch", or for a learning-rate schedule that can be saved in a checkpoint. It does not depend on a framework: every
//! schedule is a function from a position to a number, and you decide what the number is applied to. If you want to
//! describe whole training runs in a file, use `calcine-recipe`, which builds on this crate.
//!
//! # Contents
//!
//!  type | what it is |
//! |---|---|
//!  [`Clock`] | the position of a run: epoch, step within the epoch, fractional epochs |
//!  [`Window`] | the moments at which a policy acts, and its progress |
//!  [`Curve`] | a value as a function of progress, a number in `[0, 1]` |
//!  [`Constant`], [`Linear`], [`Cubic`], [`Cosine`], [`Exponential`], [`Steps`] | the usual curves; closures are curves, too |
//!  [`TwoSlopes`] | the threshold ramp for recurrent networks |
//!  [`LearningRate`] | the multiple of the base learning rate at a position in epochs |
//! | [`rate::Constant`], [`rate::Step`], [`rate::MultiStep`], [`rate::MultiStepMultiGamma`], [`rate::Exponential`], [`rate::Cosine`], [`rate::CosineRestarts`], [`rate::Polynomial`], [`rate::OneCycle`] | schedules fixed in advance; closures are schedules too |
//!  [`rate::Plateau`] | a schedule that depends on a validation metric |
//!  [`rate::WarmUp`], [`rate::PerEpoch`], pairs `(a, b)` | schedules that are combined with others |
//!  [`WindowError`], [`CurveError`], [`RateError`], [`StateError`] | what is wrong, and what would be valid |
//!
//! Some schedules and curves have the same name in different modules: [`curve::Cosine`] (also [`Cosine`]) maps progress
//! to a value, and [`rate::Cosine`] maps epochs to a multiple of the base learning rate.
//!
//! The unit of a window (epochs or steps) is chosen by the caller. The position of a learning-rate schedule is always
//! in epochs, and may be fractional.
//!
//! # Examples
//!
//! A pruning ramp: the window gives the progress, and the curve gives the sparsity.
//!
//! ```
//! use calcine_schedule::{Cubic, Curve, Window};
//!
//! let window = Window::new(0, 30, 2)?;
//! let ramp = Cubic { initial: 0.1, last: 0.5 };
//! let sparsity: Vec<f64> = window.firings().map(|t| ramp.value_at(window.progress(t))).collect();
//!
//! assert_eq!(sparsity.len(), 15);
//! assert_eq!(format!("{:.4}", sparsity[1]), "0.1797");
//! assert_eq!(sparsity[14], 0.5);
//! # Ok::<(), calcine_schedule::WindowError>(())
//! ```
//!
//! A learning rate, computed in every step.
//!
//! ```
//! use calcine_schedule::{Clock, LearningRate, rate};
//!
//! let schedule = (rate::WarmUp::new(1.0)?, rate::MultiStep::new([2, 3], 0.1)?);
//! let mut clock = Clock::new(100);
//! let mut rates = Vec::new();
//! while clock.epoch < 4 {
//!     rates.push(0.4 * schedule.factor(clock.epochs()));
//!     clock.tick();
//! }
//! assert_eq!(rates[50], 0.2); // half of the warm-up
//! assert_eq!(rates[199], 0.4);
//! assert!((rates[200] - 0.04).abs() < 1e-12);
//! # Ok::<(), calcine_schedule::RateError>(())
//! ```
//!
//! # Features
//!
//! * `serde`: `Serialize` and `Deserialize` for [`Clock`], [`Window`] and the curves. Deserialized values are checked
//!   in the same way as by the constructors.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod curve;
pub mod rate;

mod clock;
mod error;
mod window;

pub use clock::Clock;
pub use curve::{Constant, Cosine, Cubic, Curve, Exponential, Linear, Steps, TwoSlopes};
pub use error::{CurveError, RateError, StateError, WindowError};
pub use rate::LearningRate;
pub use window::{Firings, Window};
