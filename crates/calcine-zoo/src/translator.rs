use burn::config::Config;
use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::initial::Layers;

/// A small transformer that translates: an encoder of the source sentence, and a decoder of the target sentence so far.
///
/// ```text
/// encoder: 2 blocks of self-attention and a feed-forward network
/// decoder: 2 blocks of causal self-attention, attention to the encoder's output, and a feed-forward network
/// output 64 -> tokens
/// ```
///
/// The width is 64, with 4 heads and 256 features in the feed-forward networks. Vaswani, Shazeer, Parmar, Uszkoreit, Jones,
/// Gomez, Kaiser and Polosukhin, "Attention Is All You Need" (2017), without dropout: a norm follows each sum, and positions
/// are sines and cosines.
#[derive(Module, Debug)]
pub struct Translator {
    /// A row of 64 features for each token of the source language.
    pub source_embed: Embedding,
    /// A row of 64 features for each token of the target language.
    pub target_embed: Embedding,
    /// The blocks of the encoder.
    pub encoder: Vec<TranslatorBlock>,
    /// The blocks of the decoder.
    pub decoder: Vec<TranslatorBlock>,
    /// 64 features to a logit for each token of the target language.
    pub output: Linear,
}

const WIDTH: usize = 64;
const HEADS: usize = 4;
const INNER: usize = 256;
const BLOCKS: usize = 2;

impl Translator {
    /// The logits of the token that follows each position of the target.
    ///
    /// # Shapes
    ///
    /// * `source`: `[n, s]`, tokens
    /// * `target`: `[n, t]`, tokens
    /// * returns `[n, t, tokens]`
    ///
    /// # Panics
    ///
    /// If the two have different numbers of sentences. A token beyond the last is an error of the backend.
    #[must_use]
    pub fn forward(&self, source: Tensor<2, Int>, target: Tensor<2, Int>) -> Tensor<3> {
        let memory = self
            .encoder
            .iter()
            .fold(placed(&self.source_embed, source), |x, block| {
                block.forward(x, None)
            });
        let decoded = self
            .decoder
            .iter()
            .fold(placed(&self.target_embed, target), |x, block| {
                block.forward(x, Some(memory.clone()))
            });
        self.output.forward(decoded)
    }
}

/// The features of tokens, scaled by the square root of their number, with their positions:
///
/// ```text
/// position[p, 2i] = sin(p / 10000^(2i / 64)), position[p, 2i + 1] = cos(the same)
/// ```
fn placed(table: &Embedding, tokens: Tensor<2, Int>) -> Tensor<3> {
    let [_, length] = tokens.dims();
    let position = |at: usize| {
        let (p, feature) = ((at / WIDTH) as f64, at % WIDTH);
        let turns = p / 10_000_f64.powf((feature / 2 * 2) as f64 / WIDTH as f64);
        (if feature % 2 == 0 {
            turns.sin()
        } else {
            turns.cos()
        }) as f32
    };
    let positions: Vec<f32> = (0..length * WIDTH).map(position).collect();
    let positions = TensorData::new(positions, [1, length, WIDTH]);
    let positions = Tensor::from_data(positions, &tokens.device());
    table.forward(tokens) * (WIDTH as f64).sqrt() + positions
}

/// A block of the encoder or of the decoder of [`Translator`].
///
/// ```text
/// x = norm1(x + attention(x, x))
/// x = cross.1(x + cross.0(x, memory))         only in the decoder
/// x = norm2(x + linear2(relu(linear1(x))))
/// ```
#[derive(Module, Debug)]
pub struct TranslatorBlock {
    /// To the sentence itself; in the decoder, to what precedes.
    pub attention: TranslatorAttention,
    /// After the first sum.
    pub norm1: LayerNorm,
    /// To the encoder's output, and the norm after its sum.
    pub cross: Option<(TranslatorAttention, LayerNorm)>,
    /// 64 to 256 features.
    pub linear1: Linear,
    /// 256 to 64 features.
    pub linear2: Linear,
    /// After the last sum.
    pub norm2: LayerNorm,
}

impl TranslatorBlock {
    fn new(layers: Layers<'_>, path: &str, decodes: bool) -> Self {
        let norm = || {
            LayerNormConfig::new(WIDTH)
                .with_epsilon(1e-5)
                .init(layers.device)
        };
        let attention = |name| TranslatorAttention::new(layers, &format!("{path}.{name}"));
        Self {
            attention: attention("attention"),
            norm1: norm(),
            cross: decodes.then(|| (attention("cross.0"), norm())),
            linear1: layers.linear(&format!("{path}.linear1"), [WIDTH, INNER]),
            linear2: layers.linear(&format!("{path}.linear2"), [INNER, WIDTH]),
            norm2: norm(),
        }
    }

