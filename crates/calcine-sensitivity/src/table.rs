use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Interval, Measurement, ScanError, UnknownFile};

/// What a scan found out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sensitivity {
    /// The unpruned model.
    pub baseline: Measurement,
    /// One point a parameter and level, in the plan's order.
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
    /// Right at the first guess, in percent.
    pub top1: f64,
    /// Right within five guesses, in percent.
    pub top5: f64,
    /// Mean loss.
    pub loss: f64,
    /// If losses were paired, how sure the loss is: the 95 % interval of its difference to the unpruned
    /// model, put upon that model's loss.
    pub interval: Option<Interval>,
}

/// The columns, and those that scans with paired losses have besides.
const COLUMNS: [&str; 7] = [
    "parameter",
    "requested",
    "achieved",
    "macs",
    "top1",
    "top5",
    "loss",
];
const PAIRED: [&str; 2] = ["loss_low", "loss_high"];

/// A line of the file. The unpruned model has no parameter.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    parameter: String,
    requested: f64,
    achieved: f64,
    macs: Option<u64>,
    top1: f64,
    top5: f64,
    loss: f64,
    loss_low: Option<f64>,
    loss_high: Option<f64>,
}

impl Sensitivity {
    /// The points of each parameter, in the plan's order.
    pub fn by_parameter(&self) -> impl Iterator<Item = (&str, &[Point])> {
        self.points
            .chunk_by(|a, b| a.parameter == b.parameter)
            .map(|points| (points[0].parameter.as_str(), points))
    }

    /// As CSV: `parameter,requested,achieved,macs,top1,top5,loss`. The first row is the unpruned model and
    /// has no parameter.
    ///
    /// Where losses were paired, `loss_low` and `loss_high` follow: the 95 % interval of the *difference* to
    /// the unpruned model, put upon that model's loss.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let paired = self.points.iter().any(|point| point.interval.is_some());
        let mut text = Vec::new();
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(&mut text);
        let put = |writer: &mut csv::Writer<_>, row: Row| {
            let (low, high) = (row.loss_low, row.loss_high);
            let row = (
                row.parameter,
                row.requested,
                row.achieved,
                row.macs,
                row.top1,
                row.top5,
                row.loss,
            );
            if paired {
                writer.serialize((row, low, high))
            } else {
                writer.serialize(row)
            }
        };
        let header = header(paired);
        let written = writer
            .write_record(&header)
            .and_then(|()| put(&mut writer, self.baseline_row()))
            .and_then(|()| {
                self.points
                    .iter()
                    .try_for_each(|point| put(&mut writer, Row::of(point)))
            });
        written.expect("plain rows in memory can be written");
        drop(writer);
        String::from_utf8(text).expect("text in is text out")
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote, or a part of it. Losses of single examples are not in it.
    ///
    /// # Errors
    ///
    /// If it is no such text.
    pub fn from_csv(text: &str) -> Result<Self, UnknownFile> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let found = reader.headers()?;
        if [false, true]
            .into_iter()
            .all(|paired| *found != header(paired))
        {
            return Err(UnknownFile::Columns {
                found: found.iter().collect::<Vec<_>>().join(","),
                expected: COLUMNS.join(","),
            });
        }
        let mut baseline = None;
        let mut points = Vec::new();
        for row in reader.deserialize() {
            let row: Row = row?;
            if row.parameter.is_empty() {
                baseline = Some(Measurement {
                    top1: row.top1,
                    top5: row.top5,
                    loss: row.loss,
                    losses: Vec::new(),
                });
                continue;
            }
            points.push(Point {
                parameter: row.parameter,
                requested: row.requested,
                achieved: row.achieved,
                macs: row.macs,
                top1: row.top1,
                top5: row.top5,
                loss: row.loss,
                interval: (row.loss_low.zip(row.loss_high))
                    .map(|(low, high)| Interval { low, high }),
            });
        }
        let baseline = baseline.ok_or(UnknownFile::NoBaseline)?;
        Ok(Self { baseline, points })
    }

    /// Reads a file of [`to_csv`](Self::to_csv).
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no such file.
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

    fn baseline_row(&self) -> Row {
        Row {
            parameter: String::new(),
            requested: 0.0,
            achieved: 0.0,
            macs: None,
            top1: self.baseline.top1,
            top5: self.baseline.top5,
            loss: self.baseline.loss,
            loss_low: None,
            loss_high: None,
        }
    }
}

impl Row {
    fn of(point: &Point) -> Self {
        Self {
            parameter: point.parameter.clone(),
            requested: point.requested,
            achieved: point.achieved,
            macs: point.macs,
            top1: point.top1,
            top5: point.top5,
            loss: point.loss,
            loss_low: point.interval.map(|interval| interval.low),
            loss_high: point.interval.map(|interval| interval.high),
        }
    }
}

fn header(paired: bool) -> csv::StringRecord {
    let paired = PAIRED.iter().filter(|_| paired);
    COLUMNS
        .iter()
        .chain(paired)
        .copied()
        .collect::<Vec<_>>()
        .into()
}
