//! Settings that are found by trying.

use std::cell::Cell;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use calcine_quantize::{
    Calibration, Evaluation, QuantizationSettings, Quantized, RangeEstimator, SearchError,
    TrialProgress, Trials, greedy, lapq, mixed_precision, quantize,
};
use calcine_trace::Network;

use crate::models::{images, network};

/// A network with what it gives, how far a quantized one is off, and what calibration saw.
struct Case {
    network: Network,
    calibration: Calibration,
    expected: Tensor<2>,
}

impl Case {
    fn new() -> Self {
        let network = network();
        let batches = [images(6, 0), images(6, 3)];
        let calibration = Calibration::collect(&network, &batches).unwrap();
        let expected = network.forward(images(8, 1));
        Self {
            network,
            calibration,
            expected,
        }
    }

    fn score(&self, quantized: &Quantized) -> Evaluation {
        let found: Tensor<2> = quantized.forward(images(8, 1));
        let off = (found - self.expected.clone()).square().mean();
        Evaluation::new(f64::from(off.into_scalar::<f32>()), 1)
    }

    fn loss(&self, settings: &QuantizationSettings) -> f64 {
        self.score(&quantize(&self.network, &self.calibration, settings).unwrap())
            .loss
    }
}

fn four_bits() -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    settings.weights.bits = 4;
    settings.activations.bits = 4;
    settings
}

#[test]
fn what_is_found_loses_less_and_says_so_in_a_file() {
    let case = Case::new();
    let start = case.loss(&four_bits());
    let found = [
        lapq(
            &case.network,
            &case.calibration,
            &four_bits(),
            1,
            &mut Trials::new(|q| case.score(q)),
        ),
        greedy(
            &case.network,
            &case.calibration,
            &four_bits(),
            &[
                RangeEstimator::MinMax,
                RangeEstimator::Laplace,
                RangeEstimator::Mse,
            ],
            &mut Trials::new(|q| case.score(q)),
        ),
    ];
    for found in found {
        let found = found.unwrap();
        let loss = case.loss(&found);
        assert!(loss < 0.9 * start, "{loss} of {start}");
        let recipe: toml::Table = toml::from_str(&found.to_toml()).unwrap();
        let read: QuantizationSettings = recipe["quantize"].clone().try_into().unwrap();
        assert_eq!((recipe["format"].as_integer(), read), (Some(1), found));
    }
}

