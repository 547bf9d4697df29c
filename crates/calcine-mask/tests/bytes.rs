//! Masks in a file.

use calcine_mask::{MaskFileError, Masks};
use calcine_params::Inventory;
use calcine_testkit::{ConvNet, Mlp, device};

use crate::{bools, masks};

const PATHS: [&str; 3] = ["second.weight", "first.bias", "first.weight"];

#[test]
fn masks_come_back_from_their_bytes() {
    let model = Mlp::new(&device());
    let keep = |i: usize| (i * i) % 7 < 3;
    let before = masks(&model, &PATHS, keep);
    let bytes = before.to_bytes().unwrap();
    let after = Masks::from_bytes(&bytes, &Inventory::from_module(&model), &device()).unwrap();
    assert_eq!(
        after.paths().collect::<Vec<_>>(),
        before.paths().collect::<Vec<_>>()
    );
    for path in PATHS {
        assert_eq!(
            bools(after.keep(path).unwrap()),
            bools(before.keep(path).unwrap())
        );
    }
    // They still belong to their parameters.
    let zeros = after.apply(model).first.weight.val().equal_scalar(0.0);
    assert_eq!(bools(zeros), (0..96).map(|i| !keep(i)).collect::<Vec<_>>());
}

#[test]
fn equal_masks_give_equal_bytes_whatever_made_them() {
    let model = Mlp::new(&device());
    let one = masks(&model, &PATHS, |i| i % 6 == 0);
    let reversed: Vec<&str> = PATHS.into_iter().rev().collect();
    let even = masks(&model, &reversed, |i| i % 2 == 0);
    let third = masks(&model, &PATHS, |i| i % 3 == 0);
    let both = Masks::intersection([&third, &even]);
    assert_eq!(one.to_bytes().unwrap(), both.to_bytes().unwrap());
    assert_ne!(one.to_bytes().unwrap(), even.to_bytes().unwrap());
}

#[test]
fn masks_of_one_model_fit_another_of_the_same_kind() {
    let bytes = masks(&Mlp::new(&device()), &PATHS, |i| i == 0)
        .to_bytes()
        .unwrap();
    let other = Mlp::new(&device());
    let masks = Masks::from_bytes(&bytes, &Inventory::from_module(&other), &device()).unwrap();
    let kept = bools(masks.apply(other).second.weight.val().not_equal_scalar(0.0));
    assert_eq!(kept.iter().filter(|keep| **keep).count(), 1);
}

#[test]
fn no_masks_are_a_file_too() {
    let bytes = Masks::default().to_bytes().unwrap();
    let inventory = Inventory::from_module(&Mlp::new(&device()));
    assert!(
        Masks::from_bytes(&bytes, &inventory, &device())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_parameter_that_the_model_does_not_have_is_named() {
    let bytes = masks(&Mlp::new(&device()), &PATHS, |_| true)
        .to_bytes()
        .unwrap();
    let inventory = Inventory::from_module(&ConvNet::new(&device()));
    let error = Masks::from_bytes(&bytes, &inventory, &device()).unwrap_err();
    assert!(matches!(error, MaskFileError::Unknown { .. }), "{error}");
    assert!(
        error.to_string().contains("which the model does not have"),
        "{error}"
    );
}

#[test]
fn a_mask_of_another_size_says_both_sizes() {
    let narrow = burn::nn::LinearConfig::new(3, 3).init(&device());
    let wide = burn::nn::LinearConfig::new(9, 3).init(&device());
    let bytes = masks(&narrow, &["weight"], |_| true).to_bytes().unwrap();
    let error = Masks::from_bytes(&bytes, &Inventory::from_module(&wide), &device()).unwrap_err();
    let expected = "the mask of `weight` has 2 bytes, expected 4 for 27 elements";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_no_safetensors_file_is_unreadable() {
    let inventory = Inventory::from_module(&Mlp::new(&device()));
    for bytes in [&b""[..], b"not a file", &[255; 64]] {
        let error = Masks::from_bytes(bytes, &inventory, &device()).unwrap_err();
        assert!(matches!(error, MaskFileError::Format(_)), "{error}");
        assert!(
            error.to_string().starts_with("the masks are unreadable: "),
            "{error}"
        );
    }
}
