use std::ops::Range;

use burn::tensor::{Slice, TensorData};
use rayon::prelude::*;

use crate::score::Scores;

/// The number of scores per chunk of a long vector: 64 KiB, so that a copy fits in the cache of a core.
const CHUNK: usize = 1 << 14;

/// A vector with at most this many scores is one chunk, because waking a thread costs more than it saves.
const SHORT: usize = 1 << 16;

/// The scores of one or several vectors in host memory, in order of position.
///
/// Burn can only return copies of a shared tensor. Copying it chunk by chunk costs less than writing the whole copy to
/// newly allocated memory, so every pass over a long vector copies it again; a short vector is copied once. Computing
/// magnitudes during the copy costs nothing.
pub(super) struct Chunks {
    vectors: Vec<Vector>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "there are as many of them as layers"
)]
enum Vector {
    Short(TensorData),
    Long(Scores),
}

/// A part of a vector.
enum Chunk<'a> {
    Short(&'a [f32]),
    Long(&'a Scores, Range<usize>),
}

impl Chunks {
    pub(super) fn new(vectors: Vec<Scores>) -> Self {
        let vector = |scores: Scores| match scores.units() {
            ..=SHORT => Vector::Short(read(&scores)),
            _ => Vector::Long(scores),
        };
        let vectors = vectors.into_iter().map(vector).collect();
        Self { vectors }
    }

    /// The number of scores of each vector.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.vectors.iter().map(Vector::length)
    }

    /// The total number of scores.
    pub(super) fn total(&self) -> usize {
        self.lengths().sum()
    }

    /// The results of `take` for every `step`-th score of each vector.
    pub(super) fn every<T>(&self, step: usize, take: impl Fn(f32) -> T) -> Vec<T> {
        let mut sample = Vec::with_capacity(self.total() / step + self.vectors.len());
        for vector in &self.vectors {
            match vector {
                Vector::Short(data) => {
                    sample.extend(values(data).iter().step_by(step).copied().map(&take));
                }
                Vector::Long(scores) => {
                    let step = Slice::new(0, None, step as isize);
                    let data = read(&scores.map(|scores| scores.slice(step)));
                    sample.extend(values(&data).iter().copied().map(&take));
                }
            }
        }
        sample
    }

    /// The results of `look` for each chunk, in order. `look` also gets an output slice with one entry per score.
    pub(super) fn each<T: Send, R: Send>(
        &self,
        parts: &mut [&mut [T]],
        look: impl Fn(&[f32], &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let chunks: Vec<Chunk<'_>> = self.vectors.iter().flat_map(Vector::chunks).collect();
        let look =
            |(chunk, part): (&Chunk<'_>, &mut &mut [T])| chunk.with(|scores| look(scores, part));
        match (chunks.as_slice(), parts) {
            ([chunk], [part]) => vec![look((chunk, part))],
            (chunks, parts) => chunks.par_iter().zip(parts).map(look).collect(),
        }
    }

    /// Splits vectors with one value per score into the parts that belong to the chunks.
    pub(super) fn cut<'a, T>(&self, vectors: &'a mut [Vec<T>]) -> Vec<&'a mut [T]> {
        let cut = |vector: &'a mut Vec<T>| {
            let length = chunk_length(vector.len());
            vector.chunks_mut(length)
        };
        vectors.iter_mut().flat_map(cut).collect()
    }
}

impl Vector {
    fn length(&self) -> usize {
        match self {
            Self::Short(data) => data.num_elements(),
            Self::Long(scores) => scores.units(),
        }
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        let length = self.length();
        let starts = (0..length).step_by(chunk_length(length));
        starts.map(move |start| match self {
            Self::Short(data) => Chunk::Short(values(data)),
            Self::Long(scores) => Chunk::Long(scores, start..length.min(start + CHUNK)),
        })
    }
}

impl Chunk<'_> {
    fn with<R>(&self, look: impl FnOnce(&[f32]) -> R) -> R {
        match self {
            Self::Short(scores) => look(scores),
            Self::Long(scores, range) => {
                let part = scores.map(|scores| scores.slice(range.clone()));
                look(values(&read(&part)))
            }
        }
    }
}

/// A copy of the scores in single precision.
pub(in crate::select) fn read(scores: &Scores) -> TensorData {
    match scores {
        // Reading a shared tensor copies it twice; the product is a copy that is not shared.
        Scores::Values(values) => values.clone().mul_scalar(1.0).into_data(),
        Scores::MagnitudesOf(signed) => signed.clone().abs().into_data(),
    }
}

fn values(data: &TensorData) -> &[f32] {
    data.as_slice().expect("scores were cast to f32")
}

fn chunk_length(length: usize) -> usize {
    if length <= SHORT { SHORT } else { CHUNK }
}
