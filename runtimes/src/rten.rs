//! The crate `rten`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use rten::ModelOptions;
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use crate::{Array, Session};

pub(crate) fn load(file: &Path) -> Result<Session, String> {
    let model = ModelOptions::with_all_ops().load_file(file).map_err(told)?;
    let run = move |x: Array| {
        let x = Tensor::from_data(&x.shape[..], x.values);
        let output = model.run_one(x.view().into(), None).map_err(told)?;
        let output: Tensor<f32> = output.try_into().map_err(told)?;
        Ok(Array {
            shape: output.shape().to_vec(),
            values: output.to_vec(),
        })
    };
    Ok(Session {
        // It does not say.
        kernels: BTreeMap::new(),
        run: Box::new(run),
    })
}

fn told(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
