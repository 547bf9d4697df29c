//! Elementary functions, rows and matrix products, on each instruction set that this CPU has.

use calcine_kernels::{
    Buffer, Isa, MatrixSums, functions, layer_norm_rows, log_softmax_rows, look_up,
    multiply_matrices, pack_matrix, packed_matrix_len, softmax_rows, sum_rows,
};

use crate::{Numbers, available};

/// The distance to a number in units of the last place of its nearest float.
#[allow(clippy::cast_possible_truncation, reason = "rounded to f32")]
fn ulps(found: f32, expected: f64) -> f64 {
    let near = (expected as f32).abs().max(f32::MIN_POSITIVE);
    let unit = f64::from(near.next_up()) - f64::from(near);
    (f64::from(found) - expected).abs() / unit
}

#[test]
fn functions_are_as_close_as_they_say() {
    type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);
    let cases: [Case; 4] = [
        ("exp", functions::exp, f64::exp, 2.0),
        (
            "sigmoid",
            functions::sigmoid,
            |x| 1.0 / (1.0 + (-x).exp()),
            4.0,
        ),
        ("tanh", functions::tanh, f64::tanh, 4.0),
        ("erf", functions::erf, libm::erf, 4.0),
    ];
    for (name, function, exact, allowed) in cases {
        for at in 0..400_000_u32 {
            // All exponents from 2⁻³⁰ to 2⁷, both signs.
            let magnitude = f32::from_bits((97 << 23) + at * 760 + at % 7);
            for x in [magnitude, -magnitude] {
                let (found, exact) = (function(x), exact(f64::from(x)));
                if exact > f64::from(f32::MAX) {
                    assert!(found > 3.4e38, "{name}({x}) = {found}");
                } else {
                    assert!(
                        ulps(found, exact) <= allowed,
                        "{name}({x}) = {found}, not {exact}"
                    );
                }
            }
        }
        for (x, expected) in [
            (f32::INFINITY, exact(f64::INFINITY)),
            (f32::NEG_INFINITY, exact(f64::NEG_INFINITY)),
        ] {
            assert_eq!(f64::from(function(x)), expected, "{name}({x})");
        }
        assert!(function(f32::NAN).is_nan(), "{name} of NaN");
        assert_eq!(f64::from(function(0.0)), exact(0.0), "{name}(0)");
    }
    for x in [-3.0, -0.7, 0.0, 0.1, 2.5, 40.0_f32] {
        let exact = f64::from(x) / 2.0 * (1.0 + libm::erf(f64::from(x) / 2.0_f64.sqrt()));
        assert!(
            (f64::from(functions::gelu(x)) - exact).abs() <= 1e-6,
            "gelu({x})"
        );
    }
}

