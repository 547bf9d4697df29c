//! What the types promise: objects that can be sent, boxed, borrowed and selected.

use burn::tensor::{Bool, Tensor};
use calcine_regularize::{
    ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer, Selected, Separable,
    SparseGroupLasso,
};
use calcine_testkit::device;

use crate::common::{floats, tensor};

fn send<T: Send>(value: T) -> T {
    value
}

#[test]
fn regularizers_are_objects_that_can_be_sent() {
    let rows = tensor(&vec![vec![3.0, 4.0]; 2], &device());
    let regularizers: [(Box<dyn Regularizer + Send>, f32); 4] = [
        (Box::new(L1), 14.0),
        (Box::new(L2), 25.0),
        (Box::new(GroupLasso::default()), 10.0),
        (Box::new(GroupVariance::default()), 0.0),
    ];
    for (regularizer, penalty) in regularizers {
        // A box is a regularizer again, so it nests; and so does a reference.
        let boxed: Box<dyn Regularizer + Send> = Box::new(send(regularizer));
        let borrowed: &dyn Regularizer = &&boxed;
        assert_eq!(floats(borrowed.value(rows.clone(), 1.0)), [penalty]);
        assert_eq!(borrowed.gradient(rows.clone(), 1.0).dims(), [2, 2]);
        let steps = borrowed.proximal(rows.clone(), 1.0).is_some();
        assert_eq!(steps, penalty != 0.0);
    }
}

#[test]
fn a_boxed_sum_over_units_can_be_selected_from_and_is_a_regularizer() {
    let share = 0.5;
    let lasso = GroupLasso::default();
    let sums: [Box<dyn Separable + Send>; 5] = [
        Box::new(L1),
        Box::new(L2),
        Box::new(lasso),
        Box::new(ElasticNet { share }),
        Box::new(SparseGroupLasso { share, lasso }),
    ];
    let rows = tensor(&vec![vec![3.0, 4.0], vec![1.0, 1.0]], &device());
    for inner in sums {
        let alone = floats(inner.penalties(rows.clone()))[0];
        let units = Tensor::<1, Bool>::from_bool([true, false], &device());
        let selected: Box<dyn Regularizer + Send> = Box::new(Selected { inner, units });
        assert_eq!(floats(selected.value(rows.clone(), 1.0)), [alone]);
        assert_eq!(floats(selected.gradient(rows.clone(), 1.0))[2..], [0.0; 2]);
        let stepped = floats(selected.proximal(rows.clone(), 0.5).unwrap());
        assert_eq!(stepped[2..], [1.0; 2]);
        assert!(stepped[0] < 3.0 && stepped[1] < 4.0);
    }
}
