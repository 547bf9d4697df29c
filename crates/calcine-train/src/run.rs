use std::path::Path;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use calcine_sparsity::Share;

use crate::checkpoint::{self, CheckpointError};
use crate::driver::Driver;
use crate::history::History;
use crate::objective::{Tally, Totals};
use crate::observer::WeightReport;

/// The state of a training run: its model, driver, optimizer and history.
pub struct Run<M> {
    /// The model in training.
    pub model: M,
    /// The driver, which executes the steps.
    pub driver: Driver<M>,
    /// The optimizer.
    pub optimizer: ModuleOptimizer,
    /// The epochs so far.
    pub history: History,
    pub(crate) tally: Tally,
    /// The terms that policies added to the loss of the last step.
    pub(crate) terms: Vec<(String, Tensor<1>)>,
}

impl<M: Module> Run<M> {
    /// A run before its first step.
    #[must_use]
    pub fn new(model: M, driver: Driver<M>, optimizer: ModuleOptimizer) -> Self {
        Self {
            model,
            driver,
            optimizer,
            history: History::default(),
            tally: Tally::default(),
            terms: Vec::new(),
        }
    }

    /// Resumes from the newest complete checkpoint in a directory. Also returns the context that was saved with it.
    ///
    /// # Errors
    ///
    /// As [`checkpoint::load`].
    pub fn resume(
        self,
        directory: &Path,
        device: &Device,
    ) -> Result<(Self, serde_json::Value), CheckpointError> {
        checkpoint::load(self, directory, device)
    }

    pub(crate) fn resumed(
        model: M,
        driver: Driver<M>,
        optimizer: ModuleOptimizer,
        history: History,
        unfinished: Totals,
        device: &Device,
    ) -> Self {
        Self {
            model,
            driver,
            optimizer,
            history,
            tally: Tally::resume(unfinished, device),
            terms: Vec::new(),
        }
    }

    pub(crate) fn unfinished(&self) -> Totals {
        self.tally.totals()
    }

    /// The sparsity of the weights (parameters of rank 2 or more) with all masks applied, as in the forward pass. Reads
    /// the device once.
    #[must_use]
    pub fn sparsity(&self) -> Share {
        let weights = WeightReport::sparsity(&self.driver.masked_model(&self.model));
        weights.iter().map(|weight| weight.share).sum()
    }
}

impl<M> std::fmt::Debug for Run<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}
