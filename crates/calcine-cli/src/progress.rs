//! Shows progress: as a bar on a terminal, as plain lines elsewhere.

mod eta;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use calcine::metric::label;
use calcine::quantize::TrialProgress;
use calcine::sensitivity::Progress;
use calcine::train::{EpochReport, Evaluation, Metric, Observer, StepReport};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

use self::eta::Eta;
use crate::terminal::stderr;

thread_local! {
    /// All bars of this thread; other output is printed above them.
    static BARS: MultiProgress = MultiProgress::new();
}

/// Prints above the bars.
pub(crate) fn above_bars(print: impl FnOnce()) {
    BARS.with(|bars| bars.suspend(print));
}

/// Progress of training: steps, loss, accuracy, sparsity, images per second, time left.
#[derive(Debug, Default)]
pub(crate) struct TrainingBar {
    bar: Option<ProgressBar>,
    plain: Plain,
    began: Option<Instant>,
    eta: Eta,
    /// The metrics of the last step.
    metrics: Vec<Metric>,
}

/// The main metric of an evaluation after a separator; nothing if there are no metrics.
fn main(evaluation: &Evaluation, metrics: &[Metric], separator: &str) -> String {
    metrics.first().map_or_else(String::new, |metric| {
        let value = metric.shown(evaluation.value(&metric.name));
        format!("{separator}{} {value}", label(&metric.name))
    })
}

impl TrainingBar {
    /// Removes the bar from the terminal.
    pub(crate) fn close(&mut self) {
        close(&mut self.bar);
    }

    /// The time left; unknown at the first report.
    fn left(&mut self, done: u64, report: &StepReport) -> String {
        let began = *self.began.get_or_insert_with(Instant::now);
        let of_epoch = report.clock.steps_per_epoch;
        let total = report.epochs * of_epoch;
        written(self.eta.left(done, total, of_epoch, began.elapsed()))
    }
}

impl Observer for TrainingBar {
    fn step(&mut self, report: &StepReport) {
        let done = report.clock.global_step() + 1;
        let steps = report.epochs * report.clock.steps_per_epoch;
        self.metrics.clone_from(&report.metrics);
        let message = format!(
            "epoch {} of {}  loss {:.4}{}  sparsity {:.2} %  {:.0} samples/s",
            report.clock.epoch,
            report.epochs,
            report.train.loss,
            main(&report.train, &report.metrics, "  "),
            100.0 * report.sparsity.sparsity(),
            report.per_second,
        );
        tracing::info!(target: "calcine", "step {done}  {message}  lr {:.6}", report.rate);
        let left = self.left(done, report);
        if io::stderr().is_terminal() {
            let bar = bar(&mut self.bar, "steps", steps);
            bar.set_prefix(left);
            bar.set_message(message);
            bar.set_position(done);
        } else if self.plain.is_due() || done == steps {
            stderr(&format!("{done}/{steps} steps  {message}{left}"));
        }
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        let row = report.row;
        let metrics = &self.metrics;
        let validation = match &row.validation {
            Some(found) => format!(
                "validation loss {:.4}{}",
                found.loss,
                main(found, metrics, ", ")
            ),
            None => "no validation".to_owned(),
        };
        let line = format!(
            "epoch {}: train loss {:.4}{}; {validation}; sparsity {:.2} %",
            row.epoch,
            row.train.loss,
            main(&row.train, metrics, ", "),
            100.0 * row.sparsity,
        );
        tracing::info!(target: "calcine", "{line}");
        stderr(&line);
    }

    fn saved(&mut self, directory: &Path) {
        tracing::info!(target: "calcine", "saved {}", directory.display());
    }
}

/// Progress of a known number of evaluations: the result of the last one, and the time left. All are assumed to take
/// equally long.
#[derive(Debug, Default)]
pub(crate) struct EvaluationBar {
    bar: Option<ProgressBar>,
    plain: Plain,
    began: Option<Instant>,
    eta: Eta,
}

