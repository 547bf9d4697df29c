//! Nodes that are computed together: a batch norm, a sum of its result with another, and a rectifier.

use calcine_graph::{Arithmetic, Graph, Map, Node, Op, ValueId};

/// A batch norm and the nodes behind it, each of which has its only use in the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Which leaf the norm is.
    pub(crate) leaf: usize,
    /// What is normalized.
    pub(crate) x: ValueId,
    /// What is added to the result.
    pub(crate) other: Option<ValueId>,
    /// Whether negative results become zero.
    pub(crate) relu: bool,
}

/// The chains of a graph, by the position of the last node, and whether a node is in a chain before its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chains {
    pub(crate) ends: Vec<Option<Chain>>,
    pub(crate) within: Vec<bool>,
}

impl Chains {
    /// Those of a graph, of whose nodes some are norms of leaves, and of whose values each is used so often.
    pub(crate) fn of(graph: &Graph, norms: &[Option<usize>], uses: &[usize]) -> Self {
        let mut consumers = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for id in &node.inputs {
                consumers[id.0] = Some(index);
            }
        }
        // The node that a value has its only use in, and which gives a value of the same shape.
        let next = |id: ValueId| -> Option<(usize, &Node)> {
            let index = consumers[id.0].filter(|_| uses[id.0] == 1)?;
            let node = &graph.nodes[index];
            let same = graph.value(node.output).shape == graph.value(id).shape;
            same.then_some((index, node))
        };
        let mut chains = Self {
            ends: vec![None; graph.nodes.len()],
            within: vec![false; graph.nodes.len()],
        };
        for (index, leaf) in norms.iter().enumerate() {
            let Some(leaf) = *leaf else { continue };
            // A norm that is used twice moves its statistics in the order of its uses.
            let is_shared = norms.iter().filter(|norm| **norm == Some(leaf)).count() > 1;
            let mut chain = Chain {
                leaf,
                x: graph.nodes[index].inputs[0],
                other: None,
                relu: false,
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
                    chains.within[end] = true;
                    end = at;
                }
            }
            if !is_shared
                && let Some((at, rectifier)) = next(graph.nodes[end].output)
                && rectifier.op == Op::Map(Map::Relu)
            {
                chain.relu = true;
                chains.within[end] = true;
                end = at;
            }
            // A sum of two norms belongs to the later one; the earlier one is computed alone.
            if let Some(earlier) = &mut chains.ends[end] {
                let alone = Chain {
                    other: None,
                    relu: false,
                    ..earlier.clone()
                };
                let at = norms.iter().position(|norm| *norm == Some(alone.leaf));
                if let Some(at) = at {
                    chains.within[at] = false;
                    chains.ends[at] = Some(alone);
                }
            }
            chains.ends[end] = Some(chain);
        }
        chains
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{BatchNorm, BatchNormConfig, Relu};
    use burn::tensor::{Device, Tensor};

    use super::Chain;
    use crate::trace;

    /// Two norms whose results are added, one of them also used elsewhere if so asked, and a rectifier.
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
        let chains = &network.plan().chains;
        let ends = chains.ends.iter().zip(&chains.within);
        ends.map(|(end, within)| match within {
            true => None,
            false => end.clone(),
        })
        .collect()
    }

    fn described(chains: &[Option<Chain>]) -> Vec<Option<(usize, bool, bool)>> {
        let each = chains.iter().map(|chain| {
            let chain = chain.as_ref()?;
            Some((chain.leaf, chain.other.is_some(), chain.relu))
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
