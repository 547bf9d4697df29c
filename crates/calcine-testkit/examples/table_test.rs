//! Shows how the report of a table test names the case that fails.
//!
//! ```text
//! cargo run -p calcine-testkit --example table_test
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::panic::catch_unwind;

use burn::tensor::Tensor;
use calcine_testkit::{device, each};

fn main() {
    let rows = [(-2.0f32, 2.0f32), (0.0, 0.0), (1.5, 1.4), (3.0, 3.0)];
    std::panic::set_hook(Box::new(|_| {})); // the report at the end says it all
    let outcome = catch_unwind(|| {
        each(rows, |(number, magnitude)| {
            let ours = Tensor::<1>::from_data([*number], &device()).abs();
            assert_eq!(ours.into_scalar::<f32>(), *magnitude);
        });
    });
    let said = outcome.expect_err("one row is wrong");
    println!("{}", said.downcast_ref::<String>().expect("a message"));
}
