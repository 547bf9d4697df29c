//! Progress on a terminal: a bar; elsewhere: plain lines.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use calcine::quantize::Score;
use calcine::sensitivity::Progress;
use calcine::train::{EpochReport, Observer, StepReport};
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    /// All bars of this thread; what else is printed goes above them.
    static BARS: MultiProgress = MultiProgress::new();
}

/// Prints a line to stderr, above any bar.
pub(crate) fn stderr(text: &str) {
    BARS.with(|bars| bars.suspend(|| eprintln!("{text}")));
}

/// A writer to stderr that does not tear the bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.with(|bars| bars.suspend(|| io::stderr().write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Training: steps, loss, accuracy, sparsity, images a second, time left.
#[derive(Debug, Default)]
pub(crate) struct TrainingBar {
    bar: Option<ProgressBar>,
    plain: Option<std::time::Instant>,
}

/// Seconds between two plain lines.
const PLAIN_EVERY: u64 = 10;

impl TrainingBar {
    /// Takes the bar off the terminal.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&mut self, report: &StepReport) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let steps = report.epochs * report.clock.steps_per_epoch;
            let style = "{bar:30} {pos}/{len} steps  {msg}  ETA {eta}";
            let style = ProgressStyle::with_template(style).expect("the template is sound");
            let bar = BARS.with(|bars| bars.add(ProgressBar::new(steps).with_style(style)));
            bar.set_position(report.clock.global_step());
            bar.reset_eta();
            bar
        })
    }
}

impl Observer for TrainingBar {
    fn step(&mut self, report: &StepReport) {
        let done = report.clock.global_step() + 1;
        let message = format!(
            "epoch {}/{}  loss {:.4}  top-1 {:.2} %  sparsity {:.2} %  {:.0} images/s",
            report.clock.epoch + 1,
            report.epochs,
            report.train.loss,
            report.train.top1,
            100.0 * report.sparsity.sparsity(),
            report.per_second,
        );
        tracing::info!(target: "calcine", "step {done}  {message}  lr {:.6}", report.rate);
        if io::stderr().is_terminal() {
            let bar = self.bar(report);
            bar.set_message(message);
            bar.set_position(done);
            return;
        }
        let due = self
            .plain
            .is_none_or(|last| last.elapsed().as_secs() >= PLAIN_EVERY);
        if due {
            self.plain = Some(std::time::Instant::now());
            let steps = report.epochs * report.clock.steps_per_epoch;
            let per_step = report.train.count as f64 / (report.clock.step + 1) as f64;
            let left = (steps - done) as f64 * per_step / report.per_second;
            stderr(&format!("{done}/{steps} steps  {message}  ETA {left:.0} s"));
        }
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        let row = report.row;
        let validation = match row.validation {
            Some(v) => format!("validation loss {:.4}, top-1 {:.2} %", v.loss, v.top1),
            None => "no validation".to_owned(),
        };
        let line = format!(
            "epoch {}: train loss {:.4}, top-1 {:.2} %; {validation}; sparsity {:.2} %",
            row.epoch,
            row.train.loss,
            row.train.top1,
            100.0 * row.sparsity,
        );
        tracing::info!(target: "calcine", "{line}");
        stderr(&line);
    }

    fn saved(&mut self, directory: &Path) {
        tracing::info!(target: "calcine", "saved {}", directory.display());
    }
}

/// A scan: evaluations, what came of the last one, time left.
#[derive(Debug, Default)]
pub(crate) struct ScanBar {
    bar: Option<ProgressBar>,
    began: Option<std::time::Instant>,
    plain: Option<std::time::Instant>,
}

impl ScanBar {
    /// Shows how far it is. The time left is that of the evaluations so far, all of which cost the same;
    /// none is known before the second.
    pub(crate) fn show(&mut self, now: &Progress<'_>) {
        let began = *self.began.get_or_insert_with(std::time::Instant::now);
        let eta = match now.done - 1 {
            0 => String::new(),
            timed => {
                let left = began.elapsed() / timed as u32 * (now.total - now.done) as u32;
                format!("  ETA {:#}", HumanDuration(left))
            }
        };
        let (name, level, top1, loss) = match now.point {
            Some(point) => (&*point.parameter, point.requested, point.top1, point.loss),
            None => (
                "the unpruned network",
                0.0,
                now.baseline.top1,
                now.baseline.loss,
            ),
        };
        let message = format!("{name} at {level}: top-1 {top1:.2} %, loss {loss:.4}{eta}");
        if io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
                let style = style.expect("the template is sound");
                let bar = ProgressBar::new(now.total as u64).with_style(style);
                BARS.with(|bars| bars.add(bar))
            });
            bar.set_position(now.done as u64);
            bar.set_message(message);
            return;
        }
        let due = self
            .plain
            .is_none_or(|last| last.elapsed().as_secs() >= PLAIN_EVERY);
        if due || now.done == now.total {
            self.plain = Some(std::time::Instant::now());
            stderr(&format!("{}/{}  {message}", now.done, now.total));
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A search of as many trials as it takes: the last one, and the best.
#[derive(Debug, Default)]
pub(crate) struct TrialLines {
    bar: Option<ProgressBar>,
    plain: Option<std::time::Instant>,
    best: Option<f64>,
}

impl TrialLines {
    /// Shows how far it is.
    pub(crate) fn show(&mut self, done: usize, score: &Score) {
        let best = self.best.map_or(score.loss, |best| best.min(score.loss));
        self.best = Some(best);
        let Score { loss, top1 } = score;
        let message = format!("trial {done}: loss {loss:.4}, top-1 {top1:.2} %; least {best:.4}");
        if io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
                let style = style.expect("the template is sound");
                BARS.with(|bars| bars.add(ProgressBar::new_spinner().with_style(style)))
            });
            bar.set_message(message);
            bar.tick();
        } else if self
            .plain
            .is_none_or(|last| last.elapsed().as_secs() >= PLAIN_EVERY)
        {
            self.plain = Some(std::time::Instant::now());
            stderr(&message);
        }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A download: bytes, rate, time left.
#[derive(Debug, Default)]
pub(crate) struct DownloadBar {
    bar: RefCell<Option<ProgressBar>>,
}

impl DownloadBar {
    /// Shows how far it is.
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
