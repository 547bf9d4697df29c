//! Prints the ramp of automated gradual pruning from 10 % to 50 % over thirty epochs, every second
//! one, beside the other curves.
//!
//! ```text
//! cargo run -p calcine-schedule --example agp_ramp
//! ```
#![allow(clippy::print_stdout, reason = "the table is what the example is for")]

use calcine_schedule::{Cosine, Cubic, Curve, Exponential, Linear, Steps, Window, WindowError};

fn main() -> Result<(), WindowError> {
    let window = Window::new(0, 30, 2)?;
    let (initial, last) = (0.1, 0.5);
    let curves: [(&str, Box<dyn Curve>); 6] = [
        ("cubic (AGP)", Box::new(Cubic { initial, last })),
        ("linear", Box::new(Linear { initial, last })),
        ("cosine", Box::new(Cosine { initial, last })),
        ("exponential", Box::new(Exponential { initial, last })),
        ("steps", Box::new(Steps::even(initial, [0.3, last]))),
        (
            "closure",
            Box::new(|progress: f64| initial + (last - initial) * progress.sqrt()),
        ),
    ];

    println!("sparsity over {window}\n");
    print!("epoch  progress");
    for (name, _) in &curves {
        print!("  {name:>11}");
    }
    println!();
    for epoch in window.firings() {
        let progress = window.progress(epoch);
        print!("{epoch:>5}  {progress:>8.4}");
        for (_, curve) in &curves {
            print!("  {:>11.4}", curve.value_at(progress));
        }
        println!();
    }
    Ok(())
}
