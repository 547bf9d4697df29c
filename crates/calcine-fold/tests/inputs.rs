//! Numbers of inputs, at the weights that multiply them.

use burn::tensor::{Tensor, TensorData};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::device;

/// For every unit and member, which input the weight multiplies.
fn inputs(fold: &Fold, inputs: usize) -> Vec<f32> {
    let numbers: Vec<f32> = (0..inputs).map(|input| input as f32).collect();
    let numbers = Tensor::<1>::from_data(TensorData::new(numbers, [inputs]), &device());
    let rows = fold.spread_inputs(numbers);
    assert_eq!(rows.dims(), [fold.units(), fold.members()]);
    rows.into_data().iter::<f32>().collect()
}

#[test]
fn a_convolutions_weights_multiply_the_channels_of_their_second_axis() {
    let fold = Fold::new(Granularity::Filter, &[2, 3, 1, 2], Layout::CONVOLUTION).unwrap();
    let filter = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0];
    assert_eq!(inputs(&fold, 3), [filter, filter].concat());
}

#[test]
fn a_linear_layers_weights_multiply_the_features_of_their_first_axis() {
    let fold = Fold::new(Granularity::Element, &[3, 2], Layout::LINEAR).unwrap();
    assert_eq!(inputs(&fold, 3), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    let fold = Fold::new(Granularity::FcOutput, &[3, 2], Layout::LINEAR).unwrap();
    assert_eq!(inputs(&fold, 3), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    let fold = Fold::new(Granularity::FcInput, &[3, 2], Layout::LINEAR).unwrap();
    assert_eq!(inputs(&fold, 3), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn filters_of_a_group_multiply_the_inputs_of_their_group() {
    let fold = Fold::grouped(Granularity::Filter, &[4, 2, 1, 1], Layout::CONVOLUTION, 2).unwrap();
    assert_eq!(inputs(&fold, 4), [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0]);
    let transposed = Layout::TRANSPOSED_CONVOLUTION;
    let fold = Fold::grouped(Granularity::Element, &[4, 1, 1, 2], transposed, 2).unwrap();
    assert_eq!(inputs(&fold, 4), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
}
