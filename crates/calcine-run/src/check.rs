use calcine_graph::ElementKind;
use calcine_quantize::{Calibration, QatNetwork, Rounding, quantize};
use calcine_recipe::{Recipe, RecipeQuantization, Train};
use calcine_trace::{AnyTensor, Network};

use crate::experiment::device_of;
use crate::{RunError, filled_inputs};

/// Checks without data that a recipe can be executed on a network, and returns warnings about requests that have no effect.
/// Nothing is trained. What a recipe for quantization after training computes from real batches (rounding, corrected
/// biases, re-estimated statistics) is not checked, and neither is a teacher.
///
/// `steps_per_epoch` is the number of batches of an epoch: see [`steps_per_epoch`].
///
/// # Errors
///
/// If the recipe does not fit the network; all problems of a recipe that trains are listed.
///
/// # Examples
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use calcine_recipe::Recipe;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(4, 2).init(&device);
/// let network = calcine_trace::trace(&layer, Tensor::<2>::zeros([1, 4], &device), |m, x| m.forward(x))?;
///
/// let recipe = "format = 1\n[train]\nepochs = 2\nlr = 0.1\n[pruner.p]\nparams = [\"wait\"]\nscore = \"magnitude\"\nlevel = 0.5\n\
///               [[policy]]\npruner = \"p\"\nstart = 0\nend = 2\n";
/// let error = calcine_run::check_recipe(&Recipe::parse(recipe)?, &network, 100).unwrap_err();
/// assert!(error.to_string().contains("`wait`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_recipe(
    recipe: &Recipe,
    network: &Network,
    steps_per_epoch: u64,
) -> Result<Vec<String>, RunError> {
    if let (Some(asked), false) = (recipe.quantization(), recipe.trains()) {
        return check_quantization(asked, network);
    }
    let mut warnings = recipe.warnings(steps_per_epoch);
    let tables = recipe.runner_tables();
    let bound = match recipe.quantization() {
        // Quantizers have parameters of their own, which pruners and regularizers may name; their values do not matter.
        Some(asked) => {
            let calibration = Calibration::collect(network, &[ones(network)?])?;
            let method = asked.training.method;
            let qat = QatNetwork::new(network.clone(), &calibration, &asked.settings, method)?;
            let graph = qat.network().graph();
            let driver = recipe.bind_for_runner(&tables, &qat, Some(graph), steps_per_epoch)?;
            driver.warnings()
        }
        None => {
            let graph = Some(network.graph());
            let driver = recipe.bind_for_runner(&tables, network, graph, steps_per_epoch)?;
            driver.warnings()
        }
    };
    warnings.extend(bound);
    Ok(warnings)
}

/// The number of whole batches in an epoch of a recipe's `[train]`, for data with this number of samples from which the
/// validation split is held out.
///
/// ```text
/// ⌊min(⌊samples · (1 − validation)⌋, images_per_epoch) / batch_size⌋
/// ```
///
/// # Errors
///
/// If there is no whole batch.
pub fn steps_per_epoch(train: &Train, samples: usize) -> Result<u64, RunError> {
    let training = (samples as f64 * (1.0 - train.validation)) as usize;
    let used = train
        .images_per_epoch
        .map_or(training, |limit| training.min(limit));
    match used / train.batch_size {
        0 => Err(RunError::Unfit {
            problems: vec![format!(
                "`batch_size`: {used} training images make no batch of {}",
                train.batch_size
            )],
        }),
        steps => Ok(steps as u64),
    }
}

/// Quantizes the network, without what needs real batches.
fn check_quantization(
    asked: &RecipeQuantization,
    network: &Network,
) -> Result<Vec<String>, RunError> {
    let calibration = Calibration::collect(network, &[ones(network)?])?;
    let mut settings = asked.settings.clone();
    settings.weights.rounding = Rounding::Nearest;
    settings.weights.correct_bias = false;
    settings.weights.reestimate = false;
    let quantized = quantize(network, &calibration, &settings)?;
    Ok(quantized.report().warnings())
}

/// A sample that consists of ones.
fn ones(network: &Network) -> Result<Vec<AnyTensor>, RunError> {
    let graph = network.graph();
    let values = graph.inputs.iter().map(|id| graph.value(*id));
    let others = values.filter(|value| value.kind != ElementKind::Float);
    let problems: Vec<String> = others
        .map(|value| {
            format!(
                "the input `{}` is not a tensor of floats, which quantization requires",
                value.name
            )
        })
        .collect();
    if !problems.is_empty() {
        return Err(RunError::Unfit { problems });
    }
    filled_inputs(graph, 1, &device_of(network), |_| 1.0)
}
