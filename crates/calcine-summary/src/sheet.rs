use std::fmt;

use comfy_table::presets;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};

/// A text table: a header, and rows with the same number of cells. The first column is left-aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The titles of the columns.
    pub header: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// The table as comma-separated values, with a header line and `\n` as the line end.
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

    /// The table in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        self.table(presets::ASCII_MARKDOWN, None)
    }

    /// The table for a console of this width in columns.
    ///
    /// If the table is wider than that, its titles are broken between words. If that is not enough, the remaining
    /// columns continue below, in parts that begin with the first column. Cells are broken only if the first column and
    /// one other column do not fit side by side.
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        let columns = 0..self.header.len();
        if span(columns.clone().map(|column| self.width(column))) <= width {
            return self.to_string();
        }
        let broken = Self {
            header: columns.map(|column| self.broken_title(column)).collect(),
            rows: self.rows.clone(),
        };
        let parts = broken.parts(width).into_iter();
        let parts = parts.map(|columns| {
            let part = broken.part(&columns);
            part.table(presets::UTF8_FULL_CONDENSED, Some(width))
        });
        parts.collect::<Vec<_>>().join("\n")
    }

    /// The columns of each part of a table that is too wide.
    fn parts(&self, width: usize) -> Vec<Vec<usize>> {
        let first = self.width(0);
        let mut parts = vec![vec![0]];
        for column in 1..self.header.len() {
            let part = parts.last().expect("there is one from the beginning");
            let taken = part.iter().skip(1).map(|&column| self.width(column));
            let with_it = span([first].into_iter().chain(taken).chain([self.width(column)]));
            if with_it <= width || part.len() == 1 {
                parts.last_mut().expect("as above").push(column);
            } else {
                parts.push(vec![0, column]);
            }
        }
        parts
    }

    /// The table with these columns only.
    fn part(&self, columns: &[usize]) -> Self {
        let pick = |cells: &Vec<String>| columns.iter().map(|&at| cells[at].clone()).collect();
        Self {
            header: pick(&self.header),
            rows: self.rows.iter().map(pick).collect(),
        }
    }

    /// The number of characters in the widest line of a column.
    fn width(&self, column: usize) -> usize {
        let title = self.header[column].lines().map(letters);
        title.max().unwrap_or(0).max(self.content(column))
    }

    /// The number of characters in the widest cell of a column.
    fn content(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| letters(&row[column]));
        cells.max().unwrap_or(0)
    }

    /// The title of a column in lines that are as wide as the content of the column, or as the widest word.
    fn broken_title(&self, column: usize) -> String {
        let content = self.content(column);
        let mut lines: Vec<String> = Vec::new();
        for word in self.header[column].split(' ') {
            match lines.last_mut() {
                Some(line) if letters(line) + 1 + letters(word) <= content => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.join("\n")
    }

    fn table(&self, style: TableStyle, width: Option<usize>) -> String {
        let mut table = Table::new();
        table.load_style(style);
        match width.and_then(|width| u16::try_from(width).ok()) {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(&self.header).add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

/// Text for a console of this width: longer lines are broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut broken = String::new();
        for word in line.split(' ') {
            if !broken.is_empty() && letters(&broken) + 1 + letters(word) > width {
                lines.push(std::mem::take(&mut broken));
            }
            if !broken.is_empty() {
                broken.push(' ');
            }
            broken.push_str(word);
        }
        lines.push(broken);
    }
    lines.join("\n")
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// The width of a table with columns of these widths, including a blank on each side of a cell and the rules.
fn span(columns: impl IntoIterator<Item = usize>) -> usize {
    1 + columns.into_iter().map(|width| width + 3).sum::<usize>()
}

/// For a console.
impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table(presets::UTF8_FULL_CONDENSED, None))
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

/// `[16, 3, 3, 3]`: the notation for shapes in all tables.
pub(crate) fn bracketed(shape: &[usize]) -> String {
    format!("[{}]", joined(shape, ", "))
}

/// `16x3x3x3`: the notation for shapes in CSV files, with a separator.
pub(crate) fn joined(shape: &[usize], between: &str) -> String {
    let lengths: Vec<_> = shape.iter().map(ToString::to_string).collect();
    lengths.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide() -> Sheet {
        let header = [
            "Name",
            "Weights volume",
            "MACs",
            "MACs (%)",
            "Zeros of it (%)",
        ];
        let rows = [
            ["layer1.0.conv1", "2,304", "40,813,184", "5.78", "12.50"],
            ["fc", "640", "640", "0.00", "0.00"],
            ["Total:", "2,944", "40,813,824", "100.00", "9.78"],
        ];
        Sheet {
            header: header.map(str::to_owned).to_vec(),
            rows: rows.map(|row| row.map(str::to_owned).to_vec()).to_vec(),
        }
    }

    #[test]
    fn a_table_that_fits_is_as_it_is() {
        let sheet = wide();
        let width = sheet.to_string().lines().map(letters).max();
        let width = width.expect("it has lines");
        assert_eq!(sheet.fitted(width), sheet.to_string());
        assert_ne!(sheet.fitted(width - 1), sheet.to_string());
    }

    #[test]
    fn no_line_is_wider_than_the_console_and_no_cell_is_lost_or_broken() {
        let sheet = wide();
        for width in 20..=90 {
            let text = sheet.fitted(width);
            for line in text.lines() {
                assert!(letters(line) <= width, "{width}:\n{text}");
            }
            // The first column and the widest of the others.
            if width >= span([14, 10]) {
                for cell in sheet.rows.iter().flatten() {
                    assert!(
                        text.contains(&format!(" {cell} ")),
                        "{cell}, {width}:\n{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_table_that_does_not_fit_goes_on_below() {
        let text = wide().fitted(41);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1], "│ Name           ┆ Weights ┆       MACs │",
            "{text}"
        );
        assert_eq!(
            lines[2], "│                ┆  volume ┆            │",
            "{text}"
        );
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.contains("layer1.0.conv1"))
                .count(),
            2
        );
    }

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three\nfour", 7), "one two\nthree\nfour");
        assert_eq!(wrapped("unbreakable x", 4), "unbreakable\nx");
    }

    #[test]
    fn commas_stand_before_each_three_digits() {
        let text = [0, 7, 999, 1_000, 123_456, 40_813_184].map(thousands);
        assert_eq!(text, ["0", "7", "999", "1,000", "123,456", "40,813,184"]);
    }
}
