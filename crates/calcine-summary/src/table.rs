use serde_json::Value;

use crate::{ComputeTable, ModelTable, ModulesTable, Sheet, SparsityTable};

/// What all tables have in common, for code that works with any of them.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use calcine_summary::{Table, model, sparsity};
///
/// let layer: Linear = LinearConfig::new(4, 2).init(&Device::flex());
/// let tables: [Box<dyn Table>; 2] = [Box::new(sparsity(&layer)), Box::new(model(&layer))];
/// for table in &tables {
///     assert!(table.sheet().to_markdown().contains("weight"));
/// }
/// ```
pub trait Table {
    /// The table as text.
    fn sheet(&self) -> Sheet;

    /// The table for a console of this number of columns.
    fn fitted(&self, width: usize) -> String;

    /// The table as CSV, with exact numbers.
    fn to_csv(&self) -> String;

    /// The table as JSON.
    fn to_json(&self) -> Value;
}

macro_rules! tables {
    ($($table:ty),+) => {
        $(impl Table for $table {
            fn sheet(&self) -> Sheet {
                Self::sheet(self)
            }

            fn fitted(&self, width: usize) -> String {
                Self::fitted(self, width)
            }

            fn to_csv(&self) -> String {
                Self::to_csv(self)
            }

            fn to_json(&self) -> Value {
                Self::to_json(self)
            }
        })+
    };
}

tables!(ComputeTable, ModelTable, ModulesTable, SparsityTable);
