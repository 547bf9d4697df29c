//! A small transformer encoder that reads words: attention with several heads, and feed-forward layers, both
//! behind layer norms.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Distribution, Int, Tensor};
use calcine::trace::{Network, TraceError, trace};

const WORDS: usize = 50;
const LENGTH: usize = 12;
const WIDTH: usize = 32;

#[derive(Module, Debug)]
struct Layer {
    attention_norm: LayerNorm,
    attention: MultiHeadAttention,
    norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

#[derive(Module, Debug)]
struct Encoder {
    words: Embedding,
    places: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: LayerNorm,
    head: Linear,
}

impl Layer {
    fn new(device: &Device) -> Self {
        let attention = MultiHeadAttentionConfig::new(WIDTH, 4).with_dropout(0.0);
        Self {
            attention_norm: LayerNormConfig::new(WIDTH).init(device),
            attention: attention.init(device),
            norm: LayerNormConfig::new(WIDTH).init(device),
            inner: LinearConfig::new(WIDTH, 96).init(device),
            outer: LinearConfig::new(96, WIDTH).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let y = self.attention_norm.forward(x.clone());
        let x = x + self.attention.forward(MhaInput::self_attn(y)).context;
        let y = gelu(self.inner.forward(self.norm.forward(x.clone())));
        x + self.outer.forward(y)
    }
}

impl Encoder {
    fn new(device: &Device) -> Self {
        let places = Distribution::Normal(0.0, 0.1);
        Self {
            words: EmbeddingConfig::new(WORDS, WIDTH).init(device),
            places: Param::from_tensor(Tensor::random([LENGTH, WIDTH], places, device)),
            layers: (0..2).map(|_| Layer::new(device)).collect(),
            norm: LayerNormConfig::new(WIDTH).init(device),
            head: LinearConfig::new(WIDTH, 5).init(device),
        }
    }

    /// `words`: `[n, 12]`; result: `[n, 5]`.
    fn forward(&self, words: Tensor<2, Int>) -> Tensor<2> {
        let x = self.words.forward(words) + self.places.val().unsqueeze();
        let x = self.layers.iter().fold(x, |x, layer| layer.forward(x));
        let x: Tensor<2> = self.norm.forward(x).mean_dim(1).squeeze_dim(1);
        self.head.forward(x)
    }
}

/// The network after some steps, so that norms and biases say something, and words for it.
pub(crate) fn trained(device: &Device) -> Result<(Network, Tensor<2, Int>), TraceError> {
    device.seed(2);
    let on_tape = device.clone().autodiff();
    let words = |count: usize, device: &Device| {
        let words = Distribution::Uniform(0.0, WORDS as f64);
        Tensor::<2>::random([count, LENGTH], words, device).int()
    };
    let mut model = Encoder::new(&on_tape);
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..10 {
        let answer = model.forward(words(8, &on_tape));
        let loss = (answer - 1.0).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    let words = words(4, device);
    let network = trace(&model.valid(), words.clone(), |model, words| {
        model.forward(words)
    })?;
    Ok((network, words))
}
