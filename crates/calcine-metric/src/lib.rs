//! Named metrics with a direction and a unit, and what an evaluation found.
//!
//! # Should I use this crate?
//!
//! You meet its types through `calcine-train`, `calcine-sensitivity` and `calcine-quantize`, which re-export them. Use it
//! directly to compare evaluations in code that knows nothing of the task.
//!
//! | item | what |
//! |---|---|
//! | [`Metric`], [`Direction`] | the name of a metric, which values are better, and its unit |
//! | [`Evaluation`], [`MetricValue`] | the mean loss, the values of all metrics, and the number of samples |
//!
//! # Examples
//!
//! ```
//! use calcine_metric::{Evaluation, Metric};
//!
//! let rmse = Metric::lower("rmse", "");
//! let (small, large) = (Evaluation::new(0.04, 8).with("rmse", 0.2), Evaluation::new(0.09, 8).with("rmse", 0.3));
//! assert!(rmse.is_better(small.value("rmse"), large.value("rmse")));
//! ```

mod evaluation;
mod metric;

pub use evaluation::{Evaluation, MetricValue};
pub use metric::{Direction, Metric};
