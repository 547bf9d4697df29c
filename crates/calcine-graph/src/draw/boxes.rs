use super::{Detail, Drawing};
use crate::compute::Row;
use crate::error::GraphError;
use crate::extent::Extent;
use crate::graph::{Graph, Node, Source, ValueId};

/// The category of a box, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// An input or output of the network.
    End,
    /// A node with weights.
    Layer,
    /// A node that joins branches.
    Join,
    /// Any other node.
    Other,
}

/// A box with lines of text.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) sort: Sort,
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// The notes of the caller.
    pub(super) notes: Vec<String>,
}

/// Boxes, and the arrows between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) frames: Vec<Frame>,
    pub(super) arrows: Vec<(usize, usize)>,
}

impl Picture {
    pub(super) fn new(graph: &Graph, drawing: &Drawing) -> Result<Self, GraphError> {
        let rows = graph.compute()?.rows;
        let mut picture = Self::default();
        // The box that produces each value.
        let mut frame_of: Vec<Option<usize>> = vec![None; graph.values.len()];
        for &id in &graph.inputs {
            frame_of[id.0] = Some(picture.end(graph, id, "input"));
        }
        let uses = uses(graph);
        for chain in chains(graph, &uses, drawing.detail) {
            let frame = picture.frames.len();
            picture.frames.push(describe(graph, &chain, &rows, drawing));
            for &position in &chain {
                let node = &graph.nodes[position];
                for id in &node.inputs {
                    picture.arrow(frame_of[id.0], frame);
                }
                frame_of[node.output.0] = Some(frame);
            }
        }
        for &id in &graph.outputs {
            let from = frame_of[id.0];
            let to = picture.end(graph, id, "output");
            picture.arrow(from, to);
        }
        Ok(picture)
    }

    fn end(&mut self, graph: &Graph, id: ValueId, what: &str) -> usize {
        let value = graph.value(id);
        self.frames.push(Frame {
            sort: Sort::End,
            title: what.into(),
            lines: vec![lengths(&value.shape)],
            notes: Vec::new(),
        });
        self.frames.len() - 1
    }

    fn arrow(&mut self, from: Option<usize>, to: usize) {
        if let Some(from) = from
            && from != to
            && !self.arrows.contains(&(from, to))
        {
            self.arrows.push((from, to));
        }
    }
}

/// The number of uses of each value, by nodes and as an output.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.values.len()];
    let ids = graph
        .nodes
        .iter()
        .flat_map(|node| &node.inputs)
        .chain(&graph.outputs);
    ids.for_each(|id| uses[id.0] += 1);
    uses
}

/// The positions of the nodes in each box, in the execution order of the first one.
fn chains(graph: &Graph, uses: &[usize], detail: Detail) -> Vec<Vec<usize>> {
    let mut chains: Vec<Vec<usize>> = Vec::new();
    let mut chain_of: Vec<usize> = Vec::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        let before = previous(graph, node, uses).filter(|_| detail == Detail::Layers);
        let chain = before.map_or(chains.len(), |before| chain_of[before]);
        if chain == chains.len() {
            chains.push(Vec::new());
        }
        chains[chain].push(position);
        chain_of.push(chain);
    }
    chains
}

/// The node that this one continues in the same box.
fn previous(graph: &Graph, node: &Node, uses: &[usize]) -> Option<usize> {
    let mut operands = node
        .inputs
        .iter()
        .filter_map(|&id| match graph.value(id).source {
            Source::Node(before) => Some((id, Some(before))),
            Source::Input => Some((id, None)),
            Source::Parameter | Source::Constant => None,
        });
    let (id, before) = operands.next()?;
    (operands.next().is_none() && uses[id.0] == 1 && !node.op.properties().is_layer())
        .then_some(before)?
}

fn describe(graph: &Graph, chain: &[usize], rows: &[Row], drawing: &Drawing) -> Frame {
    let nodes = || {
        chain
            .iter()
            .map(|&position| (&graph.nodes[position], &rows[position]))
    };
    let mut lines = kinds(nodes().map(|(_, row)| row));
    let macs: u64 = nodes().map(|(_, row)| row.macs).sum();
    let last = nodes()
        .next_back()
        .map_or(&[][..], |(node, _)| &graph.value(node.output).shape);
    let mut size = lengths(last);
    if macs > 0 {
        size = format!("{size} · {} MACs", short(macs));
    }
    lines.push(size);
    if drawing.parameters {
        for (node, _) in nodes() {
            let own = node.inputs.iter().map(|&id| graph.value(id));
            lines.extend(
                own.filter(|value| value.source == Source::Parameter)
                    .map(|value| {
                        let short = value.name.rsplit('.').next().unwrap_or_default();
                        format!("{short} {}", lengths(&value.shape))
                    }),
            );
        }
    }
    let (first, _) = nodes().next().expect("a chain has a node");
    let computed = |id: &&ValueId| {
        let source = graph.value(**id).source;
        matches!(source, Source::Node(_) | Source::Input)
    };
    let sort = match first.inputs.iter().filter(computed).count() {
        _ if first.op.properties().is_layer() => Sort::Layer,
        0 | 1 => Sort::Other,
        _ => Sort::Join,
    };
    let notes = nodes()
        .filter_map(|(node, _)| drawing.notes.get(&node.name).cloned())
        .collect();
    Frame {
        sort,
        title: first.name.clone(),
        lines,
        notes,
    }
}

/// The operations in a box: the first one with its attributes, the others by name.
fn kinds<'a>(mut rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut names = Vec::new();
    if let Some(first) = rows.next() {
        match first.attributes.as_str() {
            "" => names.push(first.kind.as_str()),
            attributes => lines.push(format!("{} {attributes}", first.kind)),
        }
    }
    names.extend(rows.map(|row| row.kind.as_str()));
    lines.extend(names.chunks(4).map(|names| names.join(", ")));
    lines
}

/// A shape such as `16×32×32`, without the batch axis if it comes first.
fn lengths(shape: &[Extent]) -> String {
    let sample = shape.strip_prefix(&[Extent::BATCH]).unwrap_or(shape);
    let texts: Vec<String> = sample.iter().map(Extent::to_string).collect();
    texts.join("×")
}

/// A number with three digits: `442 k`, `2.36 M`.
fn short(number: u64) -> String {
    let mut scaled = number as f64;
    let mut units = ["", " k", " M", " G", " T"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while scaled >= 999.5 {
        let Some(next) = units.next() else { break };
        scaled /= 1000.0;
        unit = next;
    }
    let digits = match scaled {
        _ if unit.is_empty() => 0,
        s if s < 9.995 => 2,
        s if s < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$}{unit}")
}
