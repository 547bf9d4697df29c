//! Writing the recipe: TOML with comments, each line of which knows the place that it comes from.

use std::ops::Range;

use crate::node::At;

/// Columns of a line.
const WIDTH: usize = 100;

/// A table with a name.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// A line above it.
    pub(crate) about: String,
    pub(crate) entries: Vec<Entry>,
    /// The amounts by parameter, a table of its own.
    pub(crate) by_name: Option<(&'static str, Vec<Entry>)>,
    pub(crate) span: Range<usize>,
}

/// A key and a value as written.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    key: String,
    value: String,
    span: Range<usize>,
}

impl Entry {
    pub(crate) fn text(key: &str, text: &str, span: &Range<usize>) -> Self {
        Self::written(key, quoted(text), span)
    }

    pub(crate) fn number(key: &str, number: &At<f64>) -> Self {
        Self::written(key, float(number.value), &number.span)
    }

    pub(crate) fn whole(key: &str, number: u64, span: &Range<usize>) -> Self {
        Self::written(key, number.to_string(), span)
    }

    pub(crate) fn flag(key: &str, span: &Range<usize>) -> Self {
        Self::written(key, "true".to_owned(), span)
    }

    /// A list of texts, one a line if they do not fit.
    pub(crate) fn texts<'a>(
        key: &str,
        texts: impl IntoIterator<Item = &'a str>,
        span: &Range<usize>,
    ) -> Self {
        let texts: Vec<String> = texts.into_iter().map(quoted).collect();
        Self::list(key, &texts, span)
    }

    /// A list of numbers as written.
    pub(crate) fn list(key: &str, items: &[String], span: &Range<usize>) -> Self {
        let line = format!("[{}]", items.join(", "));
        let fits = key.len() + " = ".len() + line.chars().count() <= WIDTH;
        let value = match fits {
            true => line,
            false => format!("[\n  {},\n]", items.join(",\n  ")),
        };
        Self::written(key, value, span)
    }

    /// A value as it stands in TOML.
    pub(crate) fn written(key: &str, value: String, span: &Range<usize>) -> Self {
        Self {
            key: key.to_owned(),
            value,
            span: span.clone(),
        }
    }

    /// The same value for a parameter.
    pub(crate) fn of_parameter(name: &str, value: String, span: &Range<usize>) -> Self {
        Self::written(&quoted(name), value, span)
    }
}

/// A number as TOML's float.
pub(crate) fn float(number: f64) -> String {
    format!("{number:?}")
}

/// TOML's basic string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A name as TOML's key.
fn key(name: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// The recipe so far.
#[derive(Debug, Default)]
pub(crate) struct Text {
    lines: Vec<(String, Range<usize>)>,
}

impl Text {
    pub(crate) fn line(&mut self, line: &str, span: &Range<usize>) {
        for line in line.split('\n') {
            self.lines.push((line.to_owned(), span.clone()));
        }
    }

    pub(crate) fn blank(&mut self) {
        self.line("", &(0..0));
    }

    /// A comment, broken into lines; those after the first begin with `hang`.
    pub(crate) fn comment(&mut self, comment: &str, hang: &str) {
        let comment: String = comment
            .chars()
            .map(|letter| {
                if letter.is_control() {
                    '\u{FFFD}'
                } else {
                    letter
                }
            })
            .collect();
        let mut line = String::from("#");
        for word in comment.split(' ') {
            let length = line.chars().count() + 1 + word.chars().count();
            if length > WIDTH && line.trim_end() != "#" {
                self.line(&line, &(0..0));
                line = format!("#{hang}");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(line.trim_end(), &(0..0));
    }

    /// `[kind.NAME]`.
    pub(crate) fn table(&mut self, kind: &str, table: &Table) {
        self.blank();
        self.comment(&table.about, "");
        let path = format!("{kind}.{}", key(&table.name));
        self.line(&format!("[{path}]"), &table.span);
        self.entries(&table.entries);
        if let Some((amount, entries)) = &table.by_name {
            self.blank();
            self.line(&format!("[{path}.{amount}]"), &table.span);
            self.entries(entries);
        }
    }

    pub(crate) fn entries(&mut self, entries: &[Entry]) {
        for Entry { key, value, span } in entries {
            self.line(&format!("{key} = {value}"), span);
        }
    }

    /// The place in the schedule that a line (from 1) of the recipe comes from.
    pub(crate) fn origin(&self, line: usize) -> Range<usize> {
        let line = self.lines.get(line.saturating_sub(1));
        line.map_or(0..0, |(_, span)| span.clone())
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines
            .iter()
            .try_for_each(|(line, _)| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_toml_reads_them() {
        for text in [
            "plain",
            "a\"b\\c",
            "line\nend\t\u{7f}\u{1}",
            "ünïcode \u{1F600}",
            "",
        ] {
            let document = format!("{} = {}", key(text), quoted(text));
            let table: toml::Table = document.parse().expect("it is TOML");
            let (key, value) = table.iter().next().expect("it has an entry");
            assert_eq!((key.as_str(), value.as_str()), (text, Some(text)));
        }
    }

    #[test]
    fn numbers_stay_what_they_are() {
        for number in [0.5, 1e-5, 0.000_012, 1e16, 100.0, 0.1 + 0.2, 5e-324] {
            let table: toml::Table = format!("x = {}", float(number)).parse().expect("TOML");
            assert_eq!(table["x"].as_float(), Some(number));
        }
    }

    #[test]
    fn comments_are_broken_between_words_and_hold_no_line_ends() {
        let mut text = Text::default();
        text.comment(&format!("one {} two\nthree", "x".repeat(95)), "  ");
        let expected = format!("# one\n#   {}\n#   two\u{FFFD}three\n", "x".repeat(95));
        assert_eq!(text.to_string(), expected);
    }
}
