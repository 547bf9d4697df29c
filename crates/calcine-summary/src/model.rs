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
/// Nothing is read. Modules without a parameter inside, such as activations, are left out: Burn does not tell
/// them from settings. [`modules`](crate::modules) lists them.
#[must_use]
pub fn model<M: Module>(model: &M) -> ModelTable {
    let inventory = Inventory::of(model);
    let mut lister = Lister {
        known: inventory.iter().map(|p| (p.id, p)).collect(),
        ..Lister::default()
    };
    lister.open.push(0);
    lister.rows.push(ModelRow::module(String::new(), 0));
    model.visit(&mut lister);
    ModelTable { rows: lister.rows }
}

/// A module or a parameter of a [`ModelTable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelRow {
    /// Burn's dotted path; of the model itself empty.
    pub path: String,
    /// How many modules it is inside of.
    pub depth: usize,
    /// The type of a module: `Conv2d`, `Vec`. Of a parameter empty.
    #[serde(rename = "type")]
    pub kind: String,
    /// The shape of a parameter, as it is stored.
    pub shape: Option<Vec<usize>>,
    /// Elements that the optimizer may change, of all parameters within. Running statistics count nothing, and a
    /// shared parameter counts at its first place only.
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

    /// The last element of the path; of the model itself its type.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.path.rsplit('.').next() {
            None | Some("") => &self.kind,
            Some(name) => name,
        }
    }
}

/// The modules of a model, each followed by what is inside of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelTable {
    /// A row a module, and one a parameter.
    pub rows: Vec<ModelRow>,
}

impl ModelTable {
    /// As text; what is inside of a module is indented.
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

    /// The table for a console with so many columns; see [`Sheet::fitted`].
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        self.sheet().fitted(width)
    }

    /// As comma-separated values: `path,type,shape,parameters`. Shapes are written as `16x3x3x3`.
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
    /// The rows of the modules that the visitor is inside of.
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
    /// Puts a parameter where the visitor stands, and counts so many elements for all modules around it.
    fn parameter(&mut self, shape: Vec<usize>, trainable: usize) {
        self.open
            .iter()
            .for_each(|&row| self.rows[row].parameters += trainable as u64);
        if let Some(&row) = self.open.last() {
            self.rows[row].shape = Some(shape);
        }
    }
}
