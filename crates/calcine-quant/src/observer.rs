use std::ops::RangeInclusive;

use crate::statistics::{CalibrationStatistics, Counts, bin, exponent};

const BINS: usize = Counts::MOST;

/// Collects calibration statistics in one pass, sample by sample.
///
/// The range need not be known in advance: the width of the bins is a power of two, with a bin boundary at zero, and when the
/// range outgrows the bins, neighbouring bins are merged. The result does not depend on the order of the samples.
///
/// # Examples
///
/// ```
/// use calcine_quant::{CalibrationStatistics, Observer};
///
/// let samples: [&[f32]; 2] = [&[0.5, -2.0, 7.0], &[100.0, 0.25, 3.0]];
/// let [mut one, mut other] = [Observer::default(), Observer::default()];
/// one.observe(samples[0]);
/// other.observe(samples[1]);
/// one.merge(&other);
/// assert_eq!(one.statistics(), CalibrationStatistics::from_samples(&samples));
/// ```
#[derive(Debug, Clone)]
pub struct Observer {
    min: f32,
    max: f32,
    sum: f64,
    squares: f64,
    /// The sums of the smallest and of the largest values of the samples.
    ends: [f64; 2],
    /// The number of samples that contain a non-zero value.
    samples: u64,
    numbers: u64,
    bins: Bins,
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            sum: 0.0,
            squares: 0.0,
            ends: [0.0, 0.0],
            samples: 0,
            numbers: 0,
            bins: Bins::new(),
        }
    }
}

impl Observer {
    /// Adds one sample. A sample without numbers is ignored.
    pub fn observe(&mut self, sample: &[f32]) {
        if sample.is_empty() {
            return;
        }
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for numbers in sample.chunks(BLOCK) {
            let found = Sums::new(numbers);
            (min, max) = (min.min(found.min), max.max(found.max));
            self.sum += found.sum;
            self.squares += found.squares;
            // A value that is not finite makes the sums not finite, and has no bin.
            if self.squares.is_finite() {
                self.bins.cover([found.min, found.max]);
                self.bins.count(numbers);
            }
        }
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        self.ends[0] += f64::from(min);
        self.ends[1] += f64::from(max);
        self.samples += u64::from(min != 0.0 || max != 0.0);
        self.numbers += sample.len() as u64;
    }

    /// Adds the samples of another observer.
    pub fn merge(&mut self, other: &Self) {
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
        self.sum += other.sum;
        self.squares += other.squares;
        self.ends[0] += other.ends[0];
        self.ends[1] += other.ends[1];
        self.samples += other.samples;
        self.numbers += other.numbers;
        if self.squares.is_finite() {
            self.bins.merge(&other.bins);
        }
    }

    /// The statistics; `None` if there were no numbers, or one was not finite.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of numbers")]
    pub fn statistics(&self) -> Option<CalibrationStatistics> {
        if !self.squares.is_finite() {
            return None;
        }
        let counts = self.bins.counts()?;
        let (numbers, samples) = (self.numbers as f64, self.samples.max(1) as f64);
        let mean = self.sum / numbers;
        let variance = self.squares / numbers - mean * mean;
        Some(CalibrationStatistics {
            min: f64::from(self.min),
            max: f64::from(self.max),
            mean,
            deviation: variance.max(0.0).sqrt(),
            average: self.ends.map(|sum| sum / samples),
            counts,
        })
    }
}

/// The number of values that are processed at once: they are read twice (for their sums and for their bins) while they
/// are in the cache.
const BLOCK: usize = 4096;

/// The number of values that are added in parallel.
const LANES: usize = 8;

struct Sums {
    min: f32,
    max: f32,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn new(numbers: &[f32]) -> Self {
        pulp::Arch::new().dispatch(Sum(numbers))
    }
}

struct Sum<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Sum<'_> {
    type Output = Sums;

    #[inline(always)]
    fn call(self) -> Sums {
        let mut min = [f32::INFINITY; LANES];
        let mut max = [f32::NEG_INFINITY; LANES];
        let (mut sum, mut squares) = ([0.0; LANES], [0.0; LANES]);
        let mut add = |lane: usize, x: f32| {
            // Not `f32::min`, which has to handle NaN; here NaN is detected by the sums.
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            let x = f64::from(x);
            sum[lane] += x;
            squares[lane] += x * x;
        };
        let (whole, rest) = self.0.as_chunks::<LANES>();
        for numbers in whole {
            for (lane, &x) in numbers.iter().enumerate() {
                add(lane, x);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            add(lane, x);
        }
        Sums {
            min: min.into_iter().fold(f32::INFINITY, f32::min),
            max: max.into_iter().fold(f32::NEG_INFINITY, f32::max),
            sum: sum.iter().sum(),
            squares: squares.iter().sum(),
        }
    }
}

