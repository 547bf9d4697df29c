use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::groups::Groups;
use crate::parameter::{Parameter, Role};
use crate::told::listing;
use crate::unknown::{self, UnknownParameter};
use crate::walk::Walk;

/// The list of all float parameters of a module, in the order of the module.
///
/// A parameter that is used several times (a tied weight) is listed once, under its first path. Its other paths are
/// [aliases](Parameter::aliases), which can be used to select it, too.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    parameters: Vec<Parameter>,
    /// The position of a parameter, by each of its paths.
    positions: HashMap<String, usize>,
}

impl Inventory {
    /// Lists the parameters of `module`. Nothing is read from the device. Lazy parameters are not initialized, except those of linear layers,
    /// whose shape Burn does not know before (with `LinearLayout::Col` it reports the transposed shape).
    #[must_use]
    pub fn from_module<M: Module>(module: &M) -> Self {
        let mut lister = Lister::default();
        let told = listing(|| module.visit(&mut lister));
        let mut parameters = lister.parameters;
        for parameter in &mut parameters {
            if let Some(&groups) = told.groups.get(&parameter.id) {
                parameter.groups = Groups::Known(groups);
            }
        }
        for (id, alias) in told.aliases {
            let is_taken = parameters
                .iter()
                .any(|parameter| parameter.is_called(&alias));
            let position = lister.known.get(&id).filter(|_| !is_taken);
            if let Some(&position) = position {
                parameters[position].aliases.push(alias);
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
        }
    }

    /// All parameters, including running statistics.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.parameters.iter()
    }

    /// The weights of convolutions and linear layers, and other weights of rank 2 or more, as listed in a sparsity table.
    pub fn weights(&self) -> impl Iterator<Item = &Parameter> {
        self.iter()
            .filter(|parameter| parameter.role == Role::Weight)
    }

    /// The parameter with this path or alias.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Parameter> {
        self.parameters.get(*self.positions.get(path)?)
    }

    /// Sets the number of groups of the convolution whose weight has this path, for example from the graph of the traced model, which
    /// lists them (`Graph::convolution_groups`). Has no effect if there is no such parameter.
    pub fn tell_groups(&mut self, path: &str, groups: usize) {
        if let Some(&position) = self.positions.get(path) {
            self.parameters[position].groups = Groups::Known(groups);
        }
    }

    /// The trainable parameters that match any of the patterns, in the order of the module, each once.
    ///
    /// A pattern is a path in which `*` stands for one path element or a part of one, `**` for any
    /// number of elements, `?` for one character, `{a,b}` for either and `[12]` for one of a set. A
    /// leading `!` excludes what the pattern matches from the matches of the preceding patterns. Burn's names are tried first, then PyTorch's (see the
    /// [documentation of the crate](crate)).
    ///
    /// # Errors
    ///
    /// If a pattern is malformed or matches nothing; the error lists the nearest names.
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
        let layer = self.walk.layer();
        let (role, shape) = (role(layer, name, D), shape(layer, param));
        self.parameters.push(Parameter {
            groups: groups(layer, role, &shape),
            layer: layer.to_owned(),
            id: param.id,
            role,
            shape,
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

/// The groups of a weight, as far as its type and shape prove them: their number divides the first axis.
fn groups(layer: &str, role: Role, shape: &[usize]) -> Groups {
    let is_convolution = layer.starts_with("Conv") || layer == "DeformConv2d";
    match (role, shape) {
        (_, [1, ..]) => Groups::Known(1),
        (Role::Weight, _) if is_convolution => Groups::Unknown,
        _ => Groups::Known(1),
    }
}
