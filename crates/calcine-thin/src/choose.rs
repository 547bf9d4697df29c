use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, Transaction};
use calcine_criteria::{Aggregation, Evidence, Rounding, Score, stream};
use calcine_graph::{Axes, Role, UnitId, weakest};
use calcine_trace::{AnyTensor, Network};
use rand::RngExt;

/// Selects the units with the lowest scores in each group.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSelection {
    /// The share of the units of each group to remove, in `[0, 1]`; rounded down to whole units.
    pub level: f64,
    /// How the scores of several producers are combined.
    pub aggregation: Aggregation,
    /// The number of remaining units is a multiple of this, if the group has that many; 1 for any number.
    pub multiple: usize,
    /// The seed of a score that [uses random numbers](Score::draws), together with the path of each weight. Without a
    /// seed, the random numbers are derived from the values of the weight: networks with other weights lose other
    /// units, and equal networks the same.
    pub seed: Option<u64>,
}

impl ChannelSelection {
    /// Selects a share of each group, by the sum of scores, with any number of remaining units.
    #[must_use]
    pub const fn new(level: f64) -> Self {
        Self {
            level,
            aggregation: Aggregation::Sum,
            multiple: 1,
            seed: None,
        }
    }

    /// Sets the seed of random scores.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Returns the units to remove: in each group that `takes` accepts (it receives the paths of the weights that
    /// produce the channels), those with the lowest combined scores. Among equal ones, those with the lowest indices
    /// are removed first. At least one unit of each group remains.
    ///
    /// The score of a producer for a unit is the mean over the indices of the unit; each index is scored as a row of
    /// the weight, which contains everything that produces one output. The score must depend on weights only. The
    /// device is read once; if the score uses random numbers and there is no seed, all weights are read before.
    ///
    /// # Panics
    ///
    /// If the score needs more than weights.
    #[must_use]
    pub fn units(
        &self,
        network: &Network,
        axes: &Axes,
        score: &dyn Score,
        takes: impl Fn(&[&str]) -> bool,
    ) -> Vec<UnitId> {
        let scores = Scores::new(network, axes, score, self.seed);
        let mut chosen = Vec::new();
        for (position, group) in axes.groups().iter().enumerate() {
            let producers: Vec<(usize, &str)> = group
                .of_role(Role::Output)
                .map(|(member, producer)| (member, producer.path.as_str()))
                .collect();
            let paths: Vec<&str> = producers.iter().map(|(_, path)| *path).collect();
            if paths.is_empty() || !takes(&paths) {
                continue;
            }
            let joined: Vec<f64> = group
                .units
                .iter()
                .map(|unit| {
                    let of =
                        |&(member, path): &(usize, &str)| scores.mean(path, &unit.indices[member]);
                    let each: Vec<f64> = producers.iter().map(of).collect();
                    self.aggregation.aggregate(&each)
                })
                .collect();
            let count = Rounding::Floor.share(self.level, joined.len());
            let units = weakest(&joined, count, self.multiple);
            chosen.extend(units.into_iter().map(|unit| UnitId {
                group: position,
                unit,
            }));
        }
        chosen
    }
}

/// The scores of the rows of all weights that produce channels.
struct Scores(HashMap<String, Vec<f32>>);

impl Scores {
    fn new(network: &Network, axes: &Axes, score: &dyn Score, seed: Option<u64>) -> Self {
        let mut producers = HashMap::new();
        for group in axes.groups() {
            for (_, member) in group.of_role(Role::Output) {
                producers.insert(member.path.as_str(), member.axis);
            }
        }
        let mut rows = Rows {
            path: Vec::new(),
            producers: &producers,
            found: Vec::new(),
        };
        network.valid().visit(&mut rows);
        let (paths, rows): (Vec<String>, Vec<Tensor<2>>) = rows.found.into_iter().unzip();
        let seeds = score.draws().then(|| seeds(&paths, &rows, seed));
        let scores = rows.into_iter().enumerate().map(|(at, rows)| {
            let mut evidence = Evidence::new(rows);
            evidence.seed = seeds.as_ref().map(|seeds| seeds[at]);
            score.score(&evidence)
        });
        let read = scores.fold(Transaction::default(), Transaction::register);
        let values = read
            .execute()
            .into_iter()
            .map(|data| data.iter::<f32>().collect());
        Self(paths.into_iter().zip(values).collect())
    }

    #[allow(clippy::cast_precision_loss, reason = "units have few indices")]
    fn mean(&self, path: &str, indices: &[usize]) -> f64 {
        let Some(scores) = self.0.get(path) else {
            return 0.0;
        };
        let sum: f64 = indices.iter().map(|&index| f64::from(scores[index])).sum();
        sum / indices.len().max(1) as f64
    }
}

/// The seed of each weight.
fn seeds(paths: &[String], rows: &[Tensor<2>], seed: Option<u64>) -> Vec<u64> {
    let seeds: Vec<u64> = match seed {
        Some(seed) => vec![seed; rows.len()],
        None => {
            let rows = rows.iter().cloned();
            let read = rows.fold(Transaction::default(), Transaction::register);
            let values = read.execute().into_iter();
            values.map(|data| fingerprint(data.iter::<f32>())).collect()
        }
    };
    let named = paths.iter().zip(seeds);
    named
        .map(|(path, seed)| stream(seed, &format!("thin.{path}"), 0).random())
        .collect()
}

/// The FNV-1a hash, 64 bits, of the bits of numbers.
fn fingerprint(values: impl Iterator<Item = f32>) -> u64 {
    values.fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Collects weights as rows, one row for each output.
struct Rows<'a> {
    path: Vec<String>,
    producers: &'a HashMap<&'a str, usize>,
    found: Vec<(String, Tensor<2>)>,
}

impl ModuleVisitor for Rows<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        if let Some(&axis) = self.producers.get(path.as_str()) {
            let rows = AnyTensor::from(param.val()).rows(axis);
            self.found.extend(rows.map(|rows| (path, rows)));
        }
    }
}
