use calcine_schedule::Clock;

use super::{Log, LogError};
use crate::{EpochReport, Evaluation, Observer, StepReport};

/// Writes the reports of a run to a log. The tags are those of Distiller:
///
/// | tag | when | what |
/// |---|---|---|
///  `Performance/Training/Loss`, and each metric: `Top1`, `MeanIou` | report | means over the epoch so far |
///  `Performance/Training/NAME_loss` | report | the term that the policy NAME adds to the loss |
///  `Performance/Training/LR`, `SamplesPerSecond` | report | learning rate; speed since the last report |
///  `sparsity/weights/total` | report | the share of zeros in all weights |
/// | `Performance/Validation/Loss`, and each metric | epoch | the validation split |
///  `sparsity/weights/PATH` | epoch | the share of zeros in each weight |
///  `sparsity-2D/weights/PATH` | epoch | the share of zero kernels, or of zero outputs of a linear layer |
///  `weights/PATH` | epoch, on request | a histogram of the values |
///
/// The step is the number of steps since the run began. Metrics are in their own units, and sparsities are shares. The
/// tag of a metric is its name in camel case: `mean_iou` becomes `MeanIou`.
///
/// A log that cannot be written does not stop the training. The first error is logged as a warning, nothing is written
/// afterwards, and [`finish`](Self::finish) returns the error.
#[derive(Debug)]
pub struct Logged<L> {
    log: L,
    histograms: bool,
    failed: Option<LogError>,
}

impl<L: Log> Logged<L> {
    /// Writes scalars to `log`.
    pub fn new(log: L) -> Self {
        Self {
            log,
            histograms: false,
            failed: None,
        }
    }

    /// Also writes a histogram of each weight after each epoch. All weights are read from the device for this.
    #[must_use]
    pub fn with_histograms(self) -> Self {
        Self {
            histograms: true,
            ..self
        }
    }

    /// Returns the log.
    ///
    /// # Errors
    ///
    /// If something could not be written.
    pub fn finish(mut self) -> Result<L, LogError> {
        self.attempt(Log::flush);
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.log),
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&mut L) -> Result<(), LogError>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = write(&mut self.log) {
            tracing::warn!("logging stops: {error}");
            self.failed = Some(error);
        }
    }
}

impl<L: Log> Observer for Logged<L> {
    fn begin(&mut self, clock: &Clock) {
        self.attempt(|log| log.rewind(clock.global_step()));
    }

    fn step(&mut self, report: &StepReport) {
        let mut scalars = values("Performance/Training", &report.train);
        for (name, term) in &report.terms {
            scalars.push((format!("Performance/Training/{name}_loss"), *term));
        }
        let others = [
            ("Performance/Training/LR", report.rate),
            ("Performance/Training/SamplesPerSecond", report.per_second),
            ("sparsity/weights/total", report.sparsity.sparsity()),
        ];
        scalars.extend(others.map(|(tag, value)| (tag.to_owned(), value)));
        self.attempt(|log| {
            log.scalars(report.clock.global_step() + 1, &borrowed(&scalars))?;
            log.flush()
        });
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        let step = report.row.steps;
        let mut scalars = Vec::new();
        if let Some(validation) = &report.row.validation {
            scalars.extend(values("Performance/Validation", validation));
        }
        for weight in report.weights {
            let tag = format!("sparsity/weights/{}", weight.path);
            scalars.push((tag, weight.share.sparsity()));
            if let Some(kernels) = weight.kernels {
                let tag = format!("sparsity-2D/weights/{}", weight.path);
                scalars.push((tag, kernels.sparsity()));
            }
        }
        let histograms = self.histograms;
        self.attempt(|log| {
            log.scalars(step, &borrowed(&scalars))?;
            for weight in report.weights.iter().filter(|_| histograms) {
                let values = weight.values.as_deref().unwrap_or_default();
                log.histogram(step, &format!("weights/{}", weight.path), values)?;
            }
            log.flush()
        });
    }

    fn wants_values(&self) -> bool {
        self.histograms
    }
}

/// The loss and each metric, by tag.
fn values(path: &str, evaluation: &Evaluation) -> Vec<(String, f64)> {
    let loss = std::iter::once(("loss", evaluation.loss));
    let metrics = evaluation.metrics.iter();
    let metrics = metrics.map(|metric| (metric.name.as_str(), metric.value));
    loss.chain(metrics)
        .map(|(name, value)| (format!("{path}/{}", camel_case(name)), value))
        .collect()
}

/// `mean_iou` as `MeanIou`.
fn camel_case(name: &str) -> String {
    let words = name.split('_');
    words
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

fn borrowed(scalars: &[(String, f64)]) -> Vec<(&str, f64)> {
    let scalars = scalars.iter();
    scalars.map(|(tag, value)| (tag.as_str(), *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use calcine_sparsity::Share;

    struct Tags(Vec<(u64, String, f64)>);

    impl Log for Tags {
        fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
            let rows = scalars.iter();
            self.0
                .extend(rows.map(|(tag, value)| (step, (*tag).to_owned(), *value)));
            Ok(())
        }
    }

    #[test]
    fn what_policies_add_to_the_loss_is_logged_by_their_names() {
        let mut clock = Clock::new(10);
        clock.tick();
        let report = StepReport {
            clock,
            epochs: 1,
            rate: 0.1,
            train: Evaluation::default(),
            metrics: Vec::new(),
            terms: vec![("l1".to_owned(), 0.5), ("groups".to_owned(), 0.25)],
            sparsity: Share::default(),
            samples: 1,
            per_second: 1.0,
        };
        let mut logged = Logged::new(Tags(Vec::new()));
        logged.step(&report);
        let mut rows = logged.finish().unwrap().0;
        rows.retain(|(_, tag, _)| tag.ends_with("_loss"));
        let row = |name: &str, term| (2, format!("Performance/Training/{name}_loss"), term);
        assert_eq!(rows, [row("l1", 0.5), row("groups", 0.25)]);
    }
}
