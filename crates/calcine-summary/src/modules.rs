use std::fmt;

use calcine_graph::{Graph, GraphError};
use serde::Serialize;

use crate::sheet::Sheet;

/// Lists every layer and operation of a network by name and type, in execution order.
///
/// Drawings, activation statistics and quantizers use the same names: the path of a layer, or, for a node without
/// parameters, its producer and its operation (`layer1.0.bn1.relu`).
///
/// # Errors
///
/// If the graph is not a valid network.
pub fn modules(graph: &Graph) -> Result<ModulesTable, GraphError> {
    let rows = graph.compute()?.rows.into_iter().map(|row| ModulesRow {
        name: row.name,
        kind: row.kind,
        attributes: row.attributes,
    });
    Ok(ModulesTable {
        rows: rows.collect(),
    })
}

/// One row of a [`ModulesTable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModulesRow {
    /// The name, unique in the network.
    pub name: String,
    /// The type: `Conv2d`, `BatchNorm`, or the operation if the node is not a layer.
    #[serde(rename = "type")]
    pub kind: String,
    /// The attributes that differ from the defaults: `k=(3, 3), stride=(2, 2)`.
    pub attributes: String,
}

/// The names and types of a network's layers and operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModulesTable {
    /// One row per layer or operation.
    pub rows: Vec<ModulesRow>,
}

impl ModulesTable {
    /// The table as text.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        self.titled(["Name", "Type", "Attrs"])
    }

    /// The table for a console of this width; see [`Sheet::fitted`].
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        self.sheet().fitted(width)
    }

    /// The rows as comma-separated values: `name,type,attributes`, one line per layer or operation.
    #[must_use]
    pub fn to_csv(&self) -> String {
        self.titled(["name", "type", "attributes"]).to_csv()
    }

    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.rows).expect("rows are plain text")
    }

    fn titled(&self, header: [&str; 3]) -> Sheet {
        let cells =
            |row: &ModulesRow| vec![row.name.clone(), row.kind.clone(), row.attributes.clone()];
        Sheet {
            header: header.map(str::to_owned).into(),
            rows: self.rows.iter().map(cells).collect(),
        }
    }
}

/// For a console: the [sheet](ModulesTable::sheet).
impl fmt::Display for ModulesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sheet().fmt(f)
    }
}
