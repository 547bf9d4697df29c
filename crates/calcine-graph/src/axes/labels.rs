use crate::graph::{Graph, ValueId};

/// The labels of one axis, one per index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The label of index 0.
    pub(crate) first: usize,
    /// The number of labels; 0 if nothing can be removed from the axis.
    pub(crate) length: usize,
}

impl Span {
    pub(crate) fn label(self, index: usize) -> usize {
        self.first + index
    }

    pub(crate) fn labels(self) -> std::ops::Range<usize> {
        self.first..self.first + self.length
    }
}

/// The labels of all indices of all axes of all tensors, and which of them are equal (union-find).
///
/// An axis of length 1 has no label: it is broadcast, or nothing can be removed from it anyway. An axis that grows with
/// the batch has one label for each position that a sample adds, row-major with the batch outermost: `[12·B]` has 12
/// labels, like `[B, 12]`, and `[B]` has none.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    spans: Vec<Vec<Span>>,
    parent: Vec<u32>,
    /// For root labels, the number of the pin, or `FREE`.
    pin: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl Labels {
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut count = 0;
        let spans = graph.values.iter().map(|value| {
            let axes = value.shape.iter().map(|extent| {
                let length = extent.indices();
                let span = Span {
                    first: count,
                    length,
                };
                count += length;
                span
            });
            axes.collect()
        });
        let spans = spans.collect();
        Self {
            spans,
            parent: (0..).take(count).collect(),
            pin: vec![FREE; count],
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.parent.len()
    }

    pub(crate) fn span(&self, value: ValueId, axis: usize) -> Span {
        self.spans[value.0][axis]
    }

    pub(crate) fn spans(&self, value: ValueId) -> &[Span] {
        &self.spans[value.0]
    }

    /// The root of the labels that are equal to this one.
    pub(crate) fn root(&mut self, label: usize) -> usize {
        let mut root = label as u32;
        while self.parent[root as usize] != root {
            let above = self.parent[self.parent[root as usize] as usize];
            self.parent[root as usize] = above;
            root = above;
        }
        root as usize
    }

    /// Makes two labels equal. The lower label becomes the root, and the lower pin is kept.
    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        let (root, child) = (one.min(other), one.max(other));
        self.parent[child] = root as u32;
        self.pin[root] = self.pin[root].min(self.pin[child]);
    }

    pub(crate) fn join_spans(&mut self, one: Span, other: Span) {
        for (one, other) in one.labels().zip(other.labels()) {
            self.join(one, other);
        }
    }

    pub(crate) fn pin(&mut self, label: usize, number: u32) {
        let root = self.root(label);
        self.pin[root] = self.pin[root].min(number);
    }

    pub(crate) fn pinned(&mut self, label: usize) -> Option<u32> {
        let root = self.root(label);
        Some(self.pin[root]).filter(|&number| number != FREE)
    }

    /// Assigns its root to every label.
    pub(crate) fn settle(&mut self) {
        for label in 0..self.count() {
            self.parent[label] = self.root(label) as u32;
        }
    }

    /// The root of a label, after [`settle`](Self::settle).
    pub(crate) fn settled(&self, label: usize) -> usize {
        self.parent[label] as usize
    }

    /// The pin of a label, after [`settle`](Self::settle).
    pub(crate) fn settled_pin(&self, label: usize) -> Option<u32> {
        Some(self.pin[self.settled(label)]).filter(|&number| number != FREE)
    }
}
