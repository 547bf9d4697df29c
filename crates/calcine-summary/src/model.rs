use std::collections::{HashMap, HashSet};
use std::fmt;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};
use calcine_params::{Inventory, Parameter};
use serde::Serialize;

use crate::sheet::Sheet;
use crate::sheet::{bracketed, joined, thousands};

/// The modules of a model as a tree, with their parameters and shapes.
///
/// Nothing is read from the device. Modules without parameters, such as activations, are left out, because Burn does
/// not distinguish them from settings. [`modules`](crate::modules) lists them.
#[must_use]
pub fn model<M: Module>(model: &M) -> ModelTable {
    let inventory = Inventory::from_module(model);
    let mut lister = Lister {
        known: inventory.iter().map(|p| (p.id, p)).collect(),
        ..Lister::default()
    };
    lister.open.push(0);
    lister.rows.push(ModelRow::module(String::new(), 0));
    model.visit(&mut lister);
    ModelTable { rows: lister.rows }
}

/// One row of a [`ModelTable`]: a module or a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelRow {
    /// The dotted path that Burn uses; empty for the model itself.
    pub path: String,
    /// The number of modules that contain it.
    pub depth: usize,
    /// The type of a module, such as `Conv2d` or `Vec`; empty for a parameter.
    #[serde(rename = "type")]
    pub kind: String,
    /// The shape of a parameter as stored.
    pub shape: Option<Vec<usize>>,
    /// The number of trainable elements in all parameters that it contains. Running statistics are not counted, and a
    /// shared parameter is counted only where it occurs first.
    pub parameters: u64,
}

impl ModelRow {
    fn module(path: String, depth: usize) -> Self {
        Self {
            path,
            depth,
            kind: String::new(),
            shape: None,
            parameters: 0,
        }
    }

    /// The last element of the path; for the model itself, its type.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.path.rsplit('.').next() {
            None | Some("") => &self.kind,
            Some(name) => name,
        }
    }
}

/// The modules of a model; each is followed by its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelTable {
    /// One row per module and per parameter.
    pub rows: Vec<ModelRow>,
}

impl ModelTable {
    /// The table as text; the contents of a module are indented.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let cells = |row: &ModelRow| {
            vec![
                format!("{}{}", "  ".repeat(row.depth), row.name()),
                row.kind.clone(),
                row.shape.as_deref().map(bracketed).unwrap_or_default(),
                thousands(row.parameters),
            ]
        };
        let header = ["Module", "Type", "Shape", "Parameters"];
        Sheet {
            header: header.map(str::to_owned).into(),
            rows: self.rows.iter().map(cells).collect(),
        }
    }

    /// The table for a console of this width; see [`Sheet::fitted`].
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        self.sheet().fitted(width)
    }

    /// The rows as comma-separated values: `path,type,shape,parameters`. Shapes are written as `16x3x3x3`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let cells = |row: &ModelRow| {
            let shape = row.shape.as_deref().unwrap_or_default();
            vec![
                row.path.clone(),
                row.kind.clone(),
                joined(shape, "x"),
                row.parameters.to_string(),
            ]
        };
        let header = ["path", "type", "shape", "parameters"];
        Sheet {
            header: header.map(str::to_owned).into(),
            rows: self.rows.iter().map(cells).collect(),
        }
        .to_csv()
    }

    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.rows).expect("rows are plain numbers and text")
    }
}

/// For a console: the [sheet](ModelTable::sheet).
impl fmt::Display for ModelTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sheet().fmt(f)
    }
}

#[derive(Default)]
struct Lister<'a> {
    known: HashMap<ParamId, &'a Parameter>,
    seen: HashSet<ParamId>,
    rows: Vec<ModelRow>,
    /// The rows of the modules that contain the current position.
    open: Vec<usize>,
}

impl ModuleVisitor for Lister<'_> {
    fn enter_module(&mut self, name: &str, owner: &str) {
        let Some(&outer) = self.open.last() else {
            return;
        };
        let row = &mut self.rows[outer];
        if row.kind.is_empty() {
            let kind = owner.split_once(':').map_or(owner, |(_, kind)| kind);
            kind.clone_into(&mut row.kind);
        }
        let path = match row.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        self.open.push(self.rows.len());
        self.rows.push(ModelRow::module(path, self.open.len() - 1));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        let Some(row) = self.open.pop() else {
            return;
        };
        if self.rows[row..].iter().all(|row| row.shape.is_none()) {
            self.rows.truncate(row);
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let known = self.known.get(&param.id);
        let shape = known.map_or_else(|| param.lazy_shape().to_vec(), |known| known.shape.clone());
        let counts = known.is_some_and(|known| known.is_trainable()) && self.seen.insert(param.id);
        let trainable = if counts { shape.iter().product() } else { 0 };
        self.parameter(shape, trainable);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.parameter(param.lazy_shape().to_vec(), 0);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.parameter(param.lazy_shape().to_vec(), 0);
    }
}

impl Lister<'_> {
    /// Adds a parameter at the current position, and adds its number of trainable elements to all modules that contain
    /// it.
    fn parameter(&mut self, shape: Vec<usize>, trainable: usize) {
        self.open
            .iter()
            .for_each(|&row| self.rows[row].parameters += trainable as u64);
        if let Some(&row) = self.open.last() {
            self.rows[row].shape = Some(shape);
        }
    }
}