impl EvaluationBar {
    /// Shows the progress of a scan.
    pub(crate) fn scanned(&mut self, now: &Progress<'_>, metrics: &[Metric]) {
        let (name, level, loss) = match now.point {
            Some(point) => (&*point.parameter, point.requested, point.loss),
            None => ("the unpruned network", 0.0, now.baseline.evaluation.loss),
        };
        let value = metrics.first().map_or_else(String::new, |metric| {
            let value = match now.point {
                Some(point) => point.value(&metric.name),
                None => now.baseline.evaluation.value(&metric.name),
            };
            format!("{} {}, ", label(&metric.name), metric.shown(value))
        });
        let message = format!("{name} at {level}: {value}loss {loss:.4}");
        self.show(now.done as u64, now.total as u64, &message);
    }

    fn show(&mut self, done: u64, total: u64, message: &str) {
        let began = *self.began.get_or_insert_with(Instant::now);
        let left = self.eta.left(done, total, total, began.elapsed());
        let left = written(left);
        if io::stderr().is_terminal() {
            let bar = bar(&mut self.bar, "evaluations", total);
            bar.set_length(total);
            bar.set_prefix(left);
            bar.set_message(message.to_owned());
            bar.set_position(done);
        } else if self.plain.is_due() || done == total {
            stderr(&format!("{done}/{total}  {message}{left}"));
        }
    }

    /// Removes the bar from the terminal.
    pub(crate) fn close(&mut self) {
        close(&mut self.bar);
    }
}

/// Progress of a search: the last trial, the best one, time left.
#[derive(Debug, Default)]
pub(crate) struct TrialBar {
    trials: EvaluationBar,
    best: Option<f64>,
}

impl TrialBar {
    /// Shows the progress. The number of trials and the time left are upper bounds.
    pub(crate) fn show(&mut self, progress: &TrialProgress, metrics: &[Metric]) {
        let score = &progress.score;
        let best = self.best.map_or(score.loss, |best| best.min(score.loss));
        self.best = Some(best);
        let message = format!("trials: {}; least loss {best:.4}", score.shown(metrics));
        let (done, total) = (progress.done as u64, progress.at_most as u64);
        self.trials.show(done, total, &message);
    }

    /// Removes the bar from the terminal.
    pub(crate) fn close(&mut self) {
        self.trials.close();
    }
}

/// The bar, created at its first use: progress and time left on one line, and below it a message that is cut to the
/// width of the terminal.
fn bar<'a>(bar: &'a mut Option<ProgressBar>, of: &str, length: u64) -> &'a ProgressBar {
    bar.get_or_insert_with(|| {
        let template = format!("{{bar:30}} {{pos}}/{{len}} {of}{{prefix}}\n{{wide_msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is sound");
        BARS.with(|bars| bars.add(ProgressBar::new(length).with_style(style)))
    })
}

fn close(bar: &mut Option<ProgressBar>) {
    if let Some(bar) = bar.take() {
        bar.finish_and_clear();
    }
}

/// When the next plain line is due: immediately at first, then every ten seconds.
#[derive(Debug, Default)]
struct Plain {
    last: Option<Instant>,
}

impl Plain {
    const EVERY: Duration = Duration::from_secs(10);

    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= Self::EVERY);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// The text that follows a line.
fn written(left: Option<Duration>) -> String {
    left.map_or_else(String::new, |left| {
        format!("  ETA {:#}", HumanDuration(left))
    })
}

/// Progress of a download: bytes, rate, time left.
#[derive(Debug, Default)]
pub(crate) struct DownloadBar {
    bar: RefCell<Option<ProgressBar>>,
}

impl DownloadBar {
    /// Shows the progress.
    pub(crate) fn show(&self, done: u64, total: u64) {
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let style =
                "downloading CIFAR-10 {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}";
            let style = ProgressStyle::with_template(style).expect("the template is sound");
            BARS.with(|bars| bars.add(ProgressBar::new(total).with_style(style)))
        });
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }
}
