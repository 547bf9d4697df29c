//! Reads a TOML table key by key, and reports every problem with its position.

use std::cell::RefCell;
use std::ops::Range;

use calcine_names::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problems;

/// A value and its position.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// A list of texts, each with its position.
pub(crate) type Texts = At<Vec<At<String>>>;

/// A table that is being read. Keys that have not been requested are unknown.
pub(crate) struct Section<'a> {
    table: &'a DeTable<'a>,
    pub(crate) span: Range<usize>,
    pub(crate) problems: &'a Problems,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>, span: Range<usize>, problems: &'a Problems) -> Self {
        Self {
            table,
            span,
            problems,
            asked: RefCell::default(),
        }
    }

    /// The value of a key, if it is present.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// Whether a key is present.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// The position of a key; if it is not present, the position of the table.
    pub(crate) fn place(&self, key: &str) -> Range<usize> {
        let mut keys = self.table.keys();
        let found = keys.find(|name| name.get_ref() == key);
        found.map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// A value of some type; a value of another type is a problem.
    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.get(key)?;
        match read(value.get_ref()) {
            Some(read) => Some(At::new(read, value.span())),
            None => {
                let found = describe(value.get_ref());
                self.problems.add(
                    &value.span(),
                    format!("`{key}` is {found}, expected {expected}"),
                );
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<At<String>> {
        self.read(key, "text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    pub(crate) fn number(&self, key: &'static str) -> Option<At<f64>> {
        self.read(key, "a number", number)
    }

    /// A number within a range; any other number is a problem.
    pub(crate) fn number_in(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<At<f64>> {
        let read = self.number(key)?;
        if range.contains(&read.value) {
            return Some(read);
        }
        let (low, high) = range.into_inner();
        let bound = match (low.is_finite(), high.is_finite()) {
            (_, false) => format!("of at least {low}"),
            _ => format!("between {low} and {high}"),
        };
        self.problems.add(
            &read.span,
            format!("`{key}` is {}, expected a number {bound}", read.value),
        );
        None
    }

    pub(crate) fn count(&self, key: &'static str) -> Option<At<u64>> {
        self.read(key, "a whole number, 0 or more", count)
    }

    /// A whole number above zero; any other number is a problem.
    pub(crate) fn positive(&self, key: &'static str) -> Option<At<u64>> {
        self.read(key, "a whole number above 0", |value| {
            count(value).filter(|n| *n > 0)
        })
    }

    pub(crate) fn flag(&self, key: &'static str) -> Option<At<bool>> {
        self.read(key, "true or false", DeValue::as_bool)
    }

    pub(crate) fn texts(&self, key: &'static str) -> Option<Texts> {
        self.read(key, "a list of texts", texts)
    }

    /// A list of lists: `[["a", "b"], ["c", "d"]]`.
    pub(crate) fn text_lists(&self, key: &'static str) -> Option<At<Vec<Texts>>> {
        self.read(key, "a list of lists of texts", |value| {
            let list = |list: &Spanned<DeValue<'_>>| {
                let inner = texts(list.get_ref()).filter(|texts| !texts.is_empty())?;
                Some(At::new(inner, list.span()))
            };
            value.as_array()?.iter().map(list).collect()
        })
    }

    pub(crate) fn counts(&self, key: &'static str) -> Option<At<Vec<u64>>> {
        self.read(key, "a list of whole numbers", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| count(item.get_ref()))
                .collect()
        })
    }

    pub(crate) fn numbers(&self, key: &'static str) -> Option<At<Vec<f64>>> {
        self.read(key, "a list of numbers", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| number(item.get_ref()))
                .collect()
        })
    }

    /// A list of pairs: `[[0.5, 0.3], [0.8, 0.5]]`.
    pub(crate) fn pairs(&self, key: &'static str) -> Option<At<Vec<(f64, f64)>>> {
        self.read(key, "a list of pairs of numbers", |value| {
            let pair = |item: &Spanned<DeValue<'_>>| {
                let [a, b] = item
                    .get_ref()
                    .as_array()?
                    .iter()
                    .collect::<Vec<_>>()
                    .try_into()
                    .ok()?;
                Some((number(a.get_ref())?, number(b.get_ref())?))
            };
            value.as_array()?.iter().map(pair).collect()
        })
    }

    /// The value; a missing value is a problem.
    pub(crate) fn need<T>(&self, key: &str, expected: &str, value: Option<At<T>>) -> Option<At<T>> {
        if !self.has(key) {
            self.problems
                .add(&self.span, format!("`{key}` is missing: {expected}"));
        }
        value
    }

    /// One of several words; any other word is a problem, with the nearest match.
    pub(crate) fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let text = self.text(key)?;
        match words.iter().find(|(word, _)| *word == text.value) {
            Some((_, meaning)) => Some(At::new(*meaning, text.span)),
            None => {
                let hint = suggest(&text.value, words.iter().map(|(word, _)| *word));
                self.problems.add(
                    &text.span,
                    format!("`{key}` cannot be `{}`; {hint}", text.value),
                );
                None
            }
        }
    }

    /// A subtable: `[key]`.
    pub(crate) fn table(&self, key: &'static str) -> Option<Self> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(table, value.span(), self.problems)),
            None => {
                let message = format!("`{key}` is a table: `[{key}]`");
                self.problems.add(&value.span(), message);
                None
            }
        }
    }

    /// Tables by name: `[key.NAME]`.
    pub(crate) fn named(&self, key: &'static str) -> Vec<(At<String>, Self)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(tables) = value.get_ref().as_table() else {
            let found = describe(value.get_ref());
            let message = format!("`{key}` is {found}, expected tables `[{key}.NAME]`");
            self.problems.add(&value.span(), message);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, value) in tables {
            match value.get_ref().as_table() {
                Some(table) => {
                    let name = At::new(name.get_ref().to_string(), name.span());
                    let span = name.span.clone();
                    sections.push((name, Section::new(table, span, self.problems)));
                }
                None => {
                    let found = describe(value.get_ref());
                    let name = name.get_ref();
                    let message = format!("`{key}.{name}` is {found}, expected a table");
                    self.problems.add(&value.span(), message);
                }
            }
        }
        sections
    }

    /// An array of tables: `[[key]]`.
    pub(crate) fn list(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let tables = value.get_ref().as_array().map(|items| {
            items
                .iter()
                .map(|item| Some((item.get_ref().as_table()?, item.span())))
                .collect()
        });
        match tables {
            Some(Some(tables)) => {
                let tables: Vec<_> = tables;
                let section = |(table, span)| Section::new(table, span, self.problems);
                tables.into_iter().map(section).collect()
            }
            _ => {
                let found = describe(value.get_ref());
                self.problems.add(
                    &value.span(),
                    format!("`{key}` is {found}, expected tables `[[{key}]]`"),
                );
                Vec::new()
            }
        }
    }

    /// Reports all keys that have not been requested. Call it last.
    pub(crate) fn close(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !asked.contains(&name) {
                let hint = suggest(name, asked.iter().copied());
                self.problems
                    .add(&key.span(), format!("unknown key `{name}`; {hint}"));
            }
        }
    }
}

pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    let number: f64 = match value {
        DeValue::Float(float) => float.as_str().parse().ok()?,
        DeValue::Integer(_) => integer(value)? as f64,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn texts(value: &DeValue<'_>) -> Option<Vec<At<String>>> {
    let item = |item: &Spanned<DeValue<'_>>| {
        Some(At::new(item.get_ref().as_str()?.to_owned(), item.span()))
    };
    value.as_array()?.iter().map(item).collect()
}

pub(crate) fn count(value: &DeValue<'_>) -> Option<u64> {
    integer(value)?.try_into().ok()
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Describes a value for an error message.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