/// The number of tables, which are used in turn, so that two consecutive values in the same bin do not have to wait for
/// each other.
const TABLES: usize = 4;

/// The number of values that are counted in 32 bits before they are added to the totals.
const PENDING: u64 = 1 << 30;

/// The counts of values in bins of width `2^exponent`; bin n begins at `n · 2^exponent`.
///
/// At most [`BINS`] consecutive bins are not empty, so bin n is stored at `n mod BINS`, and nothing has to be moved if
/// the range grows a little.
#[derive(Debug, Clone)]
struct Bins {
    exponent: i32,
    /// The values of the first and the last bin that may not be empty.
    ends: Option<[f32; 2]>,
    totals: Vec<u64>,
    tables: Box<[[u32; BINS]; TABLES]>,
    pending: u64,
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bins modulo their number"
)]
fn place(bin: i32) -> usize {
    bin as usize % BINS
}

impl Bins {
    fn new() -> Self {
        Self {
            exponent: 0,
            ends: None,
            totals: vec![0; BINS],
            tables: Box::new([[0; BINS]; TABLES]),
            pending: 0,
        }
    }

    /// Widens the bins if necessary, so that values in this range can be counted, too.
    fn cover(&mut self, more: [f32; 2]) {
        let ends = match self.ends {
            Some(ends) => [ends[0].min(more[0]), ends[1].max(more[1])],
            None => more,
        };
        if self.ends == Some(ends) {
            return;
        }
        let exponent = exponent(ends);
        if self.ends.is_some() && exponent > self.exponent {
            let narrow = std::mem::replace(self, Self::new());
            self.exponent = exponent;
            self.pour(&narrow);
        }
        self.exponent = exponent;
        self.ends = Some(ends);
    }

    /// Adds the counts of bins that have at most the same width.
    fn pour(&mut self, narrow: &Self) {
        let halvings = (self.exponent - narrow.exponent).min(31);
        for bin in narrow.range() {
            self.totals[place(bin >> halvings)] += narrow.total(bin);
        }
    }

    /// The bins that may not be empty.
    fn range(&self) -> RangeInclusive<i32> {
        match self.ends {
            Some([first, last]) => bin(first, self.exponent)..=bin(last, self.exponent),
            #[allow(clippy::reversed_empty_ranges, reason = "there is no bin")]
            None => 1..=0,
        }
    }

    fn total(&self, bin: i32) -> u64 {
        let place = place(bin);
        let pending = self.tables.iter().map(|table| u64::from(table[place]));
        self.totals[place] + pending.sum::<u64>()
    }

    /// Counts values within the covered range.
    fn count(&mut self, numbers: &[f32]) {
        pulp::Arch::new().dispatch(Count {
            numbers,
            reciprocal: 2.0_f32.powi(-self.exponent),
            tables: &mut self.tables,
        });
        self.pending += numbers.len() as u64;
        if self.pending > PENDING {
            self.settle();
        }
    }

    /// Adds the pending counts to the totals.
    fn settle(&mut self) {
        if self.pending > 0 {
            for table in self.tables.iter_mut() {
                for (total, count) in self.totals.iter_mut().zip(table) {
                    *total += u64::from(std::mem::take(count));
                }
            }
            self.pending = 0;
        }
    }

    fn merge(&mut self, other: &Self) {
        if let Some(ends) = other.ends {
            self.cover(ends);
            self.pour(other);
        }
    }

    fn counts(&self) -> Option<Counts> {
        let mut counts = Counts::between(self.ends?)?;
        for (count, bin) in counts.counts.iter_mut().zip(self.range()) {
            *count = self.total(bin);
        }
        Some(counts)
    }
}

struct Count<'a> {
    numbers: &'a [f32],
    reciprocal: f32,
    tables: &'a mut [[u32; BINS]; TABLES],
}

impl pulp::NullaryFnOnce for Count<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "numbers of bins are below 2^22"
    )]
    fn call(self) {
        let mut places = [0; BLOCK];
        for (at, x) in places.iter_mut().zip(self.numbers) {
            *at = (x * self.reciprocal).floor() as i32;
        }
        let places = &places[..self.numbers.len()];
        let (whole, rest) = places.as_chunks::<TABLES>();
        for bins in whole {
            for (table, &bin) in self.tables.iter_mut().zip(bins) {
                table[place(bin)] += 1;
            }
        }
        for &bin in rest {
            self.tables[0][place(bin)] += 1;
        }
    }
}
