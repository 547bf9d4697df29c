use std::path::Path;

use calcine_metric::{Evaluation, MetricValue};

use crate::{Interval, Measurement, ScanError, UnknownFile};

/// The result of a scan: a table of points.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sensitivity {
    /// The unpruned model.
    pub baseline: Measurement,
    /// One point for each parameter and level, in the plan's order.
    pub points: Vec<Point>,
}

/// One parameter pruned to one level, all others as they were.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The parameter's path.
    pub parameter: String,
    /// The level asked for.
    pub requested: f64,
    /// The share of the parameter that is zero. Rounding to whole units makes it differ.
    pub achieved: f64,
    /// Multiplications and additions of the pruned model, if known.
    pub macs: Option<u64>,
    /// Mean loss.
    pub loss: f64,
    /// The metrics.
    pub metrics: Vec<MetricValue>,
    /// If losses were paired, the 95 % confidence interval of the difference to the unpruned model's loss, added to that
    /// loss.
    pub interval: Option<Interval>,
}

impl Point {
    /// The value of the metric of this name, of which `loss` is one; NaN if there is none.
    #[must_use]
    pub fn value(&self, metric: &str) -> f64 {
        value(self.loss, &self.metrics, metric)
    }
}

/// The value of a metric, of which `loss` is one.
fn value(loss: f64, metrics: &[MetricValue], name: &str) -> f64 {
    if name == "loss" {
        return loss;
    }
    let found = metrics.iter().find(|metric| metric.name == name);
    found.map_or(f64::NAN, |metric| metric.value)
}

/// The names of metrics.
pub(crate) fn names_of(metrics: &[MetricValue]) -> Vec<String> {
    metrics.iter().map(|metric| metric.name.clone()).collect()
}

/// The columns before the metrics, the one behind them, and those that scans with paired losses have besides.
const FIRST: [&str; 4] = ["parameter", "requested", "achieved", "macs"];
const LOSS: &str = "loss";
const PAIRED: [&str; 2] = ["loss_low", "loss_high"];

impl Sensitivity {
    /// The points of each parameter, in the plan's order.
    pub fn by_parameter(&self) -> impl Iterator<Item = (&str, &[Point])> {
        self.points
            .chunk_by(|a, b| a.parameter == b.parameter)
            .map(|points| (points[0].parameter.as_str(), points))
    }

