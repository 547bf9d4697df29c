//! What a unit is, by looking at one element at a time.

use calcine_fold::{Grain, Layout};

/// `[out, in, height, width]` of the element at `flat` of a weight of this shape.
fn place(flat: usize, shape: &[usize], layout: Layout) -> [usize; 4] {
    let mut rest = flat;
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    let at = |axis: usize| index.get(axis).copied().unwrap_or(0);
    let (out, input) = match layout {
        Layout::InputFirst if shape.len() > 1 => (at(1), at(0)),
        _ => (at(0), at(1)),
    };
    match shape.len() {
        1 | 2 => [out, input, 0, 0],
        3 => [out, input, 0, at(2)],
        4 => [out, input, at(2), at(3)],
        _ => [out, input, at(2) * shape[3] + at(3), at(4)],
    }
}

/// The stored positions of every unit's members, units in order, members sorted.
pub(crate) fn units(grain: Grain, shape: &[usize], layout: Layout) -> Vec<Vec<usize>> {
    let key = |flat: usize| {
        let [o, i, h, w] = place(flat, shape, layout);
        match grain {
            Grain::Element => [flat, 0, 0, 0],
            Grain::Kernel => [o, i, 0, 0],
            Grain::Filter | Grain::FcOutput => [o, 0, 0, 0],
            Grain::Channel | Grain::FcInput => [i, 0, 0, 0],
            Grain::Block {
                rep,
                depth,
                height,
                width,
            } => [o / rep, i / depth, h / height, w / width],
            _ => [0; 4],
        }
    };
    let mut by_key = std::collections::BTreeMap::<_, Vec<usize>>::new();
    for flat in 0..shape.iter().product() {
        by_key.entry(key(flat)).or_default().push(flat);
    }
    by_key.into_values().collect()
}
