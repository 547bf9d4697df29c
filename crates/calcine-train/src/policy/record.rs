//! Converts tensors and plain state to the named byte strings of a record.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, Transaction};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Converts vectors, by name, to a safetensors file. Equal values give equal bytes. Reads the device once.
pub(super) fn vectors_to_bytes(vectors: &BTreeMap<String, Tensor<1>>) -> Vec<u8> {
    let tensors = vectors.values().cloned();
    let read = tensors.fold(Transaction::default(), Transaction::register);
    let values: Vec<Vec<f32>> = read
        .execute()
        .into_iter()
        .map(|data| data.iter::<f32>().collect())
        .collect();
    let mut views = BTreeMap::new();
    for (name, values) in vectors.keys().zip(&values) {
        let bytes = bytemuck::cast_slice(values);
        let view = TensorView::new(Dtype::F32, vec![values.len()], bytes);
        views.insert(name, view.expect("four bytes a number"));
    }
    safetensors::serialize(views, None).expect("they are plain vectors")
}

/// Reads what [`vectors_to_bytes`] wrote.
pub(super) fn vectors_from_bytes(
    bytes: &[u8],
    device: &Device,
) -> Result<BTreeMap<String, Tensor<1>>, SafeTensorError> {
    let file = SafeTensors::deserialize(bytes)?;
    let vector = |(name, view): (&str, TensorView<'_>)| {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
        let length = values.len();
        let vector = Tensor::from_data(TensorData::new(values, [length]), device);
        (name.to_owned(), vector)
    };
    Ok(file.iter().map(vector).collect())
}
