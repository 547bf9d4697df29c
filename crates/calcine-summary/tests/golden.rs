//! Agreement with Distiller's sparsity table of a masked ResNet-20.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use calcine_fold::Layout;
use calcine_summary::{SparsityTable, Weight};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

/// Masks are packed, eight elements to a byte, the most significant bit first.
fn mask(file: &Golden, name: &str, numel: usize) -> Vec<f32> {
    let bytes = file.values(&serde_json::json!({ "tensor": name })).1;
    (0..numel)
        .map(|i| f32::from((bytes[i / 8] as u8 >> (7 - i % 8)) & 1))
        .collect()
}

fn masked(case: &Value) -> Vec<&str> {
    let names = case["input"]["masks"]["tensors"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap()).collect()
}

fn base() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let path = golden::directory().join("resnet20_base.safetensors");
    let tensors = golden::safetensors(&path).into_iter();
    tensors
        .map(|(name, shape, values)| (name, (shape, values)))
        .collect()
}

fn weight(name: &str, shape: &[usize], values: Vec<f32>) -> Weight {
    let count = values.len();
    Weight {
        name: name.to_owned(),
        shape: shape.to_vec(),
        layout: Some(Layout::OutputFirst),
        groups: 1,
        values: Tensor::from_data(TensorData::new(values, [count]), &device()),
    }
}

/// The parameters named in the table's rows, under their masks; as numbers, or as the masks
/// themselves.
fn table(file: &Golden, case: &Value, names: &[&str], masks_only: bool) -> SparsityTable {
    let base = base();
    let masked = masked(case);
    let weights = names.iter().map(|name| {
        let (shape, values) = &base[*name];
        let keep = if masked.contains(name) {
            mask(file, name, values.len())
        } else {
            vec![1.0; values.len()]
        };
        let values = keep
            .iter()
            .zip(values)
            .map(|(k, x)| if masks_only { *k } else { k * x });
        weight(name, shape, values.collect())
    });
    SparsityTable::of_weights(weights.collect())
}

fn assert_percent(ours: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (ours - expected).abs() < 1e-9,
        "{what}: ours {ours}, expected {expected}"
    );
}

fn assert_moment(ours: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    let close = approx::relative_eq!(ours, expected, epsilon = 1e-7, max_relative = 1e-5);
    assert!(close, "{what}: ours {ours}, expected {expected}");
}

fn check_table(file: &Golden, case: &Value) {
    let expect = &case["expect"];
    let rows = expect["rows"].as_array().unwrap();
    let (total, rows) = rows.split_last().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["Name"].as_str().unwrap())
        .collect();
    let table = table(file, case, &names, false);
    for (ours, row) in table.rows.iter().zip(rows) {
        let shape: Vec<String> = ours.shape.iter().map(ToString::to_string).collect();
        assert_eq!(row["Shape"], format!("({})", shape.join(", ")));
        assert_eq!(row["NNZ (dense)"], ours.numel);
        // Where Distiller truncates, the count stands beside.
        assert_eq!(row["nnz_exact"], ours.nonzero, "{}", ours.name);
        let percents = [
            ("Cols (%)", ours.fc_outputs),
            ("Rows (%)", ours.fc_inputs),
            ("Ch (%)", ours.channels),
            ("2D (%)", ours.kernels),
            ("3D (%)", ours.filters),
            ("Fine (%)", ours.elements),
        ];
        for (column, percent) in percents {
            assert_percent(percent, &row[column], &format!("{} {column}", ours.name));
        }
        for (column, moment) in [
            ("Std", ours.std),
            ("Mean", ours.mean),
            ("Abs-Mean", ours.abs_mean),
        ] {
            assert_moment(moment, &row[column], &format!("{} {column}", ours.name));
        }
    }
    assert_eq!(total["NNZ (dense)"], table.total().total);
    assert_eq!(
        expect["params_nnz_cnt"].as_f64().unwrap() as u64,
        table.total().nonzero
    );
    assert_percent(
        100.0 * table.total().sparsity(),
        &expect["total_sparsity_percent"],
        "total",
    );
    assert_sheet(&table, expect);
}

/// The text has the same columns in the same order; cells differ in their last digit at most, and
/// counts where Distiller's are truncated.
fn assert_sheet(table: &SparsityTable, expect: &Value) {
    let sheet = table.sheet();
    assert_eq!(serde_json::json!(sheet.header), expect["columns"]);
    let rendered = expect["rendered_table"].as_str().unwrap();
    let rows: Vec<Vec<&str>> = rendered
        .lines()
        .filter(|line| line.starts_with('|') && !line.contains("---"))
        .skip(1)
        .map(|line| {
            line.split('|')
                .skip(2)
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(sheet.rows.len(), rows.len());
    for (ours, theirs) in sheet.rows.iter().zip(rows) {
        assert_eq!(ours.len(), theirs.len());
        for (column, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            match (ours.parse::<f64>(), theirs.parse::<f64>()) {
                (Ok(ours), Ok(theirs)) => {
                    let last_digit = if column == 3 { 1.0 } else { 1.01e-5 };
                    assert!((ours - theirs).abs() <= last_digit, "{ours} {theirs}");
                }
                // Distiller writes a shape as a tuple, Calcine as a list.
                _ => assert_eq!(*ours, theirs.replace('(', "[").replace(')', "]")),
            }
        }
    }
}

fn check_masks_table(file: &Golden, case: &Value) {
    let rows = case["expect"]["rows"].as_array().unwrap();
    let (total, rows) = rows.split_last().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap()).collect();
    let table = table(file, case, &names, true);
    for (ours, row) in table.rows.iter().zip(rows) {
        assert_percent(ours.elements, &row[1], &ours.name);
    }
    assert_percent(100.0 * table.total().sparsity(), &total[1], "total");
}

/// A table of one weight with this many non-zeros: a count, not a truncated product.
fn check_truncation(case: &Value) {
    let number = |part: &str, key: &str| case[part][key].as_u64().unwrap() as usize;
    let (numel, nonzero) = (number("args", "numel"), number("args", "nnz"));
    let values = (0..numel).map(|i| f32::from(i < nonzero)).collect();
    let table = SparsityTable::of_weights(vec![weight("w", &[1, numel], values)]);
    assert_eq!(table.rows[0].nonzero, number("expect", "nnz_exact") as u64);
}

#[test]
fn golden_sparsity_table() {
    let file = golden::open("sparsity_table_resnet20");
    each(file.cases(""), |case| {
        let expect = &case["expect"];
        if expect.get("nnz_exact").is_some() {
            check_truncation(case);
        } else if expect["rows"][0].is_array() {
            check_masks_table(&file, case);
        } else {
            check_table(&file, case);
        }
    });
}
