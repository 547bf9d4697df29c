use std::any::Any;
use std::collections::{HashMap, HashSet};

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::{Device, Tensor};
use calcine_graph::ElementKind;

use crate::error::{RewriteError, TraceError};
use crate::tensor::AnyTensor;

/// One element of a path, with the type of the module whose field it is.
pub(crate) type Step = (String, String);

/// A parameter of a network, or the four of a batch norm, with its path in the model.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) walk: Vec<Step>,
    pub(crate) held: Held,
}

/// The content of a leaf.
#[derive(Clone)]
pub(crate) enum Held {
    Rank1(Param<Tensor<1>>),
    Rank2(Param<Tensor<2>>),
    Rank3(Param<Tensor<3>>),
    Rank4(Param<Tensor<4>>),
    Rank5(Param<Tensor<5>>),
    Rank6(Param<Tensor<6>>),
    /// Burn's own layer, so that training has the same effect as in the original model.
    Norm(Box<BatchNorm>),
}

/// Evaluates the same expression for every variant of [`Held`].
macro_rules! with_held {
    ($held:expr, $module:ident => $body:expr) => {
        match $held {
            Held::Rank1($module) => $body,
            Held::Rank2($module) => $body,
            Held::Rank3($module) => $body,
            Held::Rank4($module) => $body,
            Held::Rank5($module) => $body,
            Held::Rank6($module) => $body,
            Held::Norm($module) => $body,
        }
    };
}

macro_rules! map_held {
    ($held:expr, $module:ident => $body:expr) => {
        match $held {
            Held::Rank1($module) => Held::Rank1($body),
            Held::Rank2($module) => Held::Rank2($body),
            Held::Rank3($module) => Held::Rank3($body),
            Held::Rank4($module) => Held::Rank4($body),
            Held::Rank5($module) => Held::Rank5($body),
            Held::Rank6($module) => Held::Rank6($body),
            Held::Norm(norm) => {
                let $module = *norm;
                Held::Norm(Box::new($body))
            }
        }
    };
}

impl Held {
    pub(crate) fn of<const D: usize>(
        param: &Param<Tensor<D>>,
        path: &str,
    ) -> Result<Self, TraceError> {
        // The same parameter with its rank as a type, and with everything that Burn stores besides the value.
        let any: &dyn Any = param;
        macro_rules! held {
            ($variant:ident, $rank:literal) => {
                any.downcast_ref::<Param<Tensor<$rank>>>()
                    .map(|param| Self::$variant(param.clone()))
            };
        }
        held!(Rank1, 1)
            .or_else(|| held!(Rank2, 2))
            .or_else(|| held!(Rank3, 3))
            .or_else(|| held!(Rank4, 4))
            .or_else(|| held!(Rank5, 5))
            .or_else(|| held!(Rank6, 6))
            .ok_or_else(|| TraceError::Parameter {
                path: path.to_owned(),
                rank: D,
            })
    }

