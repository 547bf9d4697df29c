//! Named metrics with a direction and a unit, and the results of an evaluation.
//!
//! # Should I use this crate?
//!
//! `calcine-train`, `calcine-sensitivity` and `calcine-quantize` re-export its types. Use it directly to compare evaluations
//! in code that does not depend on the task.
//!
//! | item | what it is |
//! |---|---|
//! | [`Metric`], [`Direction`] | the name of a metric, which values are better, and its unit |
//! | [`Evaluation`], [`MetricValue`] | the results: the mean loss, the values of all metrics, and the number of samples |
//! | [`label`] | the name of a metric for people |
//!
//! # Examples
//!
//! ```
//! use calcine_metric::{Evaluation, Metric};
//!
//! let rmse = Metric::lower("rmse", "");
//! let (small, large) = (Evaluation::new(0.04, 8).with_metric("rmse", 0.2), Evaluation::new(0.09, 8).with_metric("rmse", 0.3));
//! assert!(rmse.is_better(small.value("rmse"), large.value("rmse")));
//! ```

mod evaluation;
mod metric;

pub use evaluation::{Evaluation, MetricValue};
pub use metric::{Direction, Metric, label};
