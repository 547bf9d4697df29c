use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::groups::Groups;
use crate::parameter::{Parameter, Role};
use crate::settings::{Owner, Settings};
use crate::unknown::{self, UnknownParameter};
use crate::walk::Walk;

/// Every float parameter of a module, in the module's order.
///
/// A parameter that is used twice (a tied weight) is listed once, under its first path; the others are its
/// [aliases](Parameter::aliases), and name it as well.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    parameters: Vec<Parameter>,
    /// The position of a parameter, by each of its paths.
    positions: HashMap<String, usize>,
    /// What norms tell, by the id of their scale and the name of the setting.
    norms: BTreeMap<(ParamId, &'static str), f64>,
}

impl Inventory {
    /// Visits `module`. Nothing is read, and no lazy parameter is initialized but those of linear layers,
    /// whose shape Burn does not know before (with `LinearLayout::Col` it names the transposed one).
    #[must_use]
    pub fn of<M: Module>(module: &M) -> Self {
        let mut lister = Lister::default();
        module.visit(&mut lister);
        let mut parameters = lister.parameters;
        let settings = Settings::of(module);
        let mut norms = BTreeMap::new();
        for parameter in &mut parameters {
            if let Some(field) = groups_field(parameter) {
                let told = settings.get(owner(parameter, "weight"), field);
                parameter.groups = told.map_or(Groups::Unknown, Groups::Known);
            }
            if parameter.role == Role::NormScale {
                for name in ["epsilon", "momentum"] {
                    let value = settings.get(owner(parameter, "gamma"), name);
                    norms.extend(value.map(|value| ((parameter.id, name), value)));
                }
            }
        }
        let paths = parameters.iter().enumerate();
        let paths = paths.flat_map(|(position, parameter)| {
            let own = parameter.paths().map(str::to_owned);
            own.map(move |path| (path, position))
        });
        // The first parameter has a path that two share.
        let mut positions = HashMap::new();
        for (path, position) in paths {
            positions.entry(path).or_insert(position);
        }
        Self {
            parameters,
            positions,
            norms,
        }
    }

    /// All parameters, running statistics included.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.parameters.iter()
    }

    /// Convolution and linear weights and other weights of rank 2 or more: what a sparsity table
    /// lists.
    pub fn weights(&self) -> impl Iterator<Item = &Parameter> {
        self.iter()
            .filter(|parameter| parameter.role == Role::Weight)
    }

    /// The parameter at exactly this path: its own, or one of its aliases.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Parameter> {
        self.parameters.get(*self.positions.get(path)?)
    }

    /// Takes down the groups of the convolution whose weight has this path, from a source that knows them, as the
    /// graph of the traced model does. Nothing happens if there is no such parameter.
    pub fn tell_groups(&mut self, path: &str, groups: usize) {
        if let Some(&position) = self.positions.get(path) {
            self.parameters[position].groups = Groups::Known(groups);
        }
    }

    /// What the norm of this scale says of itself, if it does.
    pub(crate) fn norm_setting(&self, gamma: &Parameter, name: &'static str) -> Option<f64> {
        self.norms.get(&(gamma.id, name)).copied()
    }

    /// The trainable parameters that match any of the patterns, in the module's order, each once.
    ///
    /// A pattern is a path in which `*` stands for one path element or a part of one, `**` for any
    /// number of elements, `?` for one character, `{a,b}` for either and `[12]` for one of a set. A
    /// leading `!` takes matches of the patterns before it away again. Burn's names are tried first, then PyTorch's (see the
    /// [crate's page](crate)).
    ///
    /// # Errors
    ///
    /// If a pattern is malformed or matches nothing; the error has the nearest names.
    pub fn select<S: AsRef<str>>(
        &self,
        patterns: &[S],
    ) -> Result<Vec<&Parameter>, UnknownParameter> {
        let mut chosen = vec![false; self.parameters.len()];
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let (name, keep) = match pattern.strip_prefix('!') {
                Some(name) => (name, false),
                None => (pattern, true),
            };
            for index in unknown::matches(name, &self.parameters)? {
                chosen[index] = keep;
            }
        }
        let parameters = self.parameters.iter().zip(chosen);
        Ok(parameters
            .filter(|(_, chosen)| *chosen)
            .map(|(parameter, _)| parameter)
            .collect())
    }
}

impl<'a> IntoIterator for &'a Inventory {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[derive(Default)]
struct Lister {
    walk: Walk,
    parameters: Vec<Parameter>,
    /// Where each parameter is listed.
    known: HashMap<ParamId, usize>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, owner: &str) {
        self.walk.enter(name, owner);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.walk.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.walk.path();
        if let Some(&position) = self.known.get(&param.id) {
            self.parameters[position].aliases.push(path);
            return;
        }
        self.known.insert(param.id, self.parameters.len());
        let name = path.rsplit('.').next().unwrap_or_default();
        self.parameters.push(Parameter {
            role: role(self.walk.layer(), name, D),
            layer: self.walk.layer().to_owned(),
            id: param.id,
            shape: shape(self.walk.layer(), param),
            groups: Groups::Known(1),
            aliases: Vec::new(),
            path,
        });
    }
}

fn shape<const D: usize>(layer: &str, param: &Param<Tensor<D>>) -> Vec<usize> {
    match layer {
        "Linear" if D > 1 => param.base().dims().to_vec(),
        _ => param.lazy_shape().to_vec(),
    }
}

fn role(layer: &str, name: &str, rank: usize) -> Role {
    match name {
        "running_mean" | "running_var" => Role::RunningStatistic,
        "gamma" if layer.ends_with("Norm") => Role::NormScale,
        "beta" if layer.ends_with("Norm") => Role::NormShift,
        _ if rank >= 2 => Role::Weight,
        _ => Role::Bias,
    }
}

/// The field in which a convolution keeps the groups of this weight; `None` for what has none.
fn groups_field(parameter: &Parameter) -> Option<&'static str> {
    if parameter.role != Role::Weight {
        return None;
    }
    match parameter.layer.as_str() {
        "DeformConv2d" => Some("weight_groups"),
        layer if layer.starts_with("Conv") => Some("groups"),
        _ => None,
    }
}

fn owner<'a>(parameter: &'a Parameter, field: &'a str) -> Owner<'a> {
    Owner {
        layer: &parameter.layer,
        field,
        id: parameter.id,
    }
}
