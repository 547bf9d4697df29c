use burn::tensor::{Slice, Tensor, TensorData};
use rayon::prelude::*;

/// Scores per chunk of a long vector: 64 KiB, so that a copy stays close to its core.
const CHUNK: usize = 1 << 14;

/// A vector of no more scores is one chunk: waking a thread costs more than it saves.
const SHORT: usize = 1 << 16;

/// The scores of one or several vectors in host memory, in order of position.
///
/// Burn hands out copies of a shared tensor only. Chunk by chunk a copy costs less than writing all of
/// them to fresh memory, so every pass over a long vector copies it again; a short one is copied once.
pub(super) struct Chunks {
    vectors: Vec<Tensor<1>>,
    chunks: Vec<Chunk>,
}

enum Chunk {
    Copied(TensorData),
    Shared(Tensor<1>),
}

impl Chunks {
    pub(super) fn of(vectors: Vec<Tensor<1>>) -> Self {
        Self {
            chunks: vectors.iter().flat_map(chunks).collect(),
            vectors,
        }
    }

    /// How many scores each vector has.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.vectors.iter().map(|vector| vector.dims()[0])
    }

    /// How many scores there are.
    pub(super) fn total(&self) -> usize {
        self.lengths().sum()
    }

    /// Every `step`-th score of each vector.
    pub(super) fn every(&self, step: usize) -> Vec<f32> {
        let step = Slice::new(0, None, step as isize);
        let read = |vector: &Tensor<1>| vector.clone().slice(step).into_data();
        let samples: Vec<TensorData> = self.vectors.iter().map(read).collect();
        samples.iter().flat_map(values).copied().collect()
    }

    /// What `look` finds in each chunk, in order.
    pub(super) fn each<R: Send>(&self, look: impl Fn(&[f32]) -> R + Sync) -> Vec<R> {
        match self.chunks.as_slice() {
            [chunk] => vec![chunk.with(look)],
            chunks => chunks.par_iter().map(|chunk| chunk.with(&look)).collect(),
        }
    }

    /// The same, with something to write for each score.
    pub(super) fn each_into<T: Send, R: Send>(
        &self,
        parts: &mut [&mut [T]],
        look: impl Fn(&[f32], &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let look = |(chunk, part): (&Chunk, &mut &mut [T])| chunk.with(|scores| look(scores, part));
        match (self.chunks.as_slice(), parts) {
            ([chunk], [part]) => vec![look((chunk, part))],
            (chunks, parts) => chunks.par_iter().zip(parts).map(look).collect(),
        }
    }

    /// Cuts one value per score into the parts that belong to the chunks.
    pub(super) fn cut<'a, T>(&self, vectors: &'a mut [Vec<T>]) -> Vec<&'a mut [T]> {
        let cut = |vector: &'a mut Vec<T>| {
            let length = chunk_length(vector.len());
            vector.chunks_mut(length)
        };
        vectors.iter_mut().flat_map(cut).collect()
    }
}

impl Chunk {
    fn with<R>(&self, look: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Self::Copied(data) => look(values(data)),
            Self::Shared(tensor) => look(values(&tensor.clone().into_data())),
        }
    }
}

fn values(data: &TensorData) -> &[f32] {
    data.as_slice().expect("scores were cast to f32")
}

fn chunks(vector: &Tensor<1>) -> Vec<Chunk> {
    let length = vector.dims()[0];
    let chunk = |start| match length {
        // Reading a shared tensor copies it twice; a product is a copy that is ours alone.
        ..=SHORT => Chunk::Copied(vector.clone().mul_scalar(1.0).into_data()),
        _ => Chunk::Shared(vector.clone().slice(start..length.min(start + CHUNK))),
    };
    let starts = (0..length).step_by(chunk_length(length));
    starts.map(chunk).collect()
}

fn chunk_length(length: usize) -> usize {
    if length <= SHORT { SHORT } else { CHUNK }
}
