//! `evaluate` against an oracle that sorts.

use burn::tensor::{Int, Tensor, TensorData};
use calcine_testkit::{device, each, is_reference};
use calcine_train::{Batch, Classification, Evaluation, evaluate, stream};
use rand::RngExt;

/// Mean loss in doubles; rank of the class by (logit, lowest index first).
fn oracle(batches: &[(Vec<Vec<f32>>, Vec<usize>)]) -> Evaluation {
    let (mut loss, mut top1, mut top5, mut count) = (0.0, 0, 0, 0);
    for (logits, labels) in batches {
        for (row, &label) in logits.iter().zip(labels) {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            loss += sum.ln() - f64::from(row[label]);
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
            let rank = order.iter().position(|class| *class == label).unwrap();
            top1 += u64::from(rank < 1);
            top5 += u64::from(rank < 5);
            count += 1;
        }
    }
    let n = count as f64;
    let evaluation = Evaluation::new(loss / n, count);
    let evaluation = evaluation.with_metric("top1", 100.0 * top1 as f64 / n);
    evaluation.with_metric("top5", 100.0 * top5 as f64 / n)
}

fn batch(logits: &[Vec<f32>], labels: &[usize]) -> Batch<Tensor<2>, Tensor<1, Int>> {
    let shape = [logits.len(), logits[0].len()];
    let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    Batch::new(
        Tensor::from_data(TensorData::new(logits.concat(), shape), &device()),
        Tensor::from_data(TensorData::new(labels, [shape[0]]), &device()),
    )
}

#[test]
fn loss_and_hits_are_those_of_the_oracle_with_ties_and_few_classes() {
    let classes = [2, 3, 4, 5, 6, 10, 100];
    // In steps of a half there are ties in almost every row.
    let rows = classes
        .into_iter()
        .flat_map(|classes| [true, false].map(|ties| (classes, ties)));
    each(rows, |&(classes, ties)| {
        let mut draw = stream(3, "logits", classes as u64);
        let sizes = [7, 1, 32];
        let batches: Vec<_> = sizes
            .into_iter()
            .map(|rows| {
                let logits: Vec<Vec<f32>> = (0..rows)
                    .map(|_| {
                        let logit = |_| {
                            let x = 4.0 * draw.random::<f32>() - 2.0;
                            if ties {
                                (2.0 * x).round() / 2.0 + 0.0
                            } else {
                                x
                            }
                        };
                        (0..classes).map(logit).collect()
                    })
                    .collect();
                let labels: Vec<usize> = (0..rows).map(|_| draw.random_range(0..classes)).collect();
                (logits, labels)
            })
            .collect();
        let found = evaluate(
            batches.iter().map(|(x, y)| batch(x, y)),
            |logits| logits,
            &Classification,
        );
        let expected = oracle(&batches);
        assert_eq!(found.metrics, expected.metrics);
        assert_eq!(found.count, expected.count);
        let tolerance = if is_reference() { 1e-5 } else { 1e-4 };
        approx::assert_relative_eq!(found.loss, expected.loss, max_relative = tolerance);
    });
}

#[test]
fn a_network_that_gives_every_class_the_same_logit_is_as_good_as_chance() {
    let logits = vec![vec![0.0; 10]; 10];
    let labels: Vec<usize> = (0..10).collect();
    let found = evaluate([batch(&logits, &labels)], |logits| logits, &Classification);
    assert_eq!((found.value("top1"), found.value("top5")), (10.0, 50.0));
}

#[test]
fn what_is_not_a_number_is_no_hit() {
    let found = evaluate(
        [batch(&[vec![f32::NAN; 10], vec![1.0; 10]], &[0, 0])],
        |logits| logits,
        &Classification,
    );
    assert!(found.loss.is_nan());
    assert_eq!((found.value("top1"), found.value("top5")), (50.0, 50.0));
}

#[test]
fn no_batches_are_no_inputs() {
    let none = std::iter::empty::<Batch<Tensor<2>, Tensor<1, Int>>>();
    let found = evaluate(none, |logits| logits, &Classification);
    assert_eq!(
        found,
        Evaluation::new(0.0, 0)
            .with_metric("top1", 0.0)
            .with_metric("top5", 0.0)
    );
}
