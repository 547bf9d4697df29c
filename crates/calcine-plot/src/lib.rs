//! Draws line charts that stay readable with many series, as SVG and PNG.
//!
//! # Should I use this crate?
//!
//! Use it to draw between a few and two dozen measured lines that readers have to tell apart: a sensitivity scan of
//! every layer, or accuracy against sparsity for several criteria. Each line is labelled at its end, so there is no
//! legend, and the colours can be distinguished by colour-blind readers. It has no bar charts, no logarithmic axes and
//! no interaction; use a general plotting library for those.
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
//!  [`Chart`] | all lines in one plot, labelled at their ends |
//!  [`Panels`] | small multiples: one panel per line, with the other lines in grey behind it, and shared axes |
//!  [`Axis`], [`Series`], [`Marks`] | the parts of a chart |
//!  [`PlotError`] | why a chart cannot be drawn |
//!
//! A chart is first laid out as a list of shapes, which is then written as SVG or PNG, so both have the same layout.
//! Equal input gives equal bytes. A point that is not finite leaves a gap in its line, and a note below the chart
//! counts such points.

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
