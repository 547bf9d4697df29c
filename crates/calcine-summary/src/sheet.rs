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
