//! What does not fit is told before anything begins, all at once.

use std::fs;

use calcine_run::{Experiment, RunDirectory, RunError, TrainSettings};
use calcine_train::{NoObserver, Regression};
use tempfile::tempdir;

use crate::shared::{Rows, recipe, regression, segmentation};

#[test]
fn every_problem_of_a_recipe_is_told_at_once_and_nothing_is_written() {
    let directory = tempdir().unwrap();
    let recipe = recipe(
        2,
        "[distill]\ntemperature = 2.0\nweights = \"teacher.pt\"\n[pruner.p]\nparams = [\"nothing.*\"]\n\
         score = \"magnitude\"\nlevel = 0.5\n[[policy]]\npruner = \"p\"\nstart = 0\nend = 1\n",
    );
    let settings = TrainSettings {
        metric: Some("top1".to_owned()),
        ..TrainSettings::default()
    };
    let out = RunDirectory::lock(directory.path()).unwrap();
    let error = regression().train_in(&recipe, &out, settings, &mut NoObserver);
    let error = error.unwrap_err().to_string();
    for part in [
        "no metric `top1`: it has `psnr`, `rmse`, `mae`, `loss`",
        "names a teacher",
        "the temperature is 2",
        "nothing.*",
    ] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 1, "the lock alone");
}

#[test]
fn outputs_that_the_objective_does_not_take_are_an_error() {
    let network = match segmentation().model() {
        calcine_run::Model::Float(network) => network.clone(),
        calcine_run::Model::Quantized(_) => unreachable!("it is traced"),
    };
    let experiment = Experiment::new(network, Regression::<2>::new(), &Rows);
    let error = experiment.evaluate().unwrap_err();
    assert!(matches!(error, RunError::Forward(_)), "{error}");
}