    /// The block's output.
    ///
    /// # Shapes
    ///
    /// * `x`: `[n, length, 64]`
    /// * `memory`: `[n, s, 64]`, the encoder's output, for a block of the decoder
    /// * returns `[n, length, 64]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>, memory: Option<Tensor<3>>) -> Tensor<3> {
        let causal = self.cross.is_some();
        let seen = self.attention.forward(x.clone(), x.clone(), causal);
        let mut x = self.norm1.forward(x + seen);
        if let (Some((attention, norm)), Some(memory)) = (&self.cross, memory) {
            let seen = attention.forward(x.clone(), memory, false);
            x = norm.forward(x + seen);
        }
        let inner = relu(self.linear1.forward(x.clone()));
        self.norm2.forward(x + self.linear2.forward(inner))
    }
}

/// Scaled dot-product attention with 4 heads.
///
/// ```text
/// output(softmax(query(x) key(memory)^T / sqrt(16)) value(memory))
/// ```
#[derive(Module, Debug)]
pub struct TranslatorAttention {
    /// What is looked for.
    pub query: Linear,
    /// Where it is found.
    pub key: Linear,
    /// What is read there.
    pub value: Linear,
    /// The heads to features.
    pub output: Linear,
}

impl TranslatorAttention {
    fn new(layers: Layers<'_>, path: &str) -> Self {
        let linear = |name| layers.linear(&format!("{path}.{name}"), [WIDTH, WIDTH]);
        Self {
            query: linear("query"),
            key: linear("key"),
            value: linear("value"),
            output: linear("output"),
        }
    }

    /// What each position of `x` reads in `memory`; with `causal`, only at its own position and before it.
    ///
    /// # Shapes
    ///
    /// * `x`: `[n, t, 64]`
    /// * `memory`: `[n, s, 64]`, with `s = t` if causal
    /// * returns `[n, t, 64]`
    #[must_use]
    pub fn forward(&self, x: Tensor<3>, memory: Tensor<3>, causal: bool) -> Tensor<3> {
        let device = x.device();
        let [n, length, _] = x.dims();
        let heads = |features: Tensor<3>| {
            let [n, length, width] = features.dims();
            features
                .reshape([n, length, HEADS, width / HEADS])
                .swap_dims(1, 2)
        };
        let query = heads(self.query.forward(x)) / ((WIDTH / HEADS) as f64).sqrt();
        let key = heads(self.key.forward(memory.clone()));
        let value = heads(self.value.forward(memory));
        let mut scores = query.matmul(key.swap_dims(2, 3));
        if causal {
            let later = |at: usize| if at % length > at / length { -1e9 } else { 0.0 };
            let mask: Vec<f32> = (0..length * length).map(later).collect();
            let mask = TensorData::new(mask, [1, 1, length, length]);
            scores = scores + Tensor::from_data(mask, &device);
        }
        let read = softmax(scores, 3).matmul(value).swap_dims(1, 2);
        self.output.forward(read.reshape([n, length, WIDTH]))
    }
}

/// How to build a [`Translator`].
///
/// Embeddings are drawn from `N(0, 1 / 8)`, the other weights and biases as in PyTorch from
/// `U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`; norms begin with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::TranslatorConfig;
///
/// let device = Device::flex();
/// let model = TranslatorConfig::new(100).init(&device);
/// let source = Tensor::from_ints([[1, 2, 3, 4]], &device);
/// let target = Tensor::from_ints([[5, 6]], &device);
/// assert_eq!(model.forward(source, target).dims(), [1, 2, 100]);
/// ```
#[derive(Config, Debug)]
pub struct TranslatorConfig {
    /// The number of tokens of each language.
    pub tokens: usize,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl TranslatorConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> Translator {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let blocks = |path: &str, decodes| -> Vec<_> {
            (0..BLOCKS)
                .map(|at| TranslatorBlock::new(layers, &format!("{path}.{at}"), decodes))
                .collect()
        };
        let table = |path| layers.embedding(path, [self.tokens, WIDTH], 0.125);
        Translator {
            source_embed: table("source_embed"),
            target_embed: table("target_embed"),
            encoder: blocks("encoder", false),
            decoder: blocks("decoder", true),
            output: layers.linear("output", [WIDTH, self.tokens]),
        }
    }
}
