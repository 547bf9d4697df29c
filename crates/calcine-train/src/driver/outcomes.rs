//! The requested and the reached state of a run and its policies.

use burn::module::Module;

use super::Driver;
use crate::{Policy, PolicyOutcome};

impl<M: Module> Driver<M> {
    /// Sets the length of the run, so that [`outcomes`](Self::outcomes) can detect that it ended early.
    #[must_use]
    pub fn with_epochs(mut self, epochs: u64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// What the policies cannot reach with this model, as far as it is known before the first step; one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.policies().flat_map(Policy::warnings).collect()
    }

    /// The requested and the reached state of the run and of each policy. Call it after the last step. It may read from
    /// the device, once for each policy.
    #[must_use]
    pub fn outcomes(&self) -> Vec<PolicyOutcome> {
        let policies = self
            .policies()
            .flat_map(|policy| policy.outcomes(&self.clock));
        self.run_outcome().into_iter().chain(policies).collect()
    }

    /// The number of steps of the run that have been done.
    fn run_outcome(&self) -> Option<PolicyOutcome> {
        let epochs = self.epochs?;
        let each = self.clock.steps_per_epoch;
        let (asked, done) = (epochs.saturating_mul(each), self.clock.global_step());
        let missed = (done < asked).then(|| {
            "it ended early; schedules count optimizer steps, of which there are fewer than batches if \
             gradients are accumulated"
                .to_owned()
        });
        let outcome = PolicyOutcome::new(
            "run",
            format!("{asked} steps ({epochs} epochs of {each})"),
            format!("{done}"),
        );
        Some(outcome.with_missed(missed))
    }
}
