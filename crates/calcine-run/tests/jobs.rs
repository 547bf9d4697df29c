//! The other jobs with the same inputs.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use calcine_criteria::{Aggregation, Norm};
use calcine_fold::Granularity;
use calcine_params::{Inventory, replace};
use calcine_quantize::QuantizationSettings;
use calcine_run::{
    ActivationSettings, Draw, Experiment, GroupPruning, Model, QuantizeSettings, RunError, Runtime,
    ScanSettings, Search, SearchSettings, Split, ThinSettings,
};
use calcine_sensitivity::Scan;
use calcine_testkit::{device, is_host};
use calcine_thin::ThinOptions;
use calcine_train::Segmentation;
use tempfile::tempdir;

use crate::shared::{BATCH, Images, regression, segmentation};

#[test]
fn the_test_split_is_measured_and_without_one_the_validation_split() {
    let evaluated = segmentation().evaluate().unwrap();
    let count = evaluated.evaluation.count as usize;
    assert_eq!((evaluated.split, count), (Split::Test, 2 * BATCH));
    let evaluated = regression().evaluate().unwrap();
    let count = evaluated.evaluation.count as usize;
    assert_eq!((evaluated.split, count), (Split::Validation, 3 * BATCH));
    let names: Vec<&str> = evaluated
        .evaluation
        .metrics
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    assert_eq!(names, ["psnr", "rmse", "mae"]);
}

/// On CPUs the engine evaluates: with the metrics of Burn's operations, and with a loss that differs in its last bits.
#[test]
fn an_evaluation_is_that_of_the_networks_forward_pass() {
    let experiment = segmentation();
    let Model::Float(network) = experiment.model() else {
        panic!("it is a float network");
    };
    let evaluated = experiment.evaluate().unwrap().evaluation;
    let (expected, _) = experiment.measure(|x| network.forward(x)).unwrap();
    assert_eq!(evaluated.metrics, expected.metrics);
    assert!(
        (evaluated.loss - expected.loss).abs() < 1e-6 * expected.loss,
        "{evaluated} {expected}"
    );
}

/// A network that has diverged is not taken for a sound one, whatever computes it.
#[test]
fn a_network_with_a_weight_that_is_no_number_has_no_loss() {
    let experiment = segmentation();
    let Model::Float(network) = experiment.model() else {
        panic!("it is a float network");
    };
    let inventory = Inventory::from_module(network);
    let weight = inventory.get("encode.weight").unwrap();
    let nan = Tensor::<1>::full([weight.numel()], f32::NAN, &device());
    let diverged = replace(network.clone(), [(weight.id, nan)].into());
    let experiment = Experiment::new(diverged, Segmentation::new(3), &Images);
    let evaluated = experiment.evaluate().unwrap().evaluation;
    assert!(evaluated.loss.is_nan(), "{evaluated}");
}

#[test]
fn channels_are_pruned_at_once_and_removed() {
    let settings = ThinSettings {
        prune: Some(GroupPruning {
            level: 0.5,
            params: vec!["encode.weight".to_owned()],
            norm: Norm::L1,
            aggregation: Aggregation::Sum,
            multiple: 1,
        }),
        options: ThinOptions::default(),
        batches: vec![2],
    };
    let run = segmentation().thin(&settings).unwrap();
    for speed in &run.sizes.speed {
        assert_eq!(speed.runtime == Runtime::Engine, is_host(), "{speed}");
    }
    assert!(run.sizes.parameters < run.sizes.parameters_before);
    assert!(
        (run.pruned.loss - run.after.loss).abs() < 0.05,
        "{} {}",
        run.pruned,
        run.after
    );
}

#[test]
fn a_quantized_network_is_nearly_as_good_and_can_only_be_measured() {
    let experiment = segmentation();
    let settings = QuantizeSettings {
        search: Some(SearchSettings {
            search: Search::MixedPrecision {
                bits: vec![8, 4],
                budget: None,
            },
            samples: BATCH,
            trials: None,
        }),
        ..QuantizeSettings::new(QuantizationSettings::default())
    };
    let mut trials = 0;
    let run = experiment.quantize(&settings, &mut |progress| {
        trials = progress.done;
        assert!(progress.score.find("mean_iou").is_some());
        ControlFlow::Continue(())
    });
    let run = run.unwrap();
    assert!(
        (run.before.loss - run.after.loss).abs() < 0.05,
        "{} {}",
        run.before,
        run.after
    );
    assert!(trials > 2);
    let mixed_precision = run.mixed_precision.unwrap();
    assert!(
        mixed_precision
            .to_csv()
            .starts_with("layer,weights,bits,mean_iou,pixel_accuracy,loss\n")
    );
    let quantized = Experiment::new(run.quantized, Segmentation::new(3), &Images);
    assert_eq!(quantized.evaluate().unwrap().evaluation, run.after);
    assert!(matches!(quantized.model(), Model::Quantized(_)));
    let error = quantized.thin(&ThinSettings::default()).unwrap_err();
    assert!(matches!(error, RunError::Quantized), "{error}");
    let observed = quantized
        .activations(&ActivationSettings::default())
        .unwrap();
    assert_eq!(observed.samples, 3 * BATCH);
}

#[test]
fn a_scan_is_by_the_objectives_metric_with_paired_losses_and_resumes() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("scan");
    let scan = || ScanSettings {
        draw: Draw::Random(2 * BATCH),
        ..ScanSettings::new(Scan::new(Granularity::Filter).with_levels([0.25, 0.5]))
    };
    let settings = scan();
    settings.stop.raise();
    let experiment = segmentation();
    let stopped = experiment.scan(&settings, &out, &mut |_| ()).unwrap();
    assert!(stopped.stopped && !out.join("sensitivity.svg").exists());
    let scanned = experiment.scan(&scan(), &out, &mut |_| ()).unwrap();
    assert_eq!(
        (scanned.metric.name.as_str(), scanned.samples),
        ("mean_iou", 2 * BATCH)
    );
    assert!(
        scanned
            .sensitivity
            .points
            .iter()
            .all(|point| point.interval.is_some())
    );
    assert!(out.join("sensitivity.svg").exists() && out.join("panels.png").exists());
    let other = ScanSettings::new(Scan::new(Granularity::Element).with_levels([0.25]));
    let error = experiment.scan(&other, &out, &mut |_| ()).unwrap_err();
    assert!(matches!(error, RunError::Occupied { .. }), "{error}");
}

#[test]
fn activations_of_a_float_network_are_observed() {
    let observed = segmentation()
        .activations(&ActivationSettings::default())
        .unwrap();
    assert_eq!(observed.samples, 3 * BATCH);
    assert_eq!(observed.observed.len(), 2);
}
