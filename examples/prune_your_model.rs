//! Prunes a model that knows nothing of Calcine, in a training loop of its own.
//!
//! `cargo run -p calcine-examples --bin prune_your_model`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation};
use calcine::recipe::Recipe;

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    output: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output
            .forward(activation::relu(self.hidden.forward(x)))
    }
}

const RECIPE: &str = r#"
format = 1
[train]
epochs = 10
optimizer = "adam"
lr = 0.001
[pruner.all]
params = ["*.weight"]
score = "magnitude"
level = { curve = "cubic", from = 0.0, to = 0.9 }
[[policy]]
pruner = "all"
start = 0
end = 8
"#;

fn main() -> Result<(), calcine::recipe::RecipeError> {
    let device = Device::flex().autodiff();
    let mut model = Mlp {
        hidden: LinearConfig::new(2, 64).init(&device),
        output: LinearConfig::new(64, 1).init(&device),
    };
    let recipe = Recipe::parse(RECIPE)?;
    let mut driver = recipe.bind(&model, 50)?; // 50 steps an epoch
    let mut optimizer = recipe.train().optimizer.init();

    for _ in 0..10 * 50 {
        let x = Tensor::<2>::random([128, 2], Distribution::Uniform(-1.0, 1.0), &device);
        let pass = driver.forward_backward(&model, x, |model, x| {
            let target = x.clone().square().sum_dim(1); // learn x² + y²
            ((model.forward(x) - target).square().mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        if driver.clock().step == 0 {
            // An epoch is over, and the clock stands at the next one.
            let loss = pass.loss.into_scalar::<f32>();
            let zeros = calcine::summary::sparsity(&model).total().sparsity();
            println!(
                "epoch {:2}  loss {loss:.4}  zeros {:.1} %",
                driver.clock().epoch - 1,
                100.0 * zeros
            );
        }
    }
    for outcome in driver.outcomes() {
        println!("{outcome}");
    }
    println!("{}", calcine::summary::sparsity(&model));
    Ok(())
}