    /// Replaces the tensors by others of the same rank; ids, and whether they are trained, do not change.
    pub(crate) fn replaced(self, mut change: impl FnMut(Part, AnyTensor) -> AnyTensor) -> Self {
        macro_rules! replaced {
            ($variant:ident, $param:expr) => {
                Self::$variant($param.map(|value| {
                    let trained = value.is_require_grad();
                    let changed = change(Part::Whole, value.set_require_grad(false).into());
                    changed.of().set_require_grad(trained)
                }))
            };
        }
        match self {
            Self::Rank1(param) => replaced!(Rank1, param),
            Self::Rank2(param) => replaced!(Rank2, param),
            Self::Rank3(param) => replaced!(Rank3, param),
            Self::Rank4(param) => replaced!(Rank4, param),
            Self::Rank5(param) => replaced!(Rank5, param),
            Self::Rank6(param) => replaced!(Rank6, param),
            Self::Norm(norm) => {
                let mut vector = |part, param: Param<Tensor<1>>| {
                    param.map(|value| {
                        let trained = value.is_require_grad();
                        let changed = change(part, value.set_require_grad(false).into());
                        changed.of().set_require_grad(trained)
                    })
                };
                let mean = norm.running_mean.value_sync();
                let variance = norm.running_var.value_sync();
                let ids = [&norm.running_mean, &norm.running_var].map(state_id);
                let gamma = vector(Part::Gamma, norm.gamma);
                let beta = vector(Part::Beta, norm.beta);
                let mean = change(Part::Mean, mean.into()).of();
                let variance = change(Part::Variance, variance.into()).of();
                Self::Norm(Box::new(BatchNorm {
                    gamma,
                    beta,
                    running_mean: RunningState::with_id(ids[0], mean),
                    running_var: RunningState::with_id(ids[1], variance),
                    training: norm.training,
                    momentum: norm.momentum,
                    epsilon: norm.epsilon,
                }))
            }
        }
    }

    /// A trainable parameter with a new id; `None` if a parameter cannot have this kind or rank.
    pub(crate) fn new(value: AnyTensor) -> Option<Self> {
        Self::stored(value, true)
    }

    /// A parameter with a new id, trainable or not; `None` if a parameter cannot have this kind or rank.
    pub(crate) fn stored(value: AnyTensor, trained: bool) -> Option<Self> {
        if value.kind() != ElementKind::Float {
            return None;
        }
        macro_rules! held {
            ($variant:ident) => {
                Self::$variant(
                    Param::initialized(ParamId::new(), leaf_of(value)).set_require_grad(trained),
                )
            };
        }
        Some(match value.rank() {
            1 => held!(Rank1),
            2 => held!(Rank2),
            3 => held!(Rank3),
            4 => held!(Rank4),
            5 => held!(Rank5),
            6 => held!(Rank6),
            _ => return None,
        })
    }

    /// Whether an optimizer trains the parameter. Burn stores this on devices without autodiff, but reports it only
    /// with autodiff.
    pub(crate) fn is_trained(&self) -> bool {
        macro_rules! trained {
            ($param:expr) => {
                $param.valid().train().val().is_require_grad()
            };
        }
        match self {
            Self::Rank1(param) => trained!(param),
            Self::Rank2(param) => trained!(param),
            Self::Rank3(param) => trained!(param),
            Self::Rank4(param) => trained!(param),
            Self::Rank5(param) => trained!(param),
            Self::Rank6(param) => trained!(param),
            Self::Norm(norm) => trained!(norm.gamma),
        }
    }

    /// The id of the parameter of this part; `None` for running statistics.
    pub(crate) fn id(&self, part: Part) -> Option<ParamId> {
        match (self, part) {
            (Self::Norm(norm), Part::Gamma) => Some(norm.gamma.id),
            (Self::Norm(norm), Part::Beta) => Some(norm.beta.id),
            (Self::Norm(_), _) => None,
            (Self::Rank1(param), _) => Some(param.id),
            (Self::Rank2(param), _) => Some(param.id),
            (Self::Rank3(param), _) => Some(param.id),
            (Self::Rank4(param), _) => Some(param.id),
            (Self::Rank5(param), _) => Some(param.id),
            (Self::Rank6(param), _) => Some(param.id),
        }
    }

    /// The tensor of a part: the only one, or `gamma`, `beta`, `running_mean` or `running_var` of a batch norm.
    pub(crate) fn part(&self, part: Part) -> AnyTensor {
        match (self, part) {
            (Self::Norm(norm), Part::Gamma) => norm.gamma.val().into(),
            (Self::Norm(norm), Part::Beta) => norm.beta.val().into(),
            (Self::Norm(norm), Part::Mean) => norm.running_mean.value_sync().into(),
            (Self::Norm(norm), Part::Variance) => norm.running_var.value_sync().into(),
            (Self::Rank1(param), _) => param.val().into(),
            (Self::Rank2(param), _) => param.val().into(),
            (Self::Rank3(param), _) => param.val().into(),
            (Self::Rank4(param), _) => param.val().into(),
            (Self::Rank5(param), _) => param.val().into(),
            (Self::Rank6(param), _) => param.val().into(),
            (Self::Norm(_), Part::Whole) => unreachable!("a batch norm has parts"),
        }
    }
}

