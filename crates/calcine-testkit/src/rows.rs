//! The parameters of a module as rows of a table.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `layer1.0.conv1.weight`.
    pub path: String,
    /// `Struct:Conv2d`.
    pub layer: String,
    /// As stored.
    pub shape: Vec<usize>,
    /// As stored.
    pub values: Vec<f32>,
    /// Whether it asks for gradients.
    pub trains: bool,
}

/// All float parameters and running statistics of `model`, in the order of its fields.
#[must_use]
pub fn rows<M: Module>(model: &M) -> Vec<Row> {
    let mut visitor = Rows::default();
    model.visit(&mut visitor);
    visitor.rows
}

#[derive(Default)]
struct Rows {
    path: Vec<String>,
    owners: Vec<String>,
    rows: Vec<Row>,
}

impl ModuleVisitor for Rows {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.owners.push(container.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.owners.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let values = parameter.val().into_data();
        self.rows.push(Row {
            path: self.path.join("."),
            layer: self.owners.last().cloned().unwrap_or_default(),
            shape: parameter.lazy_shape().to_vec(),
            values: values.iter::<f32>().collect(),
            trains: parameter.is_require_grad(),
        });
    }
}
