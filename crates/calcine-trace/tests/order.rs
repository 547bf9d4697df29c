//! Elements in order: equal ones by their position, what is not a number as the largest, and gradients.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use calcine_testkit::{device, each, is_host};
use calcine_trace::{AnyTensor, Network, trace};

use crate::difference;

/// Numbers of which many are equal.
fn coarse(shape: [usize; 3]) -> Tensor<3> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count)
        .map(|index| ((index * 7919) % 31 % 5) as f32 - 2.0)
        .collect();
    Tensor::<1>::from_floats(values.as_slice(), &device()).reshape(shape)
}

/// A model without parameters.
type Nothing = Vec<Param<Tensor<1>>>;

type Pass = fn(Tensor<3>) -> Tensor<3, Int>;

fn traced(pass: Pass) -> Network {
    trace(
        &Nothing::new(),
        coarse([1, 40, 3]),
        |_: &Nothing, x: Tensor<3>| pass(x),
    )
    .unwrap()
}

/// The order of one line: the first of equal elements first, whichever way.
fn expected(line: &[f32], descending: bool) -> Vec<i64> {
    let mut rest: Vec<usize> = (0..line.len()).collect();
    let mut order = Vec::new();
    while !rest.is_empty() {
        let mut best = 0;
        for at in 1..rest.len() {
            let (a, b) = (line[rest[at]], line[rest[best]]);
            let above = match (a.is_nan(), b.is_nan()) {
                (true, nan) => descending && !nan,
                (false, true) => !descending,
                (false, false) if descending => a > b,
                (false, false) => a < b,
            };
            if above {
                best = at;
            }
        }
        order.push(rest.remove(best) as i64);
    }
    order
}

fn lines(x: &Tensor<3>, axis: usize) -> Vec<Vec<f32>> {
    let last = x.clone().swap_dims(axis, 2);
    let length = last.dims()[2];
    let values: Vec<f32> = last.into_data().iter::<f32>().collect();
    values.chunks(length).map(<[f32]>::to_vec).collect()
}

#[test]
fn equal_elements_are_in_the_order_of_their_positions() {
    let rows: [(&str, Pass, usize, bool, usize); 6] = [
        ("ascending", |x| x.argsort(1), 1, false, 40),
        ("descending", |x| x.argsort_descending(1), 1, true, 40),
        ("last axis", |x| x.argsort(2), 2, false, 3),
        ("a few", |x| x.argtopk(7, 1), 1, true, 7),
        ("one", |x| x.topk_with_indices(1, 1).1, 1, true, 1),
        ("with values", |x| x.sort_with_indices(1).1, 1, false, 40),
    ];
    each(rows, |(_, pass, axis, descending, count)| {
        let network = traced(*pass);
        for not_a_number in [false, true] {
            let mut x = coarse([4, 40, 3]);
            if not_a_number {
                let hidden = x.clone().equal_scalar(1.0);
                x = x.mask_fill(hidden, f32::NAN);
            }
            let found: Tensor<3, Int> = network.forward(x.clone());
            let found = lines(&found.float(), *axis);
            for (line, found) in lines(&x, *axis).iter().zip(found) {
                let found: Vec<i64> = found.into_iter().map(|at| at as i64).collect();
                assert_eq!(found, expected(line, *descending)[..*count]);
            }
        }
    });
}

/// Each sorted element has the gradient of its place, and nothing else has one.
#[test]
fn gradients_go_where_the_elements_came_from() {
    let network = trace(
        &Nothing::new(),
        coarse([1, 40, 3]),
        |_: &Nothing, x: Tensor<3>| x.topk(5, 1),
    )
    .unwrap();
    let x = coarse([2, 40, 3]).autodiff().require_grad();
    let weights = (coarse([2, 5, 3]) * 0.37 + 1.1).autodiff();
    let top: Tensor<3> = network.forward(x.clone());
    let gradients = (top * weights.clone()).sum().backward();
    let found = lines(&x.grad(&gradients).unwrap(), 1);
    let places = lines(&x.without_autodiff(), 1);
    let weights = lines(&weights.without_autodiff(), 1);
    for ((line, weights), found) in places.iter().zip(weights).zip(found) {
        let mut expected_gradient = vec![0.0; 40];
        for (at, weight) in expected(line, true).into_iter().zip(weights) {
            expected_gradient[at as usize] = weight;
        }
        assert_eq!(found, expected_gradient);
    }
}

