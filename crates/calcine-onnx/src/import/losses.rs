//! Losses: `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Known, Operand, Reason, number};
use super::layers::{Read, needs};
use super::windows::fixed;

impl Importer {
    /// `NegativeLogLikelihoodLoss`: minus the weighted log probability of the target class at each position.
    pub(crate) fn likelihood_loss(
        &mut self,
        a: &Attributes<'_, '_>,
        input: ValueId,
        x: &[Option<Operand>],
    ) -> Read {
        let shape = self.shape(input);
        if shape.len() < 2 {
            return Err("scores of fewer than 2 axes".to_owned());
        }
        let classes = fixed(shape[1])?;
        let targets = match needs(x, 1)? {
            Operand::Host(host) => self.made(Host {
                name: None,
                ..(*host).clone()
            })?,
            Operand::Value(id) => id,
        };
        let mut single = shape.clone();
        single[1] = 1.into();
        let rows = self.reshaped(targets, single.clone());
        let ignored = match a.0.attribute("ignore_index") {
            None => None,
            #[allow(clippy::cast_precision_loss, reason = "the number of a class")]
            Some(_) => Some(self.compared_with(
                calcine_graph::Comparison::Equal,
                rows,
                a.int("ignore_index", 0)? as f64,
            )),
        };
        // Ignored positions get a valid class; their weight is zero.
        let rows = match ignored {
            Some(mask) => self.with_number_where(rows, mask, 0.0)?,
            None => rows,
        };
        let picked = self.push(
            Op::Gather(1),
            vec![input, rows],
            single.clone(),
            ElementKind::Float,
        );
        let mut weights = match x.get(2).cloned().flatten() {
            None => None,
            Some(weight) => {
                let weight = self.value(&weight)?;
                let count = single.iter().map(|&extent| number(extent));
                let count = { count }.try_fold(Number::fixed(1), Number::times);
                let count = count
                    .and_then(Number::extent)
                    .ok_or("targets of two batches")?;
                if self.shape(weight) != [Extent::fixed(classes)] {
                    return Err(format!("weights that are not {classes}, one a class"));
                }
                let flat = self.reshaped(rows, vec![count]);
                let found = self.push(
                    Op::Select(0),
                    vec![weight, flat],
                    vec![count],
                    ElementKind::Float,
                );
                Some(self.reshaped(found, single.clone()))
            }
        };
        if let Some(mask) = ignored {
            let ones = match weights {
                Some(weights) => weights,
                None => self.push(
                    Op::Constant(1.0),
                    Vec::new(),
                    single.clone(),
                    ElementKind::Float,
                ),
            };
            weights = Some(self.with_number_where(ones, mask, 0.0)?);
        }
        let mut losses = self.map(Map::Negate, picked);
        if let Some(weights) = weights {
            losses = self.both(Arithmetic::Multiply, losses, weights)?;
        }
        let reduction = a.text("reduction", "mean")?;
        let sum = |it: &mut Self, x| {
            let op = Op::ReduceAll(calcine_graph::Reduction::Sum);
            it.push(op, vec![x], vec![1.into()], ElementKind::Float)
        };
        let result = match (reduction.as_str(), weights) {
            ("none", _) => {
                let mut each = shape;
                each.remove(1);
                return Ok(self.in_file_shape(losses, each));
            }
            ("sum", _) => sum(self, losses),
            ("mean", Some(weights)) => {
                let (all, total) = (sum(self, losses), sum(self, weights));
                self.both(Arithmetic::Divide, all, total)?
            }
            ("mean", None) => {
                let op = Op::ReduceAll(calcine_graph::Reduction::Mean);
                self.push(op, vec![losses], vec![1.into()], ElementKind::Float)
            }
            (other, _) => return Err(format!("reduction `{other}`; valid are none, sum and mean")),
        };
        self.mark_scalar(result);
        Ok(result)
    }

    /// `SoftmaxCrossEntropyLoss`. The results are the loss and the log probabilities.
    pub(crate) fn cross_entropy(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<Known>, Reason> {
        let scores = self.value(&needs(x, 0)?)?;
        if self.rank(scores) < 2 {
            return Err("scores of fewer than 2 axes".to_owned());
        }
        let logs = self.same(Op::LogSoftmax(1), scores);
        let loss = self.likelihood_loss(a, logs, x)?;
        Ok(vec![Known::Value(loss), Known::Value(logs)])
    }
}
