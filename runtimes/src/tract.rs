//! The crate `tract-onnx`.

use std::collections::BTreeMap;
use std::path::Path;

use tract_onnx::prelude::*;

use crate::{Array, Session};

pub(crate) fn load(file: &Path) -> Result<Session, String> {
    // The batch stays free, as the file has it.
    let model = tract_onnx::onnx().model_for_path(file).map_err(told)?;
    let model = model.into_optimized().map_err(told)?;
    let mut kernels = BTreeMap::new();
    for node in &model.nodes {
        let fact = node.outputs.first().map(|outlet| &outlet.fact);
        let kind = fact
            .map(|fact| format!("{:?}", fact.datum_type))
            .unwrap_or_default();
        *kernels
            .entry(format!("{}.{kind}", node.op.name()))
            .or_default() += 1;
    }
    let model = model.into_runnable().map_err(told)?;
    let run = move |x: Array| {
        let run = || -> TractResult<Array> {
            let x = Tensor::from_shape(&x.shape, &x.values)?;
            let outputs = model.run(tvec!(x.into()))?;
            let output = outputs[0].cast_to::<f32>()?.into_owned();
            Ok(Array {
                shape: output.shape().to_vec(),
                values: output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
            })
        };
        run().map_err(told)
    };
    Ok(Session {
        kernels,
        run: Box::new(run),
    })
}

fn told(error: TractError) -> String {
    format!("{error:#}")
}