#[test]
fn rows_are_the_same_on_every_instruction_set_and_close_to_exact() {
    let mut numbers = Numbers(7);
    for length in [1, 2, 7, 16, 17, 31, 64, 100] {
        let x: Vec<f32> = (0..3 * length).map(|_| 4.0 * numbers.float()).collect();
        let [gamma, beta]: [Vec<f32>; 2] =
            [(); 2].map(|()| (0..length).map(|_| numbers.float()).collect());
        type Rows<'a> = (
            &'static str,
            Box<dyn Fn(Isa, &mut [f32]) + 'a>,
            Box<dyn Fn(&[f64]) -> Vec<f64> + 'a>,
        );
        let cases: [Rows<'_>; 4] = [
            (
                "softmax",
                Box::new(|isa, y| softmax_rows(isa, length, &x, y)),
                Box::new(|x| {
                    let sum: f64 = x.iter().map(|x| x.exp()).sum();
                    x.iter().map(|x| x.exp() / sum).collect()
                }),
            ),
            (
                "log_softmax",
                Box::new(|isa, y| log_softmax_rows(isa, length, &x, y)),
                Box::new(|x| {
                    let sum: f64 = x.iter().map(|x| x.exp()).sum();
                    x.iter().map(|x| x - sum.ln()).collect()
                }),
            ),
            (
                "layer_norm",
                Box::new(|isa, y| layer_norm_rows(isa, &gamma, &beta, 1e-5, &x, y)),
                Box::new(|x| {
                    let count = x.len() as f64;
                    let mean = x.iter().sum::<f64>() / count;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                    let normal = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
                    let affine = normal.zip(gamma.iter().zip(&beta));
                    affine
                        .map(|(x, (g, b))| x * f64::from(*g) + f64::from(*b))
                        .collect()
                }),
            ),
            (
                "sum",
                Box::new(|isa, y| sum_rows(isa, length, &x, &mut y[..3])),
                Box::new(|x| vec![x.iter().sum()]),
            ),
        ];
        for (name, run, exact) in cases {
            let exact: Vec<f64> = x
                .chunks(length)
                .flat_map(|row| exact(&row.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>()))
                .collect();
            let all: Vec<Vec<f32>> = available()
                .into_iter()
                .map(|isa| {
                    let mut y = vec![0.0; x.len()];
                    run(isa, &mut y);
                    y
                })
                .collect();
            for y in &all {
                assert_eq!(y, &all[0], "{name} of {length}");
                for (found, exact) in y.iter().zip(&exact) {
                    let off = (f64::from(*found) - exact).abs();
                    assert!(
                        off <= 4e-6 * exact.abs().max(1.0),
                        "{name} of {length}: {found}, not {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn matrices_of_whole_numbers_have_exact_products() {
    let mut numbers = Numbers(3);
    for [rows, inner, columns] in [
        [1, 1, 1],
        [3, 5, 7],
        [17, 16, 17],
        [16, 300, 33],
        [40, 64, 130],
        [2, 0, 3],
    ] {
        let mut whole = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| f32::from(numbers.byte()) - f32::from(numbers.byte()))
                .collect()
        };
        let (a, b) = (whole(rows * inner), whole(inner * columns));
        let mut packed = Buffer::zeros(4 * packed_matrix_len(inner, columns));
        pack_matrix(inner, columns, &b, packed.floats_mut());
        for isa in available() {
            for part in [1, 7, 256] {
                let mut y = vec![f32::NAN; rows * columns];
                let sums = MatrixSums::Whole { part };
                multiply_matrices(
                    isa,
                    [rows, inner, columns],
                    sums,
                    &a,
                    packed.floats(),
                    &mut y,
                );
                for (at, found) in y.iter().enumerate() {
                    let products = (0..inner).map(|k| {
                        f64::from(a[at / columns * inner + k])
                            * f64::from(b[k * columns + at % columns])
                    });
                    #[allow(clippy::cast_possible_truncation, reason = "rounded once")]
                    let expected = products.sum::<f64>() as f32;
                    assert_eq!(
                        *found, expected,
                        "{isa}, {rows} × {inner} × {columns}, {part}"
                    );
                }
            }
            let mut y = vec![f32::NAN; rows * columns];
            let sizes = [rows, inner, columns];
            multiply_matrices(isa, sizes, MatrixSums::Floats, &a, packed.floats(), &mut y);
            for (at, found) in y.iter().enumerate() {
                let products = (0..inner).map(|k| {
                    f64::from(a[at / columns * inner + k])
                        * f64::from(b[k * columns + at % columns])
                });
                let expected = products.sum::<f64>();
                assert!(
                    (f64::from(*found) - expected).abs() <= 4e-6 * 65_025.0 * inner as f64,
                    "{isa}"
                );
            }
        }
    }
}

#[test]
fn every_integer_is_looked_up() {
    let mut numbers = Numbers(5);
    let table: [u8; 256] = std::array::from_fn(|_| numbers.byte());
    let x: Vec<u8> = (0..=255).chain(numbers.bytes(77)).collect();
    for isa in available() {
        for length in [0, 1, 63, 64, 300, x.len()] {
            let mut y = vec![9; length + 1];
            look_up(isa, &table, &x[..length], &mut y);
            let expected = x[..length].iter().map(|x| table[usize::from(*x)]);
            assert_eq!(
                y,
                expected.chain([9]).collect::<Vec<_>>(),
                "{isa}, {length}"
            );
        }
    }
}