/// What a network computes is recorded, not what it computed while it was recorded.
#[test]
fn a_network_that_sorts_is_traced_again() {
    let network = traced(|x| x.argtopk(7, 1));
    let again = trace(&network, coarse([1, 40, 3]), |network, x: Tensor<3>| {
        network.forward::<_, Tensor<3, Int>>(x)
    })
    .unwrap();
    let x = coarse([3, 40, 3]) + 0.5;
    let found: Tensor<3, Int> = again.forward(x.clone());
    let expected: Tensor<3, Int> = network.forward(x);
    assert_eq!(difference(&found.float(), &expected.float()), 0.0);
}

/// Of slices that are put at the same place, the last one stays in host memory.
#[test]
fn slices_are_put_where_rows_of_indices_say() {
    use burn::tensor::IndexingUpdateOp::{Add, Assign, Max, Min, Mul};
    let updates = [
        (Assign, "last"),
        (Add, "sum"),
        (Mul, "product"),
        (Max, "max"),
        (Min, "min"),
    ];
    each(updates, |(update, name)| {
        let update = *update;
        // Twice the same place: only where that is defined.
        let rows: [[i32; 1]; 3] = match *name {
            "sum" => [[2], [0], [2]],
            "last" if is_host() => [[2], [0], [2]],
            _ => [[2], [0], [1]],
        };
        let pass = move |_: &Nothing, (x, values): (Tensor<2>, Tensor<2>)| {
            let at = Tensor::<2, Int>::from_ints(rows, &x.device());
            x.swap_dims(0, 1)
                .scatter_nd(at, values.swap_dims(0, 1), update)
                .swap_dims(0, 1)
        };
        let x = coarse([4, 5, 1]).squeeze_dim::<2>(2) + 0.25;
        let values = coarse([4, 3, 1]).squeeze_dim::<2>(2) * 1.5;
        // Recorded where the model itself computes: that of ndarray panics for operands that are not contiguous.
        let here = Device::flex();
        let sample = (x.clone().to_device(&here), values.clone().to_device(&here));
        let network = trace(&Nothing::new(), sample, pass).unwrap();
        let network = network.to_device(&device());
        let found: Tensor<2> = network.forward((x.clone(), values.clone()));
        let read = |t: Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<_>>();
        let (mut expected, values) = (read(x), read(values));
        for sample in 0..4 {
            for (row, [at]) in rows.iter().enumerate() {
                let place = &mut expected[sample * 5 + *at as usize];
                let value = values[sample * 3 + row];
                *place = match *name {
                    "last" => value,
                    "sum" => *place + value,
                    "product" => *place * value,
                    "max" => place.max(value),
                    _ => place.min(value),
                };
            }
        }
        assert_eq!(read(found), expected);
    });
}

/// An update of booleans has no counterpart, and is named.
#[test]
fn booleans_are_not_scattered() {
    let pass = |_: &Nothing, x: Tensor<2>| {
        let at = x.clone().argmax(1);
        let mask = x.clone().greater_scalar(0.0);
        let yes = x.clone().slice_dim(1, 0..1).greater_scalar(-9.0);
        AnyTensor::from(mask.scatter(1, at, yes, burn::tensor::IndexingUpdateOp::Add))
    };
    let sample = Tensor::<2>::ones([1, 3], &device());
    let error = trace(&Nothing::new(), sample, |m, x| vec![pass(m, x)]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`Scatter`") && text.contains("[2, 3]"),
        "{text}"
    );
}
