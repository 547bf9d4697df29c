//! Weights that a file stores as what they are computed from: pruning masks and weight norms.

use std::collections::{BTreeMap, BTreeSet};

use burn::store::bridge;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::tensor::{DType, TensorData};

use super::names::{last_element, layer_of};

/// How a weight was computed from a file's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Derivation {
    /// `w = w_orig · w_mask`, of `torch.nn.utils.prune`.
    Mask,
    /// `w = g · v / ‖v‖`, of `torch.nn.utils.weight_norm` and its parametrization; the norm is taken over all axes in
    /// which `g` has one element.
    WeightNorm,
}

/// A weight that was computed.
#[derive(Clone)]
pub(super) struct Derived {
    pub(super) how: Derivation,
    /// What it was pruned by, of the shape of the weight.
    pub(super) mask: Option<StoredTensor>,
}

/// The two tensors that a weight is computed from, by what their names end with behind the weight's own name.
const PAIRS: [([&str; 2], Derivation); 2] = [
    (["_orig", "_mask"], Derivation::Mask),
    (["_g", "_v"], Derivation::WeightNorm),
];

/// What a parametrization's tensors are called: `conv.parametrizations.weight.original0`.
const PARAMETRIZATIONS: &str = "parametrizations";

/// The tensors with each such pair replaced by the weight that it stands for, and the names of those weights.
///
/// `own` are the last elements of the module's own names, which are no parts of anything. A weight that cannot be
/// computed is left as the tensors that it is made of.
pub(super) fn derive(
    tensors: Vec<StoredTensor>,
    own: &BTreeSet<&str>,
) -> (Vec<StoredTensor>, BTreeMap<String, Derived>) {
    let mut tensors: BTreeMap<String, StoredTensor> = tensors
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let mut derived: BTreeMap<String, Derived> = BTreeMap::new();
    // Masks first: the direction of a weight norm can be pruned.
    for (ends, derivation) in PAIRS {
        let names: Vec<String> = tensors.keys().cloned().collect();
        for first in names {
            let Some((name, second)) = partner(&first, ends, derivation, own) else {
                continue;
            };
            if tensors.contains_key(&name) {
                continue;
            }
            let (Some(a), Some(b)) = (tensors.get(&first), tensors.get(&second)) else {
                continue;
            };
            let Some(value) = computed(derivation, a, b, &name) else {
                continue;
            };
            tensors.remove(&first);
            let other = tensors.remove(&second);
            let mask = match derivation {
                Derivation::Mask => other,
                // The direction may be pruned: its zeros are the weight's.
                Derivation::WeightNorm => derived.remove(&second).and_then(|of| of.mask),
            };
            tensors.insert(name.clone(), value);
            derived.insert(
                name,
                Derived {
                    how: derivation,
                    mask,
                },
            );
        }
    }
    (tensors.into_values().collect(), derived)
}

/// The weight that `first` is the first part of, and the name of the other part.
fn partner(
    first: &str,
    [end, other]: [&str; 2],
    derivation: Derivation,
    own: &BTreeSet<&str>,
) -> Option<(String, String)> {
    if let Some(name) = first.strip_suffix(end)
        && !own.contains(last_element(first))
        && !last_element(name).is_empty()
        && (derivation == Derivation::Mask || last_element(name).contains("weight"))
    {
        return Some((name.to_owned(), format!("{name}{other}")));
    }
    let parametrized = first.strip_suffix(".original0")?;
    if derivation != Derivation::WeightNorm {
        return None;
    }
    let layer = layer_of(parametrized).strip_suffix(PARAMETRIZATIONS)?;
    let name = format!("{layer}{}", last_element(parametrized));
    Some((name, format!("{parametrized}.original1")))
}

