//! Trains and prunes neural collaborative filtering on synthetic users and items, according to `recipes/ncf-agp.toml`.
//!
//! ```text
//! cargo run -p calcine-zoo --example tasks
//! ```
//!
//! The data are synthetic: each user likes the items whose number, divided by six, has the same remainder as that of
//! the user. The printed figures do not say anything about real recommendations.

#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::error::Error;

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_recipe::Recipe;
use calcine_train::stream;
use calcine_zoo::NcfConfig;
use rand::RngExt;

const USERS: i32 = 300;
const ITEMS: i32 = 200;
/// Users like the items of their own group.
const GROUPS: i32 = 6;
/// The number of batches of an epoch.
const STEPS: u64 = 40;

fn main() -> Result<(), Box<dyn Error>> {
    println!("the data are made up: users like the items of their own group");
    let device = Device::flex().autodiff();
    let recipe = Recipe::parse(include_str!("../../../recipes/ncf-agp.toml"))?;
    let config = NcfConfig::new(USERS as usize, ITEMS as usize).with_seed(1);
    let mut model = config.init(&device);
    let mut driver = recipe.bind(&model, STEPS)?;
    let mut optimizer = recipe.train().optimizer.init();
    for step in 0..recipe.train().epochs * STEPS {
        let (pairs, likes) = batch(step, recipe.train().batch_size, &device);
        let pass = driver.forward_backward(&model, pairs, |model, pairs| {
            let logits = model.forward(pairs);
            // Binary cross-entropy.
            let loss: Tensor<2> = log_sigmoid(logits.clone()) * likes.clone()
                + log_sigmoid(-logits) * (likes.clone() * -1.0 + 1.0);
            (-loss.mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        if driver.clock().step == 0 {
            let (pairs, likes) = batch(u64::MAX, 2000, &device);
            let right = model.forward(pairs).greater_elem(0.0).float().equal(likes);
            println!(
                "epoch {}  loss {:.3}  right for {:.1} % of other pairs",
                driver.clock().epoch - 1,
                pass.loss.into_scalar::<f32>(),
                100.0 * right.float().mean().into_scalar::<f32>()
            );
        }
    }
    for outcome in driver.outcomes() {
        println!("{outcome}");
    }
    Ok(())
}

/// Pairs of a user and an item with labels; more than half of the items are liked.
fn batch(number: u64, size: usize, device: &Device) -> (Tensor<2, Int>, Tensor<2>) {
    let mut random = stream(1, "pairs", number);
    let mut pairs = Vec::new();
    let mut likes = Vec::new();
    for at in 0..size {
        let user = random.random_range(0..USERS);
        let mut item = random.random_range(0..ITEMS);
        if at % 2 == 0 {
            item = (item / GROUPS * GROUPS + user % GROUPS).min(ITEMS - 1);
        }
        pairs.extend([user, item]);
        likes.push(f32::from(u8::from(user % GROUPS == item % GROUPS)));
    }
    (
        Tensor::from_data(TensorData::new(pairs, [size, 2]), device),
        Tensor::from_data(TensorData::new(likes, [size, 1]), device),
    )
}
