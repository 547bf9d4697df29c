//! Nodes that are computed together: a batch norm, an addition to its result, and a ReLU or another clamp.

use calcine_graph::{Arithmetic, Graph, Map, Node, Op, ValueId};

/// A batch norm and the nodes that follow it; the result of each is used only by the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    /// The nodes before the last one: the norm, if other nodes follow it, and the addition.
    pub(crate) inner: Vec<usize>,
    /// The index of the norm's leaf.
    pub(crate) leaf: usize,
    /// The input of the norm.
    pub(crate) x: ValueId,
    /// The value that is added to the result.
    pub(crate) other: Option<ValueId>,
    /// The bounds of the results; zero and infinity for a ReLU.
    pub(crate) ends: Option<[f64; 2]>,
}

/// The chains of a graph, by the index of their last node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chains {
    pub(crate) ends: Vec<Option<Chain>>,
}

impl Chains {
    /// Finds the chains of a graph. `norms` has the leaf of each node that is a norm, and `uses` the number of uses of
    /// each value.
    pub(crate) fn of(graph: &Graph, norms: &[Option<usize>], uses: &[usize]) -> Self {
        let mut consumers = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for id in &node.inputs {
                consumers[id.0] = Some(index);
            }
        }
        // The only node that uses a value, if its result has the same shape.
        let next = |id: ValueId| -> Option<(usize, &Node)> {
            let index = consumers[id.0].filter(|_| uses[id.0] == 1)?;
            let node = &graph.nodes[index];
            let same = graph.value(node.output).shape == graph.value(id).shape;
            same.then_some((index, node))
        };
        let mut chains = Self {
            ends: vec![None; graph.nodes.len()],
        };
        for (index, leaf) in norms.iter().enumerate() {
            let Some(leaf) = *leaf else { continue };
            // A norm that is used twice updates its statistics in the order of its uses.
            let is_shared = norms.iter().filter(|norm| **norm == Some(leaf)).count() > 1;
            let mut chain = Chain {
                inner: Vec::new(),
                leaf,
                x: graph.nodes[index].inputs[0],
                other: None,
                ends: None,
            };
            let mut end = index;
            if !is_shared
                && let Some((at, sum)) = next(graph.nodes[end].output)
                && sum.op == Op::Zip(Arithmetic::Add)
            {
                let own = graph.nodes[end].output;
                let other = sum.inputs.iter().copied().find(|id| *id != own);
                let fits = |id: &ValueId| graph.value(*id).shape == graph.value(own).shape;
                if let Some(other) = other.filter(fits) {
                    chain.other = Some(other);
                    chain.inner.push(end);
                    end = at;
                }
            }
            if !is_shared
                && let Some((at, rectifier)) = next(graph.nodes[end].output)
                && let Some(bounds) = bounds(&rectifier.op)
            {
                chain.ends = Some(bounds);
                chain.inner.push(end);
                end = at;
            }
            // The sum of two norms belongs to the later norm; the earlier one is computed separately.
            if let Some(earlier) = chains.ends[end].take()
                && let Some(norm) = earlier.inner.first()
            {
                chains.ends[*norm] = Some(Chain {
                    inner: Vec::new(),
                    other: None,
                    ends: None,
                    ..earlier
                });
            }
            chains.ends[end] = Some(chain);
        }
        chains
    }
}

/// The bounds of a ReLU or of another clamp.
fn bounds(op: &Op) -> Option<[f64; 2]> {
    match *op {
        Op::Map(Map::Relu) => Some([0.0, f64::INFINITY]),
        Op::Map(Map::Clamp { low, high }) if low < high => Some([low, high]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{BatchNorm, BatchNormConfig, Relu};
    use burn::tensor::{Device, Tensor};

    use super::Chain;
    use crate::trace;

    /// Two norms whose results are added, followed by a ReLU; the result of one norm may also be used elsewhere.
    #[derive(Module, Debug)]
    struct Sum {
        a: BatchNorm,
        b: BatchNorm,
        relu: Relu,
    }

    impl Sum {
        fn new() -> Self {
            let norm = || BatchNormConfig::new(2).init(&Device::flex());
            Self {
                a: norm(),
                b: norm(),
                relu: Relu::new(),
            }
        }
    }

    fn chains(forward: impl Fn(&Sum, Tensor<4>) -> Tensor<4> + Clone) -> Vec<Option<Chain>> {
        let x = Tensor::ones([2, 2, 3, 3], &Device::flex());
        let network = trace(&Sum::new(), x, forward).expect("it traces");
        network.plan().chains.ends.clone()
    }

    fn described(chains: &[Option<Chain>]) -> Vec<Option<(usize, bool, bool)>> {
        let each = chains.iter().map(|chain| {
            let chain = chain.as_ref()?;
            Some((chain.leaf, chain.other.is_some(), chain.ends.is_some()))
        });
        each.collect()
    }

    #[test]
    fn a_sum_belongs_to_one_norm_and_what_is_used_twice_ends_a_chain() {
        let sum = chains(|m, x| m.relu.forward(m.a.forward(x.clone()) + m.b.forward(x)));
        let expected = [Some((0, false, false)), None, None, Some((1, true, true))];
        assert_eq!(described(&sum), expected);

        let twice = chains(|m, x| {
            let y = m.a.forward(x);
            m.relu.forward(y.clone()) + y
        });
        assert_eq!(described(&twice), [Some((0, false, false)), None, None]);

        let one_norm = chains(|m, x| m.relu.forward(m.a.forward(m.a.forward(x))));
        let alone = Some((0, false, false));
        assert_eq!(described(&one_norm), [alone, alone, None]);

        let broadcast = chains(|m, x| m.a.forward(x.clone()) + x.mean_dim(2));
        assert_eq!(described(&broadcast)[0], alone);
    }
}
