//! Ramps as published, to four digits (Distiller's documented schedules).

use calcine_schedule::{Cubic, Curve, Window};

struct Row {
    initial: f64,
    last: f64,
    start: u64,
    end: u64,
    every: u64,
    sparsities: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        initial: 0.10,
        last: 0.50,
        start: 0,
        end: 30,
        every: 2,
        sparsities: "0.1000 0.1797 0.2481 0.3060 0.3542 0.3937 0.4254 0.4500 0.4685 0.4818 0.4907 \
                     0.4961 0.4988 0.4999 0.5000",
    },
    Row {
        initial: 0.05,
        last: 0.70,
        start: 30,
        end: 50,
        every: 2,
        sparsities: "0.0500 0.2435 0.3942 0.5074 0.5885 0.6429 0.6759 0.6929 0.6991 0.7000",
    },
    Row {
        initial: 0.00,
        last: 0.80,
        start: 0,
        end: 10,
        every: 1,
        sparsities: "0.0000 0.2381 0.4236 0.5630 0.6628 0.7298 0.7704 0.7912 0.7989 0.8000",
    },
    Row {
        initial: 0.15,
        last: 0.85,
        start: 22,
        end: 60,
        every: 3,
        sparsities: "0.1500 0.3108 0.4449 0.5547 0.6426 0.7111 0.7625 0.7994 0.8241 0.8391 0.8468 \
                     0.8496 0.8500",
    },
];

#[test]
fn cubic_ramps_have_the_published_values() {
    for Row {
        initial,
        last,
        start,
        end,
        every,
        sparsities,
    } in ROWS
    {
        let window = Window::new(start, end, every).unwrap();
        let ramp = Cubic::agp(initial, last).unwrap();
        let values = window
            .firings()
            .map(|t| format!("{:.4}", ramp.value_at(window.progress(t))));
        let values: Vec<String> = values.collect();
        assert_eq!(
            values.join(" "),
            sparsities,
            "{initial} to {last} over {window}"
        );
    }
}