/// The same numbers as a leaf of the autodiff tape, detached from what they were computed from.
fn leaf_of<const D: usize>(value: AnyTensor) -> Tensor<D> {
    let value: Tensor<D> = value.of();
    value.detach().set_require_grad(false)
}

/// The id of a running statistic, which only visitors can see.
fn state_id(state: &RunningState<Tensor<1>>) -> ParamId {
    #[derive(Default)]
    struct Id(Option<ParamId>);
    impl ModuleVisitor for Id {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 = Some(param.id);
        }
    }
    let mut id = Id::default();
    state.visit(&mut id);
    id.0.unwrap_or_default()
}

/// The dotted path of these elements.
pub(crate) fn path(walk: &[Step]) -> String {
    let names: Vec<&str> = walk.iter().map(|(name, _)| name.as_str()).collect();
    names.join(".")
}

/// One of the tensors of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Gamma,
    Beta,
    Mean,
    Variance,
}

impl Leaf {
    pub(crate) fn path(&self) -> String {
        path(&self.walk)
    }

    /// Whether this is a batch norm that is excluded from training, even if the model is not being trained at the
    /// moment.
    pub(crate) fn is_frozen_norm(&self) -> bool {
        matches!(&self.held, Held::Norm(norm) if !norm.training.clone().train().is_enabled())
    }

    /// The elements of the path of each part.
    pub(crate) fn walks(&self) -> Vec<Vec<Step>> {
        match &self.held {
            Held::Norm(_) => ["gamma", "beta", "running_mean", "running_var"]
                .map(|name| {
                    let mut walk = self.walk.clone();
                    walk.push((name.to_owned(), "Struct:BatchNorm".to_owned()));
                    walk
                })
                .to_vec(),
            _ => vec![self.walk.clone()],
        }
    }

    /// The type of the layer that a parameter belongs to, without Burn's prefix `Struct:`.
    pub(crate) fn layer(&self) -> &str {
        let owner = self.walk.last().map_or("", |(_, owner)| owner.as_str());
        owner.split_once(':').map_or(owner, |(_, name)| name)
    }

    /// The parts with their paths.
    pub(crate) fn parts(&self) -> Vec<(Part, String)> {
        let path = self.path();
        match &self.held {
            Held::Norm(_) => {
                let part = |part, name| match path.as_str() {
                    "" => (part, String::from(name)),
                    path => (part, format!("{path}.{name}")),
                };
                vec![
                    part(Part::Gamma, "gamma"),
                    part(Part::Beta, "beta"),
                    part(Part::Mean, "running_mean"),
                    part(Part::Variance, "running_var"),
                ]
            }
            _ => vec![(Part::Whole, path)],
        }
    }
}

/// A vector that is a parameter of a rewritten graph, and was not one of the model.
#[derive(Debug, Clone)]
pub struct AddedParameter {
    /// The path of the parameter, such as `conv2.bias`.
    pub path: String,
    /// The path of a parameter of the same layer, after which it is inserted, such as `conv2.weight`.
    pub after: String,
    /// The values of the parameter.
    pub value: Tensor<1>,
}

/// The leaves of a model, in the order of the model.
#[derive(Clone, Default)]
pub(crate) struct Leaves(pub(crate) Vec<Leaf>);

