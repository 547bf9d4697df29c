use burn::tensor::{Int, Tensor};
use calcine_testkit::{Mlp, device};
use calcine_trace::{ForwardError, trace};

use crate::numbers;

#[test]
fn an_operation_without_counterpart_is_named_with_its_place() {
    let error = trace(&Mlp::new(&device()), numbers([1, 6]), |m, x: Tensor<2>| {
        m.forward(x).cumprod(1)
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("CumProd") && text.contains("second"),
        "{text}"
    );
}

#[test]
fn a_pass_that_depends_on_the_batch_is_an_error() {
    let error = trace(&Mlp::new(&device()), numbers([1, 6]), |m, x: Tensor<2>| {
        let batch = x.dims()[0];
        m.forward(x) / batch as f32
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("batch of 2"), "{text}");
}

#[test]
fn tensors_that_do_not_fit_are_errors() {
    let network = trace(&Mlp::new(&device()), numbers([1, 6]), |m, x| m.forward(x)).unwrap();
    let forward = |x: Tensor<2>| network.try_forward::<_, Tensor<2>>(x).map(|_| ());
    assert_eq!(forward(numbers([7, 6])), Ok(()));
    let error = forward(numbers([7, 3])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`input` is Float [7, 3]; the network takes Float [B, 6], where B is the batch"
    );
    let ints = Tensor::<2, Int>::zeros([7, 6], &device());
    assert!(matches!(
        network.try_forward::<_, Tensor<2>>(ints).unwrap_err(),
        ForwardError::Input { .. }
    ));
    assert!(matches!(
        network
            .try_forward::<_, Tensor<3>>(numbers([7, 6]))
            .unwrap_err(),
        ForwardError::Outputs { .. }
    ));
    assert!(matches!(
        network
            .try_forward::<_, Tensor<2>>((numbers([7, 6]), numbers([7, 6])))
            .unwrap_err(),
        ForwardError::Inputs { .. }
    ));
}

#[test]
fn a_constant_that_depends_on_the_batch_is_an_error() {
    let error = trace(&Mlp::new(&device()), numbers([1, 6]), |m, x: Tensor<2>| {
        let batch = x.dims()[0] as f32;
        let scale = Tensor::<2>::from_floats([[batch]], &x.device());
        m.forward(x) / scale
    })
    .unwrap_err();
    assert!(error.to_string().contains("constant"), "{error}");
}
