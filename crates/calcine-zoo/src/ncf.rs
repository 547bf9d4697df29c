use burn::config::Config;
use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use crate::initial::Layers;

/// Neural collaborative filtering: predicts whether a user likes an item, by generalized matrix factorization beside a
/// multilayer perceptron.
///
/// ```text
/// gmf = mf_user_embed(user) * mf_item_embed(item)                              factors
/// mlp = relu(mlp.2(relu(mlp.1(relu(mlp.0(mlp_user_embed(user), mlp_item_embed(item)))))))
///                                            8 * factors -> 4 * factors -> 2 * factors -> factors
/// output = prediction(gmf, mlp)                                            2 * factors -> 1
/// ```
///
/// He, Liao, Zhang, Nie, Hu and Chua, "Neural Collaborative Filtering" (2017), section 3.4 (NeuMF). The output is a logit.
#[derive(Module, Debug)]
pub struct Ncf {
    /// A row of factors for each user, for the matrix factorization.
    pub mf_user_embed: Embedding,
    /// A row of factors for each item, for the matrix factorization.
    pub mf_item_embed: Embedding,
    /// A row of `4 * factors` features for each user, for the perceptron.
    pub mlp_user_embed: Embedding,
    /// A row of `4 * factors` features for each item, for the perceptron.
    pub mlp_item_embed: Embedding,
    /// The perceptron, each layer half as wide as the one before it.
    pub mlp: Vec<Linear>,
    /// The factors of both to one logit.
    pub prediction: Linear,
}

impl Ncf {
    /// The logit of each pair.
    ///
    /// # Shapes
    ///
    /// * `pairs`: `[n, 2]`, the index of a user and of an item
    /// * returns `[n, 1]`
    ///
    /// # Panics
    ///
    /// If `pairs` has another shape. An index beyond the last user or item is an error of the backend.
    #[must_use]
    pub fn forward(&self, pairs: Tensor<2, Int>) -> Tensor<2> {
        let users = pairs.clone().narrow(1, 0, 1);
        let items = pairs.narrow(1, 1, 1);
        let row = |table: &Embedding, of: &Tensor<2, Int>| -> Tensor<2> {
            table.forward(of.clone()).flatten(1, 2)
        };
        let factors = row(&self.mf_user_embed, &users) * row(&self.mf_item_embed, &items);
        let features = Tensor::cat(
            vec![
                row(&self.mlp_user_embed, &users),
                row(&self.mlp_item_embed, &items),
            ],
            1,
        );
        let features = self
            .mlp
            .iter()
            .fold(features, |features, layer| relu(layer.forward(features)));
        self.prediction
            .forward(Tensor::cat(vec![factors, features], 1))
    }
}

/// Which [`Ncf`] network to build.
///
/// Embeddings are drawn from `N(0, 0.01)`, the other weights and biases as in PyTorch from
/// `U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::NcfConfig;
///
/// let device = Device::flex();
/// let model = NcfConfig::new(100, 50).init(&device);
/// let pairs = Tensor::from_ints([[3, 7], [99, 49]], &device);
/// assert_eq!(model.forward(pairs).dims(), [2, 1]);
/// ```
#[derive(Config, Debug)]
pub struct NcfConfig {
    /// The number of users.
    pub users: usize,
    /// The number of items.
    pub items: usize,
    /// The width of the last layer of the perceptron, and of the matrix factorization.
    #[config(default = 8)]
    pub factors: usize,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl NcfConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> Ncf {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let (users, items, factors) = (self.users, self.items, self.factors);
        let table = |path, rows, width| layers.embedding(path, [rows, width], 0.01);
        let mlp = [8, 4, 2].into_iter().enumerate().map(|(at, width)| {
            let widths = [width * factors, width * factors / 2];
            layers.linear(&format!("mlp.{at}"), widths)
        });
        Ncf {
            mf_user_embed: table("mf_user_embed", users, factors),
            mf_item_embed: table("mf_item_embed", items, factors),
            mlp_user_embed: table("mlp_user_embed", users, 4 * factors),
            mlp_item_embed: table("mlp_item_embed", items, 4 * factors),
            mlp: mlp.collect(),
            prediction: layers.linear("prediction", [2 * factors, 1]),
        }
    }
}
