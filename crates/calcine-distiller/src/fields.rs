//! Reading a map of the schedule key by key, noting every problem with its place.

use std::cell::RefCell;
use std::ops::Range;

use crate::node::At;
use crate::node::{Map, Node, Value};
use crate::notes::Notes;
use calcine_names::suggest;

/// A map being read. Keys that nobody asked for are unknown.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    map: &'a Map,
    pub(crate) span: Range<usize>,
    pub(crate) notes: &'a Notes,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map, span: Range<usize>, notes: &'a Notes) -> Self {
        Self {
            map,
            span,
            notes,
            asked: RefCell::default(),
        }
    }

    /// The same map, nothing of it read.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.map, self.span.clone(), self.notes)
    }

    /// The value of a key, if it is there and not null.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        let mut entries = self.map.iter();
        let (_, value) = entries.find(|(name, _)| name.value == key)?;
        (!matches!(value.value, Value::Nothing)).then_some(value)
    }

    fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// A value of some kind; a value of another kind is a problem.
    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<At<T>> {
        let node = self.get(key)?;
        let read = read(&node.value);
        if read.is_none() {
            let found = node.value.describe();
            let message = format!("`{key}` is {found}, expected {expected}");
            self.notes.problem(&node.span, message);
        }
        Some(At::new(read?, node.span.clone()))
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<At<String>> {
        self.read(key, "text", |value| value.as_text().map(str::to_owned))
    }

    pub(crate) fn number(&self, key: &'static str) -> Option<At<f64>> {
        self.read(key, "a number", Value::as_number)
    }

    pub(crate) fn count(&self, key: &'static str) -> Option<At<u64>> {
        self.read(key, "a whole number, 0 or more", Value::as_count)
    }

    pub(crate) fn flag(&self, key: &'static str) -> bool {
        self.read(key, "true or false", Value::as_flag)
            .is_some_and(|flag| flag.value)
    }

    pub(crate) fn counts(&self, key: &'static str) -> Option<At<Vec<u64>>> {
        self.read(key, "a list of whole numbers", |value| {
            let items = value.as_list()?.iter();
            items.map(|item| item.value.as_count()).collect()
        })
    }

    pub(crate) fn numbers(&self, key: &'static str) -> Option<At<Vec<f64>>> {
        self.read(key, "a list of numbers", |value| {
            let items = value.as_list()?.iter();
            items.map(|item| item.value.as_number()).collect()
        })
    }

    /// A list of parameters, not empty.
    pub(crate) fn names(&self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let list = self.read(key, "a list of parameter names", |value| {
            value.as_list().filter(|list| !list.is_empty())
        })?;
        let name = |item: &Node| {
            let name = item.value.as_text().map(str::to_owned);
            if name.is_none() {
                let found = item.value.describe();
                let message = format!("a name in `{key}` is {found}, expected text in quotes");
                self.notes.problem(&item.span, message);
            }
            Some(At::new(name?, item.span.clone()))
        };
        let names: Vec<_> = list.value.iter().filter_map(name).collect();
        (names.len() == list.value.len()).then(|| At::new(names, list.span))
    }

    pub(crate) fn map(&self, key: &'static str) -> Option<Self> {
        let map = self.read(key, "a map", Value::as_map)?;
        Some(Self::new(map.value, map.span, self.notes))
    }

    /// The keys and values of a map whose keys are names of the schedule's own, not empty.
    pub(crate) fn entries(&self, key: &'static str) -> Option<At<&'a Map>> {
        self.read(key, "a map with parameter names for keys", |value| {
            value.as_map().filter(|map| !map.is_empty())
        })
    }

    /// A number for each parameter.
    pub(crate) fn number_by_name(&self, key: &'static str) -> Option<Vec<(At<String>, At<f64>)>> {
        let entries = self.entries(key)?.value.iter();
        let number = |(name, node): &(At<String>, Node)| {
            let number = node.value.as_number();
            if number.is_none() {
                let (found, name) = (node.value.describe(), &name.value);
                let message = format!("`{key}` of `{name}` is {found}, expected a number");
                self.notes.problem(&node.span, message);
            }
            Some((name.clone(), At::new(number?, node.span.clone())))
        };
        Some(entries.filter_map(number).collect())
    }

    /// The value, or a problem that it is missing and what it should be.
    pub(crate) fn need<T>(&self, key: &'static str, expected: &str, value: Option<T>) -> Option<T> {
        if !self.has(key) {
            let message = format!("`{key}` is missing: {expected}");
            self.notes.problem(&self.span, message);
        }
        value
    }

    /// Every key that nobody asked for is a problem. Call it last.
    pub(crate) fn close(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.map {
            let name = key.value.as_str();
            if !asked.contains(&name) {
                let hint = suggest(name, asked.iter().copied());
                let message = format!("unknown key `{name}`; {hint}");
                self.notes.problem(&key.span, message);
            }
        }
    }
}
