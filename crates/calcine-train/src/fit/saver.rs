use std::path::PathBuf;

use burn::module::Module;

use super::FitSettings;
use crate::checkpoint::{self, CheckpointError};
use crate::observer::Observer;
use crate::run::Run;

/// Writes the checkpoints.
pub(super) struct Saver<'a> {
    pub(super) settings: &'a FitSettings,
    /// The last checkpoint, which may already contain weights that are not finite.
    last: Option<PathBuf>,
    /// The last checkpoint whose weights are known to give a finite loss.
    pub(super) good: Option<PathBuf>,
}

impl<'a> Saver<'a> {
    /// Returns an error if the directory contains checkpoints of a run that has done more than `step` steps.
    pub(super) fn open(settings: &'a FitSettings, step: u64) -> Result<Self, CheckpointError> {
        let there = match &settings.checkpoints {
            Some(directory) => checkpoint::all(directory)?.pop(),
            None => None,
        };
        match there {
            Some((ahead, checkpoint)) if ahead > step => {
                Err(CheckpointError::Ahead { checkpoint, step })
            }
            there => Ok(Self {
                settings,
                last: None,
                good: there.map(|(_, path)| path),
            }),
        }
    }

    pub(super) fn save<M: Module>(
        &mut self,
        run: &Run<M>,
        observer: &mut dyn Observer,
    ) -> Result<(), CheckpointError> {
        let Some(directory) = &self.settings.checkpoints else {
            return Ok(());
        };
        let saved = checkpoint::save(run, &self.settings.context, directory)?;
        observer.saved(&saved);
        self.last = Some(saved);
        Ok(())
    }

    /// Marks the last checkpoint as good, after a finite loss.
    pub(super) fn confirm(&mut self) {
        self.good = self.last.take().or(self.good.take());
    }

    /// Saves the weights of the epoch to keep.
    pub(super) fn save_best<M: Module>(&self, run: &Run<M>) -> Result<(), CheckpointError> {
        let Some(directory) = &self.settings.checkpoints else {
            return Ok(());
        };
        checkpoint::save_best(&run.driver.masked_model(&run.model), directory)
    }
}
