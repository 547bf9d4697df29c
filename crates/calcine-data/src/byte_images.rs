//! Images that are kept as bytes, as samples.

use std::sync::Arc;

use rand::rngs::ChaCha8Rng;

use crate::error::DataError;
use crate::loader::normalization::{Normalization, Table};
use crate::loader::view::View;
use crate::samples::{Samples, Spec, Target};
use crate::{Augmentation, Images};

/// Images that are kept as bytes: normalised, and augmented for training by a shift of up to four pixels and by mirroring.
#[derive(Debug)]
pub(crate) struct ByteImages {
    images: Arc<Images>,
    table: Table,
    augmentation: Augmentation,
}

impl ByteImages {
    pub(crate) fn new(
        images: Arc<Images>,
        normalization: Normalization,
        augmentation: Augmentation,
    ) -> Self {
        Self {
            images,
            table: normalization.table(),
            augmentation,
        }
    }
}

impl Samples for ByteImages {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn input(&self) -> Spec {
        Spec::floats(&self.images.shape)
    }

    fn target(&self) -> Spec {
        Spec::ints(&[])
    }

    fn read(
        &self,
        index: usize,
        random: Option<&mut ChaCha8Rng>,
        input: Target<'_>,
        target: Target<'_>,
    ) -> Result<(), DataError> {
        let view = random.map_or(View::WHOLE, |random| View::draw(self.augmentation, random));
        if let Target::Float(input) = input {
            view.render(
                self.images.image(index),
                self.images.shape,
                &self.table,
                input,
            );
        }
        if let Target::Int([label]) = target {
            *label = self.images.labels[index].into();
        }
        Ok(())
    }
}