impl Leaves {
    /// Collects the leaves of a model. Values, ids and whether they are trained do not change; running statistics are
    /// copied, so that model and network do not update each other's.
    pub(crate) fn of<M: Module>(model: &M) -> Result<Self, TraceError> {
        let mut collector = Collector::default();
        model.clone().materialize().visit(&mut collector);
        match collector.error {
            Some(error) => Err(error),
            None => Ok(Self(joined(collector.leaves, &collector.training))),
        }
    }

    pub(crate) fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        let mut walk = Walk::default();
        for leaf in &self.0 {
            let (left, entered) = walk.to(&leaf.walk);
            left.iter()
                .for_each(|(name, owner)| visitor.exit_module(name, owner));
            entered
                .iter()
                .for_each(|(name, owner)| visitor.enter_module(name, owner));
            with_held!(&leaf.held, module => module.visit(visitor));
        }
        let (left, _) = walk.to(&[]);
        left.iter()
            .for_each(|(name, owner)| visitor.exit_module(name, owner));
    }

    pub(crate) fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let mut walk = Walk::default();
        let mut leaves = Vec::with_capacity(self.0.len());
        for leaf in self.0 {
            let (left, entered) = walk.to(&leaf.walk);
            left.iter()
                .for_each(|(name, owner)| mapper.exit_module(name, owner));
            entered
                .iter()
                .for_each(|(name, owner)| mapper.enter_module(name, owner));
            let held = map_held!(leaf.held, module => Module::map(module, mapper));
            leaves.push(Leaf {
                walk: leaf.walk,
                held,
            });
        }
        let (left, _) = walk.to(&[]);
        left.iter()
            .for_each(|(name, owner)| mapper.exit_module(name, owner));
        Self(leaves)
    }

    /// Inserts a vector after a parameter of its layer; it is trained if that parameter is.
    pub(crate) fn insert(&mut self, added: AddedParameter) -> Result<(), RewriteError> {
        let Some(at) = self.0.iter().position(|leaf| leaf.path() == added.after) else {
            return Err(RewriteError::Missing { path: added.after });
        };
        let mut paths = self.0.iter().flat_map(Leaf::parts);
        if paths.any(|(_, path)| path == added.path) {
            return Err(RewriteError::Taken { path: added.path });
        }
        let mut walk = self.0[at].walk.clone();
        let name = added.path.rsplit('.').next().unwrap_or_default();
        if let Some((last, _)) = walk.last_mut() {
            name.clone_into(last);
        }
        let trained = self.0[at].held.is_trained();
        let param = Param::initialized(ParamId::new(), added.value).set_require_grad(trained);
        let leaf = Leaf {
            walk,
            held: Held::Rank1(param),
        };
        self.0.insert(at + 1, leaf);
        Ok(())
    }

    /// Applies a change to all leaves that keeps their kind.
    fn each(self, change: impl Fn(Held) -> Held) -> Self {
        let leaves = self.0.into_iter().map(|leaf| Leaf {
            walk: leaf.walk,
            held: change(leaf.held),
        });
        Self(leaves.collect())
    }

    pub(crate) fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.iter().fold(
            devices,
            |devices, leaf| with_held!(&leaf.held, module => module.collect_devices(devices)),
        )
    }

    pub(crate) fn moved(self, device: &Device) -> Self {
        self.each(|held| map_held!(held, module => module.to_device(device)))
    }

    pub(crate) fn fork(self, device: &Device) -> Self {
        self.each(|held| map_held!(held, module => module.fork(device)))
    }

    pub(crate) fn train(self) -> Self {
        self.each(|held| map_held!(held, module => module.train()))
    }

    pub(crate) fn valid(&self) -> Self {
        let leaves = self.0.iter().map(|leaf| Leaf {
            walk: leaf.walk.clone(),
            held: match &leaf.held {
                Held::Rank1(param) => Held::Rank1(param.valid()),
                Held::Rank2(param) => Held::Rank2(param.valid()),
                Held::Rank3(param) => Held::Rank3(param.valid()),
                Held::Rank4(param) => Held::Rank4(param.valid()),
                Held::Rank5(param) => Held::Rank5(param.valid()),
                Held::Rank6(param) => Held::Rank6(param.valid()),
                Held::Norm(norm) => Held::Norm(Box::new(norm.valid())),
            },
        });
        Self(leaves.collect())
    }

    pub(crate) fn materialize(self) -> Self {
        self.each(|held| map_held!(held, module => module.materialize()))
    }
}

