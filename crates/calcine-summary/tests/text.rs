//! What a table looks like.

use burn::tensor::Tensor;
use calcine_fold::Layout;
use calcine_summary::{Sheet, SparsityTable, Weight};
use calcine_testkit::device;

fn weight(name: &str, shape: &[usize], values: &[f32]) -> Weight {
    Weight {
        name: name.to_owned(),
        shape: shape.to_vec(),
        layout: Some(Layout::OutputFirst),
        groups: 1,
        values: Tensor::from_data(values, &device()),
    }
}

/// Numbers that every backend computes exactly.
fn table() -> SparsityTable {
    SparsityTable::of_weights(vec![
        weight("conv.weight", &[2, 1, 1, 2], &[0.0, 0.0, 1.5, -1.5]),
        weight("fc.weight", &[2, 2], &[2.0, 0.0, -2.0, 0.0]),
    ])
}

fn trimmed(text: &str) -> String {
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_console_gets_a_sheet_and_a_line_of_totals() {
    let shown = table().to_string();
    assert!(shown.contains("Total sparsity:"), "{shown}");
    assert!(
        shown.ends_with("All trainable parameters: 4 of 8 not zero (50.00 % zeros)"),
        "{shown}"
    );
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split(['│', '┆']).map(|cell| cell.trim().to_owned());
        cells.filter(|cell| !cell.is_empty()).take(4).collect()
    };
    let lines: Vec<_> = shown.lines().map(cells).collect();
    assert_eq!(lines[1], ["Name", "Shape", "NNZ (dense)", "NNZ (sparse)"]);
    assert_eq!(lines[3], ["conv.weight", "[2, 1, 1, 2]", "4", "2"]);
}

#[test]
fn markdown_is_a_table_of_pipes() {
    let markdown = trimmed(&table().sheet().to_markdown());
    let rows: Vec<Vec<&str>> = markdown
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 5, "{markdown}");
    assert!(rows.iter().all(|row| row.len() == 13), "{markdown}");
    assert!(
        rows[1].iter().all(|rule| rule.contains("---")),
        "{markdown}"
    );
    assert_eq!(rows[2][..4], ["conv.weight", "[2, 1, 1, 2]", "4", "2"]);
    assert_eq!(
        rows[2][4..10],
        [
            "0.00000", "0.00000", "0.00000", "50.00000", "50.00000", "50.00000"
        ]
    );
    assert_eq!(
        rows[3][4..10],
        [
            "0.00000", "50.00000", "0.00000", "0.00000", "0.00000", "50.00000"
        ]
    );
    assert_eq!(rows[4][..4], ["Total sparsity:", "-", "8", "4"]);
}

#[test]
fn the_csv_has_a_header_and_a_row_a_weight() {
    let expected = "\
parameter,shape,volume,sparse_volume,sparsity
conv.weight,2x1x1x2,4,2,0.5
fc.weight,2x2,4,2,0.5
";
    assert_eq!(table().to_csv(), expected);
}

#[test]
fn cells_that_need_quotes_get_them() {
    let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
    let sheet = Sheet {
        header: cells(["name", "note"]),
        rows: vec![cells(["a", "1, \"2\""])],
    };
    assert_eq!(sheet.to_csv(), "name,note\na,\"1, \"\"2\"\"\"\n");
}

#[test]
fn json_is_an_array_of_rows() {
    let json = table().to_json();
    let keys: Vec<&String> = json[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 14, "{keys:?}");
    assert_eq!(json[0]["structures_known"], true);
    assert_eq!(json[0]["name"], "conv.weight");
    assert_eq!(json[0]["shape"], serde_json::json!([2, 1, 1, 2]));
    assert_eq!(
        (&json[0]["numel"], &json[0]["nonzero"]),
        (&4.into(), &2.into())
    );
    assert_eq!(json[0]["filters"], 50.0);
    assert_eq!(json[1]["fc_inputs"], 50.0);
    assert_eq!(json[1]["abs_mean"], 1.0);
    assert_eq!(json.as_array().unwrap().len(), 2);
}
