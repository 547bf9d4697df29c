//! Compares two evaluations of a regressor, for which a lower error is better.

use calcine_metric::{Evaluation, Metric};

#[allow(clippy::print_stdout, reason = "an example shows its result")]
fn main() {
    let rmse = Metric::lower("rmse", "");
    let before = Evaluation::new(0.04, 512).with_metric("rmse", 0.2);
    let after = Evaluation::new(0.05, 512).with_metric("rmse", 0.22);
    let better = rmse.is_better(before.value("rmse"), after.value("rmse"));
    println!("{before}\n{after}\nthe first is better: {better}");
}
