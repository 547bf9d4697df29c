use std::collections::BTreeMap;

use burn::tensor::{Bool, Device, Tensor, Transaction};
use calcine_params::Inventory;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::masks::Masks;

/// Why a mask file cannot be read or written, or does not belong to the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskFileError {
    /// The data is not a safetensors file.
    #[error("the masks are unreadable: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// There is a mask for a parameter that the model does not have.
    #[error("the file has a mask of `{path}`, which the model does not have")]
    Unknown {
        /// The name in the file.
        path: String,
    },
    /// The mask has another size than the parameter.
    #[error("the mask of `{path}` has {found} bytes, expected {expected} for {numel} elements")]
    Size {
        /// The path of the parameter.
        path: String,
        /// The number of elements of the parameter.
        numel: usize,
        /// The number of bytes in the file.
        found: usize,
        /// The expected number of bytes: one bit per element, rounded up.
        expected: usize,
    },
}

impl Masks {
    /// Writes the masks as a safetensors file: one bit per element of each parameter (1 means keep), in stored order, with the
    /// most significant bit of a byte first.
    ///
    /// Equal masks give equal bytes. Reads all masks from the device in one transaction.
    ///
    /// # Errors
    ///
    /// If safetensors cannot store them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MaskFileError> {
        let read = self.iter().fold(Transaction::default(), |read, (_, mask)| {
            read.register(mask.dropped.clone())
        });
        let packed: Vec<Vec<u8>> = read
            .execute()
            .into_iter()
            .map(|data| pack(&data.iter::<bool>().collect::<Vec<_>>()))
            .collect();
        let mut views = BTreeMap::new();
        for ((path, _), bits) in self.iter().zip(&packed) {
            views.insert(
                path.as_str(),
                TensorView::new(Dtype::U8, vec![bits.len()], bits)?,
            );
        }
        Ok(safetensors::serialize(views, None)?)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are malformed, or if they contain a mask for a parameter that `inventory` does not have or that has
    /// another size.
    pub fn from_bytes(
        bytes: &[u8],
        inventory: &Inventory,
        device: &Device,
    ) -> Result<Self, MaskFileError> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut masks = Self::default();
        for (path, view) in file.iter() {
            let parameter = inventory.get(path).ok_or_else(|| MaskFileError::Unknown {
                path: path.to_owned(),
            })?;
            let numel = parameter.numel();
            let (found, expected) = (view.data().len(), numel.div_ceil(8));
            if found != expected {
                return Err(MaskFileError::Size {
                    path: path.to_owned(),
                    numel,
                    found,
                    expected,
                });
            }
            let dropped = unpack(view.data(), numel);
            let dropped = Tensor::<1, Bool>::from_bool(dropped.as_slice(), device);
            masks.insert_dropped(parameter, dropped);
        }
        Ok(masks)
    }
}

/// Packs one bit per element, which is 1 if the element is kept.
fn pack(dropped: &[bool]) -> Vec<u8> {
    let byte = |eight: &[bool]| {
        eight.iter().enumerate().fold(0, |byte, (i, dropped)| {
            byte | (u8::from(!dropped) << (7 - i))
        })
    };
    dropped.chunks(8).map(byte).collect()
}

fn unpack(bits: &[u8], numel: usize) -> Vec<bool> {
    (0..numel)
        .map(|i| (bits[i / 8] >> (7 - i % 8)) & 1 == 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_one_bit_an_element_most_significant_first() {
        let dropped = [true, false, true, true, true, true, true, true, false];
        assert_eq!(pack(&dropped), [0b0100_0000, 0b1000_0000]);
        assert_eq!(unpack(&pack(&dropped), 9), dropped);
    }
}
