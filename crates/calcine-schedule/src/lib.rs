//! When something happens in a training run, and how strongly: windows, curves and learning-rate
//! schedules, as plain arithmetic without tensors.
//!
//! # Should I use this crate?
//!
//! Yes, if you write a training loop and want an automated-gradual-pruning ramp, a "from epoch 10
//! to epoch 40, every second one", or a learning-rate schedule that a checkpoint can save. It
//! depends on no framework: every schedule is a function from a position to a number, and you
//! decide what the number is applied to. If you want whole training runs described in a file, use
//! `calcine-recipe`, which builds on this crate.
//!
//! # The parts
//!
//! | type | answers |
//! |---|---|
//! | [`Clock`] | where is the run: epoch, step within the epoch, fractional epochs |
//! | [`Window`] | does a policy act now, and how far has it come |
//! | [`Curve`] | how strongly at this progress, a number from `[0, 1]` |
//! | [`Constant`], [`Linear`], [`Cubic`], [`Cosine`], [`Exponential`], [`Steps`] | the usual curves; closures are curves too |
//! | [`TwoSlopes`] | the threshold ramp of recurrent networks |
//! | [`LearningRate`] | which multiple of the base rate at this position in epochs |
//! | [`rate::Constant`], [`rate::Step`], [`rate::MultiStep`], [`rate::MultiStepMultiGamma`], [`rate::Exponential`], [`rate::Cosine`], [`rate::CosineRestarts`], [`rate::Polynomial`], [`rate::OneCycle`] | schedules fixed in advance; closures are schedules too |
//! | [`rate::Plateau`] | the schedule that observes a validation metric |
//! | [`rate::WarmUp`], [`rate::PerEpoch`], pairs `(a, b)` | schedules made of schedules |
//! | [`WindowError`], [`CurveError`], [`RateError`], [`StateError`] | what was wrong, with the numbers and what would be valid |
//!
//! Schedules and curves that share a name are told apart by their module: [`curve::Cosine`] (also
//! [`Cosine`]) maps progress to a value, [`rate::Cosine`] maps epochs to a multiple of the base
//! rate.
//!
//! A window counts in whatever unit its caller counts in, epochs or steps. Positions given to a
//! learning-rate schedule are always epochs, and may be fractional.
//!
//! # Examples
//!
//! A pruning ramp: window, then progress, then amount.
//!
//! ```
//! use calcine_schedule::{Cubic, Curve, Window};
//!
//! let window = Window::new(0, 30, 2)?;
//! let ramp = Cubic { initial: 0.1, last: 0.5 };
//! let sparsity: Vec<f64> = window.firings().map(|t| ramp.at(window.progress(t))).collect();
//!
//! assert_eq!(sparsity.len(), 15);
//! assert_eq!(format!("{:.4}", sparsity[1]), "0.1797");
//! assert_eq!(sparsity[14], 0.5);
//! # Ok::<(), calcine_schedule::WindowError>(())
//! ```
//!
//! A learning rate, asked once a step.
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
//! * `serde`: `Serialize` and `Deserialize` for [`Clock`], [`Window`] and the curves. What is read is
//!   checked as the constructors check it.

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
