//! What a run was asked to do, and what it has reached.

use burn::module::Module;

use super::Driver;
use crate::{Policy, PolicyOutcome};

impl<M: Module> Driver<M> {
    /// With the length of the run, so that [`outcomes`](Self::outcomes) can tell when it ended early.
    #[must_use]
    pub fn with_epochs(mut self, epochs: u64) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// What cannot come of the policies on this model, known before the first step; a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.policies().flat_map(Policy::warnings).collect()
    }

    /// What the run and each policy were asked to do and what they have reached by now: to be asked after the
    /// last step. May read the device, once for each policy.
    #[must_use]
    pub fn outcomes(&self) -> Vec<PolicyOutcome> {
        let policies = self
            .policies()
            .flat_map(|policy| policy.outcomes(&self.clock));
        self.run_outcome().into_iter().chain(policies).collect()
    }

    /// How many steps of the run have been done.
    fn run_outcome(&self) -> Option<PolicyOutcome> {
        let epochs = self.epochs?;
        let each = self.clock.steps_per_epoch;
        let (asked, done) = (epochs.saturating_mul(each), self.clock.global_step());
        let missed = (done < asked).then(|| {
            "it ended early; schedules count optimizer steps, of which a loop that accumulates the gradients of \
             several batches has fewer than batches"
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
