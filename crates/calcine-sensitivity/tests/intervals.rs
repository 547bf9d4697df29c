use calcine_fold::Granularity;
use calcine_sensitivity::{Measurement, Scan, ScanError};
use calcine_testkit::ConvNet;

use crate::{counted, net, whole};

fn losses(model: &ConvNet, count: usize) -> Measurement {
    let left = counted(model).evaluation.value("top1");
    // Example i has a loss of i, and rises by half a weight's worth for every weight that is gone.
    let loss = |index: usize| (index as f64 + 17.6 - left) as f32;
    let losses: Vec<f32> = (0..count).map(loss).collect();
    let loss = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / count as f64;
    let mut measured = counted(model);
    measured.evaluation.loss = loss;
    Measurement { losses, ..measured }
}

#[test]
fn paired_losses_give_every_point_an_interval_around_its_loss() {
    let plan = Scan::new(Granularity::Element)
        .with_levels([0.0, 0.5])
        .with_params(["conv.weight"]);
    let found = whole(&net(), &plan, |model| losses(model, 20)).unwrap();
    for point in &found.points {
        let interval = point.interval.unwrap();
        assert!(
            interval.low <= point.loss + 1e-6 && point.loss <= interval.high + 1e-6,
            "{point:?}"
        );
        // All examples rise alike, so the interval is a point, however much their losses differ.
        assert!(interval.high - interval.low < 1e-5);
    }
    let rise = found.points[1].interval.unwrap().low - found.baseline.evaluation.loss;
    assert!((rise - 7.2).abs() < 1e-5, "{rise}");
    assert!(
        found
            .to_csv()
            .starts_with("parameter,requested,achieved,macs,top1,top5,loss,loss_low,loss_high\n")
    );
}

#[test]
fn losses_of_different_examples_are_refused() {
    let mut count = 10;
    let plan = Scan::new(Granularity::Element).with_levels([0.5]);
    let error = whole(&net(), &plan, |model| {
        count += 1;
        losses(model, count)
    });
    assert!(
        matches!(
            error,
            Err(ScanError::Unpaired {
                baseline: 11,
                found: 12,
                ..
            })
        ),
        "{error:?}"
    );
}