/// The current position of a visitor of leaves.
#[derive(Default)]
struct Walk(Vec<Step>);

impl Walk {
    /// The modules to leave, innermost first, and the modules to enter, to reach another position.
    fn to(&mut self, place: &[Step]) -> (Vec<Step>, Vec<Step>) {
        let shared = self.0.iter().zip(place).take_while(|(a, b)| a == b).count();
        let mut left = self.0.split_off(shared);
        left.reverse();
        let entered = place[shared..].to_vec();
        self.0.extend(entered.iter().cloned());
        (left, entered)
    }
}

#[derive(Default)]
struct Collector {
    walk: Vec<Step>,
    leaves: Vec<Leaf>,
    /// Parameters that have been visited; a parameter that is visited again is shared.
    seen: HashSet<ParamId>,
    /// The training flags of batch norms, by the paths of the norms.
    training: HashMap<String, Param<Flag>>,
    error: Option<TraceError>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, owner: &str) {
        self.walk.push((name.to_owned(), owner.to_owned()));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.walk.pop();
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        let owner = self.walk.len().saturating_sub(1);
        self.training
            .insert(path(&self.walk[..owner]), flag.clone());
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        match Held::of(param, &path(&self.walk)) {
            Ok(held) => self.leaves.push(Leaf {
                walk: self.walk.clone(),
                held,
            }),
            Err(error) => self.error = Some(error),
        }
    }
}

/// Combines the four parameters of each batch norm.
pub(crate) fn joined(leaves: Vec<Leaf>, training: &HashMap<String, Param<Flag>>) -> Vec<Leaf> {
    let mut joined: Vec<Leaf> = Vec::with_capacity(leaves.len());
    let mut leaves = leaves.into_iter().peekable();
    while let Some(leaf) = leaves.next() {
        if leaf.layer() != "BatchNorm" {
            joined.push(leaf);
            continue;
        }
        let mut place = leaf.walk.clone();
        place.pop();
        let mut parts = vec![leaf];
        while let Some(next) = leaves.next_if(|next| {
            next.layer() == "BatchNorm" && next.walk[..next.walk.len() - 1] == place[..]
        }) {
            parts.push(next);
        }
        match norm(&parts, training.get(&path(&place))) {
            Some(norm) => joined.push(Leaf {
                walk: place,
                held: Held::Norm(Box::new(norm)),
            }),
            None => joined.extend(parts),
        }
    }
    joined
}

/// The batch norm with these parts, and with Burn's defaults for everything that is not a parameter.
fn norm(parts: &[Leaf], training: Option<&Param<Flag>>) -> Option<BatchNorm> {
    let part = |name: &str| {
        let leaf = parts
            .iter()
            .find(|leaf| leaf.walk.last().is_some_and(|(last, _)| last == name))?;
        match &leaf.held {
            Held::Rank1(param) => Some(param.clone()),
            _ => None,
        }
    };
    // A statistic is not a leaf of the autodiff tape, even if it was loaded as one.
    let state = |param: Param<Tensor<1>>| {
        let id = param.id;
        RunningState::with_id(id, param.val().detach().set_require_grad(false))
    };
    Some(BatchNorm {
        gamma: part("gamma")?,
        beta: part("beta")?,
        training: training.cloned().unwrap_or_else(|| Param::from_bool(true)),
        running_mean: state(part("running_mean")?),
        running_var: state(part("running_var")?),
        momentum: 0.1,
        epsilon: 1e-5,
    })
}