/// Stopped after any trial and begun again with its file, a search tries nothing twice and finds the same.
#[test]
fn a_search_goes_on_where_it_was_stopped() {
    let case = Case::new();
    let tried = Cell::new(0);
    let score = |quantized: &Quantized| {
        tried.set(tried.get() + 1);
        case.score(quantized)
    };
    let search =
        |trials: &mut Trials<'_>| lapq(&case.network, &case.calibration, &four_bits(), 1, trials);
    let whole = search(&mut Trials::new(score)).unwrap();
    let all = tried.replace(0);
    assert!(all > 20, "{all}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trials.json");
    let stop = |progress: &TrialProgress| match progress.done {
        9 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let mut trials = Trials::new(score)
        .with_progress(stop)
        .with_file(&file, "ours")
        .unwrap();
    let stopped = search(&mut trials).unwrap_err();
    assert!(
        matches!(stopped, SearchError::Stopped { done: 9 }),
        "{stopped}"
    );
    let mut trials = Trials::new(score).with_file(&file, "ours").unwrap();
    assert_eq!(search(&mut trials).unwrap(), whole);
    assert_eq!(tried.get(), all);
    // Of anything else nothing is known.
    let mut trials = Trials::new(score)
        .with_file(&file, "another network")
        .unwrap();
    assert_eq!(search(&mut trials).unwrap(), whole);
    assert_eq!(tried.get(), 2 * all);
    std::fs::write(&file, "no trials").unwrap();
    let broken = Trials::new(score)
        .with_file(&file, "ours")
        .unwrap_err()
        .to_string();
    assert!(broken.contains("trials.json"), "{broken}");
}

/// Every search says before its first trial how many there will be at most, and keeps to it.
#[test]
fn a_search_says_how_many_trials_it_takes_at_most() {
    let case = Case::new();
    let counts = |search: &dyn Fn(&mut Trials<'_>)| {
        let mut told = Vec::new();
        let mut trials = Trials::new(|quantized| case.score(quantized)).with_progress(|progress| {
            told.push((progress.done, progress.at_most));
            ControlFlow::Continue(())
        });
        search(&mut trials);
        drop(trials);
        told
    };
    let (network, calibration) = (&case.network, &case.calibration);
    let range_estimators = [RangeEstimator::MinMax, RangeEstimator::Mse];
    let searches: [&dyn Fn(&mut Trials<'_>); 4] = [
        &|trials| drop(lapq(network, calibration, &four_bits(), 1, trials).unwrap()),
        &|trials| drop(lapq(network, calibration, &four_bits(), 0, trials).unwrap()),
        &|trials| {
            drop(
                greedy(
                    network,
                    calibration,
                    &four_bits(),
                    &range_estimators,
                    trials,
                )
                .unwrap(),
            );
        },
        &|trials| {
            drop(mixed_precision(network, calibration, &four_bits(), &[8, 4, 2], trials).unwrap());
        },
    ];
    for (search, exact) in searches.into_iter().zip([false, false, true, true]) {
        let told = counts(search);
        let at_most = told[0].1;
        assert!(
            told.iter()
                .all(|&(done, most)| most == at_most && done <= most),
            "{told:?}"
        );
        let done: Vec<usize> = told.iter().map(|told| told.0).collect();
        assert_eq!(done, Vec::from_iter(1..=told.len()));
        assert!(!exact || told.len() == at_most, "{told:?}");
        assert!(2 * told.len() > at_most, "too far off: {told:?}");
    }
}

#[test]
fn fewer_bits_of_a_layer_cost_more_and_are_spent_where_they_cost_least() {
    let case = Case::new();
    let settings = QuantizationSettings::default();
    let mut trials = Trials::new(|quantized| case.score(quantized));
    let found = mixed_precision(
        &case.network,
        &case.calibration,
        &settings,
        &[2, 8, 4],
        &mut trials,
    )
    .unwrap();
    let names: Vec<&str> = found
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["stem", "inner", "depthwise", "grouped", "down", "head"]
    );
    for layer in &found.layers {
        let [eight, four, two] = &layer.bit_widths[..] else {
            panic!("three widths")
        };
        assert_eq!([eight.bits, four.bits, two.bits], [8, 4, 2]);
        assert!(eight.score.loss < two.score.loss, "{}", layer.name);
    }
    let rows = found.to_csv().lines().count();
    assert_eq!(rows, 1 + 3 * 6);
    let weights: usize = found.layers.iter().map(|layer| layer.weights).sum();
    let budget = found.rest + weights as u64 / 2;
    let chosen = found.allocate(&settings, budget).unwrap();
    let mixed = quantize(&case.network, &case.calibration, &chosen).unwrap();
    let bits: usize = mixed
        .layers()
        .map(|l| l.weight.len() * usize::from(l.bits))
        .sum();
    assert!(bits <= 4 * weights, "{bits}");
    // Files are as small as the forecast says.
    for settings in [chosen.clone(), settings.clone()] {
        let network = quantize(&case.network, &case.calibration, &settings).unwrap();
        let (file, forecast) = (network.to_bytes().unwrap().len(), found.forecast(&settings));
        let off = forecast.abs_diff(file as u64) as f64 / file as f64;
        assert!(off < 0.01, "{forecast} for {file}");
    }
    let mut uniform = settings;
    uniform.weights.bits = 3;
    assert!(case.loss(&chosen) < case.loss(&uniform), "3 bits each");
}
