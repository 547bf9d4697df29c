//! What a unit is, by looking at one element at a time.

use calcine_fold::{Granularity, Layout};

/// A granularity of a weight.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) granularity: Granularity,
    pub(crate) shape: Vec<usize>,
    pub(crate) layout: Layout,
    pub(crate) groups: usize,
}

/// Where one element of a weight belongs.
struct Place {
    /// Of the groups of the convolution.
    group: usize,
    /// Of all outputs.
    output: usize,
    /// Of all inputs.
    input: usize,
    height: usize,
    width: usize,
}

impl Case {
    fn place(&self, flat: usize) -> Place {
        let shape = &self.shape;
        let mut rest = flat;
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        let at = |axis: usize| index.get(axis).copied().unwrap_or(0);
        // The groups cut the first stored axis; the second counts within a group.
        let group = at(0) / (shape[0] / self.groups);
        let second = group * shape.get(1).copied().unwrap_or(1) + at(1);
        let (output, input) = match self.layout {
            Layout::InputFirst if shape.len() > 1 => (second, at(0)),
            _ => (at(0), second),
        };
        let (height, width) = match shape.len() {
            1 | 2 => (0, 0),
            3 => (0, at(2)),
            4 => (at(2), at(3)),
            _ => (at(2) * shape[3] + at(3), at(4)),
        };
        Place {
            group,
            output,
            input,
            height,
            width,
        }
    }

    /// Inputs and outputs of one group.
    fn of_a_group(&self) -> (usize, usize) {
        let first = self.shape[0] / self.groups;
        let second = self.shape.get(1).copied().unwrap_or(1);
        match self.layout {
            Layout::InputFirst if self.shape.len() > 1 => (first, second),
            _ => (second, first),
        }
    }

    /// The stored positions of every unit's members, units in order, members sorted.
    pub(crate) fn units(&self) -> Vec<Vec<usize>> {
        let (inputs, outputs) = self.of_a_group();
        let key = |flat: usize| {
            let Place {
                group,
                output,
                input,
                height: y,
                width: x,
            } = self.place(flat);
            match self.granularity {
                Granularity::Element => [flat, 0, 0, 0, 0],
                Granularity::Group { .. } => [output, y, x, input, 0],
                Granularity::Kernel => [output, input, 0, 0, 0],
                Granularity::Filter | Granularity::FcOutput => [output, 0, 0, 0, 0],
                Granularity::Channel | Granularity::FcInput => [input, 0, 0, 0, 0],
                Granularity::Block {
                    rep,
                    depth,
                    height,
                    width,
                } => [
                    group,
                    output % outputs / rep,
                    input % inputs / depth,
                    y / height,
                    x / width,
                ],
                _ => [0; 5],
            }
        };
        let mut by_key = std::collections::BTreeMap::<_, Vec<usize>>::new();
        for flat in 0..self.shape.iter().product() {
            by_key.entry(key(flat)).or_default().push(flat);
        }
        by_key.into_values().collect()
    }
}
