use crate::section::Section;

/// `[data]`: the normalisation of images.
///
/// ```text
/// value = (byte / 255 - mean) / std
/// ```
///
/// There is one number for each colour, in the order red, green, blue, as in `torchvision.transforms.Normalize`. Use
/// the same numbers for training and evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ImageData {
    /// The numbers that are subtracted, by default `[0.5, 0.5, 0.5]`.
    pub mean: [f64; 3],
    /// The divisors, above 0; by default `[0.5, 0.5, 0.5]`.
    pub std: [f64; 3],
}

impl Default for ImageData {
    fn default() -> Self {
        Self {
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }
}

impl ImageData {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let data = Self {
            mean: colours(&section, "mean", |_| true).unwrap_or(default.mean),
            std: colours(&section, "std", |value| value > 0.0).unwrap_or(default.std),
        };
        section.close();
        data
    }
}

/// One number for each of three colours; any other list is a problem.
fn colours(
    section: &Section<'_>,
    key: &'static str,
    is_valid: fn(f64) -> bool,
) -> Option<[f64; 3]> {
    let read = section.numbers(key)?;
    match <[f64; 3]>::try_from(read.value.clone()) {
        Ok(colours) if colours.into_iter().all(is_valid) => Some(colours),
        _ => {
            let message = format!(
                "`{key}` is {:?}, expected three numbers{}: red, green, blue",
                read.value,
                if is_valid(0.0) { "" } else { " above 0" }
            );
            section.problems.add(&read.span, message);
            None
        }
    }
}