/// What `name` would be made of, if a file has no tensor of this name: parts of a parametrization or of a norm.
pub(super) fn parts_of<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let (layer, weight) = (layer_of(name), last_element(name));
    let dot = if layer.is_empty() { "" } else { "." };
    let parametrized = format!("{layer}{dot}{PARAMETRIZATIONS}.{weight}.");
    let is_part = |other: &str| {
        let end = other.strip_prefix(name);
        other.starts_with(&parametrized)
            || end.is_some_and(|end| ["_orig", "_mask", "_g", "_v", "_u"].contains(&end))
    };
    names.filter(|other| is_part(other)).collect()
}

/// The value of a weight; `None` if the two tensors do not go together.
fn computed(
    derivation: Derivation,
    a: &StoredTensor,
    b: &StoredTensor,
    name: &str,
) -> Option<StoredTensor> {
    let fits = match derivation {
        Derivation::Mask => a.shape == b.shape,
        Derivation::WeightNorm => broadcasts(&a.shape, &b.shape),
    };
    if !fits || !a.dtype.is_float() || (derivation == Derivation::WeightNorm && !b.dtype.is_float())
    {
        return None;
    }
    let (a, b, dtype) = (a.clone(), b.clone(), widest(a.dtype));
    let shape = b.shape.clone();
    // Read and computed when the value is asked for: a damaged file is an error there.
    let value = move || {
        let (first, second) = (bridge::to_data(&a)?, bridge::to_data(&b)?);
        let first_values: Vec<f64> = first.iter::<f64>().collect();
        let values: Vec<f64> = second.iter::<f64>().collect();
        let computed = match derivation {
            Derivation::Mask => first_values
                .iter()
                .zip(&values)
                .map(|(w, m)| w * m)
                .collect(),
            Derivation::WeightNorm => normed(&first_values, &a.shape, &values, &b.shape),
        };
        Ok(TensorData::new(computed, b.shape.clone()).convert_dtype(dtype))
    };
    Some(bridge::deferred(name.to_owned(), dtype, shape, None, value))
}