    /// As CSV: `parameter,requested,achieved,macs`, the metrics in their order, and `loss`. The first row is the unpruned
    /// model and has no parameter.
    ///
    /// If losses were paired, `loss_low` and `loss_high` follow: the 95 % confidence interval of the *difference* to the
    /// unpruned model's loss, added to that loss.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let paired = self.points.iter().any(|point| point.interval.is_some());
        let names = names_of(&self.baseline.evaluation.metrics);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let baseline = self.baseline_row();
        let rows = std::iter::once(&baseline).chain(&self.points);
        let rows = rows.map(|point| {
            let mut cells = vec![
                point.parameter.clone(),
                number(point.requested),
                number(point.achieved),
                point.macs.map(|macs| macs.to_string()).unwrap_or_default(),
            ];
            cells.extend(names.iter().map(|name| number(point.value(name))));
            cells.push(number(point.loss));
            if paired {
                let ends = |pick: fn(&Interval) -> f64| {
                    point
                        .interval
                        .as_ref()
                        .map(pick)
                        .map(number)
                        .unwrap_or_default()
                };
                cells.extend([
                    ends(|interval| interval.low),
                    ends(|interval| interval.high),
                ]);
            }
            cells
        });
        let written = writer.write_record(header(&names, paired)).and_then(|()| {
            rows.into_iter()
                .try_for_each(|row| writer.write_record(row))
        });
        written.expect("plain rows in memory can be written");
        let text = writer.into_inner().expect("a vector takes all writes");
        String::from_utf8(text).expect("text in is text out")
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote, or a part of it. Losses of single examples are not in it, nor is the number
    /// of examples.
    ///
    /// # Errors
    ///
    /// If the text has other columns, a cell is not a number, or there is no row of the unpruned model.
    pub fn from_csv(text: &str) -> Result<Self, UnknownFile> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let found = reader.headers()?.clone();
        let cells: Vec<&str> = found.iter().collect();
        let paired = cells.ends_with(&PAIRED);
        let end = cells.len() - if paired { PAIRED.len() } else { 0 };
        let middle = end
            .checked_sub(1)
            .and_then(|end| cells.get(FIRST.len()..end));
        let names: Vec<String> = match middle {
            Some(names) if cells.starts_with(&FIRST) && cells[end - 1] == LOSS => {
                names.iter().map(|name| (*name).to_owned()).collect()
            }
            _ => {
                return Err(UnknownFile::Columns {
                    found: cells.join(","),
                    expected: format!("{}, the metrics, {LOSS}", FIRST.join(",")),
                });
            }
        };
        let mut baseline = None;
        let mut points = Vec::new();
        for row in reader.into_records() {
            let point = read_row(&row?, &names, paired)?;
            if point.parameter.is_empty() {
                baseline = Some(Measurement::from(Evaluation {
                    loss: point.loss,
                    metrics: point.metrics,
                    count: 0,
                }));
            } else {
                points.push(point);
            }
        }
        let baseline = baseline.ok_or(UnknownFile::NoBaseline)?;
        Ok(Self { baseline, points })
    }

    /// Reads a file of [`to_csv`](Self::to_csv).
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not such a table.
    pub fn read(file: &Path) -> Result<Self, ScanError> {
        let text = std::fs::read_to_string(file).map_err(|source| ScanError::Io {
            file: file.to_path_buf(),
            source,
        })?;
        Self::from_csv(&text).map_err(|source| ScanError::File {
            file: file.to_path_buf(),
            source,
        })
    }

    /// Writes the CSV, atomically (see [`calcine_files::write()`]).
    ///
    /// # Errors
    ///
    /// If the file system refuses.
    pub fn write(&self, file: &Path) -> Result<(), ScanError> {
        calcine_files::write(file, self.to_csv()).map_err(|source| ScanError::Io {
            file: file.to_path_buf(),
            source,
        })
    }

    /// The unpruned model as a point without a parameter.
    fn baseline_row(&self) -> Point {
        let evaluation = &self.baseline.evaluation;
        Point {
            parameter: String::new(),
            requested: 0.0,
            achieved: 0.0,
            macs: None,
            loss: evaluation.loss,
            metrics: evaluation.metrics.clone(),
            interval: None,
        }
    }
}

/// A number as it is read again to the bit, `1.0` and not `1`.
fn number(value: f64) -> String {
    format!("{value:?}")
}

/// A row of the file.
fn read_row(row: &csv::StringRecord, names: &[String], paired: bool) -> Result<Point, UnknownFile> {
    let line = row.position().map_or(0, csv::Position::line);
    let cell = |at: usize| row.get(at).unwrap_or_default();
    let read = |at: usize| {
        let text = cell(at);
        text.trim().parse::<f64>().map_err(|_| UnknownFile::Number {
            line,
            text: text.to_owned(),
        })
    };
    let loss = FIRST.len() + names.len();
    let macs = match cell(3) {
        "" => None,
        text => Some(text.parse().map_err(|_| UnknownFile::Number {
            line,
            text: text.to_owned(),
        })?),
    };
    let interval = match (paired, cell(loss + 1)) {
        (false, _) | (true, "") => None,
        (true, _) => Some(Interval {
            low: read(loss + 1)?,
            high: read(loss + 2)?,
        }),
    };
    let metrics = names.iter().enumerate().map(|(at, name)| {
        Ok(MetricValue {
            name: name.clone(),
            value: read(FIRST.len() + at)?,
        })
    });
    Ok(Point {
        parameter: cell(0).to_owned(),
        requested: read(1)?,
        achieved: read(2)?,
        macs,
        loss: read(loss)?,
        metrics: metrics.collect::<Result<_, UnknownFile>>()?,
        interval,
    })
}

fn header(names: &[String], paired: bool) -> Vec<String> {
    let paired = PAIRED.iter().filter(|_| paired);
    let first = FIRST.iter().map(|name| (*name).to_owned());
    let last = std::iter::once(&LOSS).chain(paired);
    let last = last.map(|name| (*name).to_owned());
    first.chain(names.iter().cloned()).chain(last).collect()
}
