//! Distiller's words for groups of weights, as folds of ours.

use burn::tensor::{Bool, Tensor, TensorData};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::device;
use calcine_testkit::golden::Golden;
use serde_json::Value;

/// `None` for a word that is none of Distiller's.
pub(crate) fn granularity(word: &str) -> Option<Granularity> {
    Some(match word {
        "2D" => Granularity::Kernel,
        "3D" | "Filters" => Granularity::Filter,
        "4D" => Granularity::Layer,
        "Channels" => Granularity::Channel,
        // Of a linear weight, which it stores with the output first.
        "Rows" => Granularity::FcOutput,
        "Cols" => Granularity::FcInput,
        _ => return None,
    })
}

/// A weight and its fold.
pub(crate) struct Weight {
    pub(crate) fold: Fold,
    flat: Tensor<1>,
}

impl Weight {
    /// The weight that a case refers to.
    pub(crate) fn of(file: &Golden, reference: &Value, granularity: Granularity) -> Self {
        let (shape, numbers) = file.values(reference);
        let count = numbers.len();
        Self {
            fold: Fold::new(granularity, &shape, Layout::OutputFirst).unwrap(),
            flat: Tensor::from_data(TensorData::new(numbers, [count]), &device()),
        }
    }

    pub(crate) fn rows(&self) -> Tensor<2> {
        self.fold.rows(self.flat.clone())
    }
}

/// Rows as the numbers of the stored weight.
pub(crate) fn stored(fold: &Fold, rows: Tensor<2>) -> Vec<f64> {
    let data = match fold.shape().len() {
        2 => fold.unrows::<2, _>(rows).into_data(),
        _ => fold.unrows::<4, _>(rows).into_data(),
    };
    data.iter::<f64>().collect()
}

/// A decision for each unit as the mask of the stored weight.
pub(crate) fn mask(fold: &Fold, keep: Tensor<1, Bool>) -> Vec<bool> {
    let data = match fold.shape().len() {
        2 => fold.spread::<2>(keep).into_data(),
        _ => fold.spread::<4>(keep).into_data(),
    };
    data.iter::<bool>().collect()
}

/// What Distiller kept.
pub(crate) fn kept(file: &Golden, reference: &Value) -> Vec<bool> {
    let numbers = file.values(reference).1;
    numbers.iter().map(|keep| *keep != 0.0).collect()
}