/// Halves are computed with as 32-bit floats, and stay such.
fn widest(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Whether `g` has one element, or as many axes as `v`, each of one element or as long as that of `v`.
fn broadcasts(g: &[usize], v: &[usize]) -> bool {
    g.iter().product::<usize>() == 1
        || (g.len() == v.len() && g.iter().zip(v).all(|(g, v)| *g == 1 || g == v))
}

/// `g · v / ‖v‖`, in double precision.
fn normed(g: &[f64], g_shape: &[usize], v: &[f64], v_shape: &[usize]) -> Vec<f64> {
    // The position in `g` of each element of `v`.
    let place = |mut index: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..v_shape.len()).rev() {
            let position = index % v_shape[axis];
            index /= v_shape[axis];
            if g_shape.len() == v_shape.len() && g_shape[axis] > 1 {
                place += position * stride;
                stride *= g_shape[axis];
            }
        }
        place
    };
    let mut squares = vec![0.0; g.len()];
    for (index, value) in v.iter().enumerate() {
        squares[place(index)] += value * value;
    }
    let scaled = |(index, value): (usize, &f64)| {
        let place = place(index);
        g[place] * value / squares[place].sqrt()
    };
    v.iter().enumerate().map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], values: &[f32]) -> StoredTensor {
        let data = TensorData::new(values.to_vec(), shape.to_vec());
        bridge::from_data(data, name.to_owned(), None)
    }

    fn values(tensor: &StoredTensor) -> Vec<f32> {
        bridge::to_data(tensor).unwrap().iter::<f32>().collect()
    }

    #[test]
    fn pairs_become_the_weight_that_they_stand_for() {
        let v = [3.0, 4.0, 0.0, -2.0];
        // Rows [3, 4] of norm 5 and [0, −2] of norm 2; columns [3, 0] and [4, −2].
        let rows = [3.0, 4.0, 0.0, -10.0];
        let column = 20.0_f32.sqrt();
        let columns = [5.0, 10.0 * 4.0 / column, 0.0, 10.0 * -2.0 / column];
        let whole = 29.0_f32.sqrt();
        let table: [(&str, [&str; 2], Vec<usize>, Vec<f32>, Vec<f32>); 7] = [
            (
                "a.weight",
                ["a.weight_orig", "a.weight_mask"],
                vec![2, 2],
                vec![1.0, 0.0, 1.0, 0.0],
                vec![3.0, 0.0, 0.0, 0.0],
            ),
            (
                "bias",
                ["bias_orig", "bias_mask"],
                vec![2, 2],
                vec![1.0; 4],
                v.to_vec(),
            ),
            (
                "a.weight",
                ["a.weight_v", "a.weight_g"],
                vec![2, 1],
                vec![5.0, 10.0],
                rows.to_vec(),
            ),
            (
                "a.weight",
                ["a.weight_v", "a.weight_g"],
                vec![1, 2],
                vec![5.0, 10.0],
                columns.to_vec(),
            ),
            (
                "weight",
                ["weight_v", "weight_g"],
                vec![],
                vec![whole],
                v.to_vec(),
            ),
            (
                "b.a.weight",
                [
                    "b.a.parametrizations.weight.original1",
                    "b.a.parametrizations.weight.original0",
                ],
                vec![2, 1],
                vec![5.0, 10.0],
                rows.to_vec(),
            ),
            (
                "weight",
                [
                    "parametrizations.weight.original1",
                    "parametrizations.weight.original0",
                ],
                vec![2, 1],
                vec![5.0, 10.0],
                rows.to_vec(),
            ),
        ];
        for (name, [full, small], shape, second, expected) in table {
            let tensors = vec![tensor(full, &[2, 2], &v), tensor(small, &shape, &second)];
            let (found, derived) = derive(tensors, &BTreeSet::from(["weight", "bias"]));
            assert_eq!(found.len(), 1, "{full}");
            assert_eq!(found[0].name, name);
            assert!(derived.contains_key(name));
            let off = values(&found[0])
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                off < 1e-6,
                "{full}: {:?} is not {expected:?}",
                values(&found[0])
            );
        }
    }

    #[test]
    fn a_pruned_direction_of_a_weight_norm_is_masked_first() {
        let tensors = vec![
            tensor("weight_g", &[1, 1], &[6.0]),
            tensor("weight_v_orig", &[1, 2], &[2.0, 9.0]),
            tensor("weight_v_mask", &[1, 2], &[1.0, 0.0]),
        ];
        let (found, derived) = derive(tensors, &BTreeSet::from(["weight"]));
        assert_eq!(found.len(), 1);
        assert_eq!(values(&found[0]), [6.0, 0.0]);
        let mask = derived["weight"].mask.as_ref().unwrap();
        assert_eq!((derived.len(), values(mask)), (1, vec![1.0, 0.0]));
    }

    #[test]
    fn what_is_no_pair_stays_as_it_is() {
        let own = BTreeSet::from(["weight", "w_g"]);
        for names in [
            ["weight_orig", "other_mask"],
            ["weight", "weight_mask"],
            // A module may have parameters of such names.
            ["w_g", "w_v"],
        ] {
            let tensors = names.map(|name| tensor(name, &[1], &[1.0])).to_vec();
            let (found, derived) = derive(tensors, &own);
            assert_eq!(found.len(), 2, "{names:?}");
            assert!(derived.is_empty());
        }
        let other_shape = vec![
            tensor("weight_orig", &[2], &[1.0, 2.0]),
            tensor("weight_mask", &[1], &[1.0]),
        ];
        assert_eq!(derive(other_shape, &own).0.len(), 2);
    }

    #[test]
    fn parts_of_a_weight_are_found_by_name() {
        let names = [
            "a.weight_u",
            "a.weight_orig",
            "a.parametrizations.weight.original",
            "a.parametrizations.bias.original",
            "a.weights",
            "b.weight_orig",
        ];
        let parts = parts_of("a.weight", names.into_iter());
        assert_eq!(parts, &names[..3]);
    }
}
