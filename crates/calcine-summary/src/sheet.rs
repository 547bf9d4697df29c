use std::fmt;

use comfy_table::presets;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};

/// A table of text: a header and rows of as many cells. The first column is left-aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Column titles.
    pub header: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// As comma-separated values with a header line and `\n` line ends.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in std::iter::once(&self.header).chain(&self.rows) {
            writer
                .write_record(row)
                .expect("every row has as many cells as the header");
        }
        let bytes = writer.into_inner().expect("a vector takes all writes");
        String::from_utf8(bytes).expect("cells are text")
    }

    /// As a Markdown table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        self.table(presets::ASCII_MARKDOWN)
    }

    fn table(&self, style: TableStyle) -> String {
        let mut table = Table::new();
        table
            .load_style(style)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

/// For a console.
impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(presets::UTF8_FULL_CONDENSED))
    }
}

/// A whole number with a comma before each three digits: `40,813,184`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `(16, 3, 3, 3)`.
pub(crate) fn tuple(shape: &[usize]) -> String {
    format!("({})", joined(shape, ", "))
}

/// `16x3x3x3`.
pub(crate) fn joined(shape: &[usize], between: &str) -> String {
    let lengths: Vec<_> = shape.iter().map(ToString::to_string).collect();
    lengths.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_before_each_three_digits() {
        let text = [0, 7, 999, 1_000, 123_456, 40_813_184].map(thousands);
        assert_eq!(text, ["0", "7", "999", "1,000", "123,456", "40,813,184"]);
    }
}
