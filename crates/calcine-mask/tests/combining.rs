//! Masks as a collection.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Tensor};
use calcine_mask::Masks;
use calcine_params::Inventory;
use calcine_testkit::{Mlp, device};

use crate::{bools, floats, masks};

#[test]
fn an_element_is_kept_where_all_masks_keep_it() {
    let model = Mlp::new(&device());
    let even = masks(&model, &["first.weight", "second.weight"], |i| i % 2 == 0);
    let third = masks(&model, &["first.weight", "first.bias"], |i| i % 3 == 0);
    let all = Masks::intersection([&even, &third]);
    assert_eq!(
        all.paths().collect::<Vec<_>>(),
        ["first.bias", "first.weight", "second.weight"]
    );
    let kept = |path: &str| bools(all.keep(path).unwrap());
    assert_eq!(
        kept("first.weight"),
        (0..96).map(|i| i % 6 == 0).collect::<Vec<_>>()
    );
    assert_eq!(
        kept("second.weight"),
        (0..48).map(|i| i % 2 == 0).collect::<Vec<_>>()
    );
    assert_eq!(
        kept("first.bias"),
        (0..16).map(|i| i % 3 == 0).collect::<Vec<_>>()
    );
}

#[test]
fn intersection_knows_no_last_writer_and_no_order() {
    let model = Mlp::new(&device());
    let none = masks(&model, &["first.weight"], |_| false);
    let all = masks(&model, &["first.weight"], |_| true);
    let some = masks(&model, &["first.weight"], |i| i < 5);
    for order in [
        [&none, &all, &some],
        [&all, &some, &none],
        [&some, &none, &all],
    ] {
        let both = Masks::intersection(order);
        assert!(
            bools(both.keep("first.weight").unwrap())
                .iter()
                .all(|keep| !keep)
        );
    }
    let both = bools(
        Masks::intersection([&some, &all])
            .keep("first.weight")
            .unwrap(),
    );
    assert_eq!(both, bools(some.keep("first.weight").unwrap()));
    assert!(
        bools(all.keep("first.weight").unwrap())
            .iter()
            .all(|keep| *keep),
        "unchanged"
    );
    assert!(Masks::intersection([]).is_empty());
}

#[test]
fn inserting_again_replaces_and_clearing_forgets() {
    let model = Mlp::new(&device());
    let weight = Inventory::from_module(&model)
        .get("second.weight")
        .unwrap()
        .clone();
    let mut masks = masks(&model, &["second.weight"], |_| false);
    masks.insert(&weight, Tensor::<2>::ones([16, 3], &device()).bool());
    assert_eq!(masks.len(), 1);
    assert!(
        bools(masks.keep("second.weight").unwrap())
            .iter()
            .all(|keep| *keep)
    );
    assert!(masks.keep("first.weight").is_none());
    masks.clear();
    assert!(masks.is_empty() && masks.keep("second.weight").is_none());
}

#[test]
#[should_panic(expected = "")]
fn a_mask_of_another_size_is_refused() {
    let model = Mlp::new(&device());
    let weight = Inventory::from_module(&model)
        .get("second.weight")
        .unwrap()
        .clone();
    let short = Tensor::<1, Bool>::from_bool([true; 47].as_slice(), &device());
    Masks::default().insert(&weight, short);
}

/// A weight under two names, as of an embedding and the layer that reads it out.
#[derive(Module, Debug)]
struct Tied {
    embedding: Param<Tensor<2>>,
    head: Param<Tensor<2>>,
}

#[test]
fn a_tied_weight_has_one_mask_under_both_its_names() {
    let embedding = Param::from_tensor(Tensor::<2>::ones([2, 3], &device()));
    let model = Tied {
        head: embedding.clone(),
        embedding,
    };
    for name in ["embedding", "head"] {
        let masks = masks(&model, &[name], |i| i != 4);
        assert_eq!(masks.len(), 1);
        for name in ["embedding", "head"] {
            let keep = bools(masks.keep(name).unwrap());
            assert_eq!(keep, [true, true, true, true, false, true]);
        }
        let expected = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0];
        for masked in [masks.apply(model.clone()), masks.forward(&model)] {
            assert_eq!(floats(masked.embedding.val()), expected);
            assert_eq!(floats(masked.head.val()), expected);
        }
        let inventory = Inventory::from_module(&model);
        let bytes = masks.to_bytes().unwrap();
        let again = Masks::from_bytes(&bytes, &inventory, &device()).unwrap();
        assert!(again.keep("head").is_some() && again.keep("embedding").is_some());
    }
    let none = masks(&model, &[], |_| true);
    assert!(none.keep("head").is_none());
}
