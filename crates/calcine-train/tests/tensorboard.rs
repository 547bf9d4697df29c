//! Event files, read back record by record: framing, checksums and messages decoded by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use calcine_testkit::Mlp;
use calcine_train::{Classification, Log, Logged, TensorBoard, fit};
use tempfile::tempdir;

use crate::logs::{Kept, STEPS, killed_and_resumed, run, settings, whole};
use crate::made_up::MadeUp;

/// CRC-32C bit by bit: the reflected polynomial 0x1EDC6F41, all ones before and after.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[allow(clippy::manual_rotate, reason = "as the format is written down")]
fn masked(crc: u32) -> u32 {
    ((crc >> 15) | (crc << 17)).wrapping_add(0xa282_ead8)
}

/// The data of each record of a file.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let length = take(&mut file, 8);
        assert_eq!(take(&mut file, 4), masked(crc32c(length)).to_le_bytes());
        let data = take(&mut file, u64::from_le_bytes(length.try_into().unwrap()));
        assert_eq!(take(&mut file, 4), masked(crc32c(data)).to_le_bytes());
        records.push(data.to_vec());
    }
    records
}

/// A field of a message as it stands in the file.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Fixed32([u8; 4]),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => panic!("{self:?} has no length"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn double(&self) -> f64 {
        match self {
            Self::Fixed64(bytes) => f64::from_le_bytes(*bytes),
            _ => panic!("{self:?} is no double"),
        }
    }

    fn doubles(&self) -> Vec<f64> {
        let chunks = self.bytes().chunks(8);
        chunks
            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count as usize);
    *bytes = rest;
    taken
}

/// The fields of a message by their numbers, each in the order of the file.
fn fields(mut bytes: &[u8]) -> BTreeMap<u64, Vec<Field>> {
    let mut fields = BTreeMap::<u64, Vec<Field>>::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Fixed64(take(&mut bytes, 8).try_into().unwrap()),
            2 => {
                let length = varint(&mut bytes);
                Field::Bytes(take(&mut bytes, length).to_vec())
            }
            5 => Field::Fixed32(take(&mut bytes, 4).try_into().unwrap()),
            other => panic!("wire type {other}"),
        };
        fields.entry(key >> 3).or_default().push(field);
    }
    fields
}

/// An event, as far as it is written here.
#[derive(Debug, Clone, PartialEq)]
enum What {
    Version(String),
    Start,
    Scalar(String, f32),
    Histogram(String, [f64; 5], Vec<f64>, Vec<f64>),
}

/// The steps and contents of a file's events.
fn events(file: &Path) -> Vec<(u64, What)> {
    let mut events = Vec::new();
    for record in records(&fs::read(file).unwrap()) {
        let event = fields(&record);
        assert!(event[&1][0].double() > 1.7e9, "seconds since 1970");
        let step = match event.get(&2).map(|field| &field[0]) {
            None => 0,
            Some(Field::Varint(step)) => *step,
            other => panic!("{other:?} is no step"),
        };
        let only = *event.keys().max().unwrap();
        match only {
            3 => events.push((step, What::Version(event[&3][0].text()))),
            7 => {
                let session = fields(event[&7][0].bytes());
                assert_eq!(session, BTreeMap::from([(1, vec![Field::Varint(1)])]));
                events.push((step, What::Start));
            }
            5 => {
                let summary = fields(event[&5][0].bytes());
                let values = summary.get(&1).into_iter().flatten();
                events.extend(values.map(|value| (step, content(value.bytes()))));
            }
            other => panic!("field {other}"),
        }
    }
    events
}

fn content(value: &[u8]) -> What {
    let value = fields(value);
    let tag = value[&1][0].text();
    if let Some(scalar) = value.get(&2) {
        let Field::Fixed32(bytes) = &scalar[0] else {
            panic!("{scalar:?} is no float")
        };
        return What::Scalar(tag, f32::from_le_bytes(*bytes));
    }
    let histogram = fields(value[&5][0].bytes());
    let number = |field| histogram.get(&field).map_or(0.0, |found| found[0].double());
    let numbers = [1, 2, 3, 4, 5].map(number);
    let list = |field| {
        histogram
            .get(&field)
            .map_or(Vec::new(), |found| found[0].doubles())
    };
    What::Histogram(tag, numbers, list(6), list(7))
}

