//! Line charts of compression runs, readable with many series, as SVG and PNG.
//!
//! # Should I use this crate?
//!
//! Use it to show a handful of measured lines, or two dozen, to people who have to tell them apart: a
//! sensitivity scan of every layer, top-1 against sparsity for several criteria. Lines are labelled where
//! they end, in colours that colour-blind readers can tell apart; there is no legend to look up. It has
//! no bars, no logarithms and no interaction: for anything else take a plotting library.
//!
//! ```
//! use calcine_plot::{Axis, Chart, Marks};
//!
//! # fn main() -> Result<(), calcine_plot::PlotError> {
//! let chart = Chart::new("Top-1 against sparsity", Axis::new("sparsity", "%"), Axis::new("top-1", "%"))
//!     .with_series("magnitude", [(0.0, 91.7), (50.0, 91.5), (80.0, 90.2)])
//!     .with_series("random", [(0.0, 91.7), (50.0, 84.0), (80.0, 61.3)])
//!     .with_marks(Marks::LinesAndPoints);
//! assert!(chart.to_svg()?.starts_with("<svg"));
//! assert!(chart.to_png()?.starts_with(b"\x89PNG"));
//! # Ok(())
//! # }
//! ```
//!
//! | item | what |
//! |---|---|
//! | [`Chart`] | all lines over one pair of axes, labelled at their ends |
//! | [`Panels`] | small multiples: a panel a line, the others in grey behind it, axes shared |
//! | [`Axis`], [`Series`], [`Marks`] | what they are made of |
//! | [`PlotError`] | what cannot be drawn |
//!
//! Both are laid out once, as a list of shapes, and then painted as SVG or PNG, so the two agree. Equal
//! input gives equal bytes. A point that is not finite leaves a gap in its line, and a note beneath the
//! chart says how many there are.

mod axis;
mod chart;
mod error;
mod paint;
mod palette;
mod panels;
mod scene;
mod spread;
mod text;

pub use axis::Axis;
pub use chart::{Chart, Marks, Series};
pub use error::PlotError;
pub use panels::Panels;