/// The event files of a directory, in TensorBoard's order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_bitwise_checksum_is_the_standards() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn scalars_and_histograms_are_read_back() {
    let directory = tempdir().unwrap();
    let mut log = TensorBoard::new(directory.path().join("a/b"));
    let long = "x".repeat(300);
    log.scalars(0, &[("a/loss", 0.1), (&long, -1e30)]).unwrap();
    log.scalars(1 << 40, &[("a/loss", f64::INFINITY)]).unwrap();
    log.histogram(7, "w", &[0.0, 0.0, 2.0, -2.0]).unwrap();
    log.histogram(8, "w", &[0.5, 0.5]).unwrap();
    log.flush().unwrap();
    let files = files(&directory.path().join("a/b"));
    assert_eq!(files.len(), 1);
    let events = events(&files[0]);
    let scalar = |step, tag: &str, value| (step, What::Scalar(tag.to_owned(), value));
    let expected = [
        (0, What::Version("brain.Event:2".to_owned())),
        scalar(0, "a/loss", 0.1),
        scalar(0, &long, -1e30),
        scalar(1 << 40, "a/loss", f32::INFINITY),
    ];
    assert_eq!(events[..4], expected);
    let (step, What::Histogram(tag, numbers, edges, counts)) = &events[4] else {
        panic!("{:?}", events[4])
    };
    assert_eq!((*step, tag.as_str()), (7, "w"));
    assert_eq!(*numbers, [-2.0, 2.0, 4.0, 0.0, 8.0]);
    assert_eq!((edges.len(), edges[99], edges[199]), (200, 0.0, 2.0));
    // 0 is the left edge of bucket 100.
    assert_eq!((counts[0], counts[100], counts[199]), (1.0, 2.0, 1.0));
    assert_eq!(counts.iter().sum::<f64>(), 4.0);
    let one = [0.5, 0.5, 2.0, 1.0, 0.5];
    let equal = What::Histogram("w".to_owned(), one, vec![0.5], vec![2.0]);
    assert_eq!(events[5..], [(8, equal)]);
}

#[test]
fn a_directorys_next_file_is_later_by_name_even_within_a_second_or_if_the_clock_goes_back() {
    let directory = tempdir().unwrap();
    let ahead = "events.out.tfevents.7000000000.elsewhere.v2";
    fs::write(directory.path().join(ahead), "").unwrap();
    fs::write(directory.path().join("notes.txt"), "").unwrap();
    for step in [1, 2] {
        let mut log = TensorBoard::new(directory.path());
        log.scalars(step, &[("a", 1.0)]).unwrap();
    }
    let names: Vec<_> = files(directory.path())
        .into_iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let expected = [
        ahead,
        "events.out.tfevents.7000000001.calcine",
        "events.out.tfevents.7000000002.calcine",
        "notes.txt",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_log_that_is_only_rewound_makes_no_file() {
    let directory = tempdir().unwrap();
    let mut log = TensorBoard::new(directory.path());
    log.rewind(5).unwrap();
    log.flush().unwrap();
    assert!(files(directory.path()).is_empty());
}

#[test]
fn after_a_restart_a_new_file_takes_later_steps_back_and_the_rest_is_a_whole_runs() {
    let directory = tempdir().unwrap();
    let (checkpoints, logs) = (
        directory.path().join("checkpoints"),
        directory.path().join("tb"),
    );
    killed_and_resumed(&checkpoints, || TensorBoard::new(&logs));
    let files = files(&logs);
    assert_eq!(files.len(), 2);
    let starts: Vec<_> = files.iter().map(|file| events(file)[1].clone()).collect();
    assert_eq!(starts, [(1, What::Start), (7, What::Start)]);
    // As TensorBoard reads them: a start takes back its own step and all later ones.
    let mut read: Vec<(u64, String, f32)> = Vec::new();
    for (step, what) in files.iter().flat_map(|file| events(file)) {
        match what {
            What::Start => read.retain(|(earlier, ..)| *earlier < step),
            What::Scalar(tag, value) => read.push((step, tag, value)),
            _ => {}
        }
    }
    let mut kept = Kept::default();
    for (step, tag, value) in &read {
        kept.scalars(*step, &[(tag, f64::from(*value))]).unwrap();
    }
    kept.0
        .remove("Performance/Training/SamplesPerSecond")
        .unwrap();
    let mut expected = whole().0;
    for value in expected.values_mut().flat_map(BTreeMap::values_mut) {
        *value = f64::from(*value as f32);
    }
    assert_eq!(kept.0, expected);
}

#[test]
fn histograms_of_the_weights_are_written_after_each_epoch_if_asked_for() {
    let directory = tempdir().unwrap();
    let mut logged = Logged::new(TensorBoard::new(directory.path())).with_histograms();
    let data = MadeUp::for_mlp(STEPS);
    fit(
        run(),
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    logged.finish().unwrap();
    let mut found = Vec::new();
    for (step, what) in events(&files(directory.path())[0]) {
        if let What::Histogram(tag, [min, max, num, ..], edges, counts) = what {
            let zero = edges.iter().position(|edge| *edge > 0.0).unwrap();
            assert!(min < 0.0 && max > 0.0);
            found.push((step, tag, num, counts[zero] >= num / 2.0));
        }
    }
    let row = |step, layer: &str, num, half| (step, format!("weights/{layer}.weight"), num, half);
    let expected = [
        row(4, "first", 96.0, false),
        row(4, "second", 48.0, false),
        row(8, "first", 96.0, true),
        row(8, "second", 48.0, true),
        row(12, "first", 96.0, true),
        row(12, "second", 48.0, true),
    ];
    assert_eq!(found, expected);
}
