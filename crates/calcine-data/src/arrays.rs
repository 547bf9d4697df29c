//! Arrays of inputs and targets, in `.npy`, `.npz` and safetensors files.

mod header;
mod read;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;

use crate::dataset::{Dataset, Part, Parts};
use crate::error::{DataError, Problem};
use crate::loader::normalization::Table;
use crate::loader::view::View;
use crate::options::ArrayTargets;
use crate::samples::{Samples, Spec, Target};
use crate::{Augmentation, Options, Source};
use read::{Array, Numbers};

const INPUTS: [&str; 8] = [
    "x", "input", "inputs", "image", "images", "data", "features", "tokens",
];
const TARGETS: [&str; 6] = ["y", "target", "targets", "label", "labels", "classes"];
const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// What arrays are called.
const NAMES: &str = "arrays called inputs and targets (or x and y, images and labels), alone or with train, val or test, as in \
                     x_train or test_labels";

/// What a name of an array says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Split {
    Whole,
    Train,
    Validation,
    Test,
}

/// Inputs and targets of a split.
#[derive(Debug, Default)]
struct Pair {
    inputs: Option<Array>,
    targets: Option<Array>,
}

/// The arrays of all splits.
#[derive(Debug, Default)]
struct Found(BTreeMap<Split, Pair>);

/// Reads a `.npy` file as floats: its shape, and its numbers row by row. Integers and truth values become floats.
///
/// # Errors
///
/// If the file cannot be read, or is none.
pub fn read_npy(path: &Path) -> Result<(Vec<usize>, Vec<f32>), DataError> {
    let array = read::npy_file(path)?;
    Ok((array.shape, array.numbers.floats()))
}

/// Whether a file is called as one that holds arrays.
pub(crate) fn is_file(path: &Path) -> bool {
    ["npy", "npz", "safetensors"].contains(&extension(path).as_str())
}

/// The data set in `path`, a file or a directory of files, if there are arrays of the right names in the directory.
///
/// # Errors
///
/// If a file cannot be read, or the arrays do not belong together.
pub(crate) fn read(path: &Path, options: &Options) -> Result<Option<Dataset>, DataError> {
    let mut found = Found::default();
    if path.is_dir() {
        let listed = fs::read_dir(path).map_err(DataError::io(path))?;
        let mut files = Vec::new();
        for entry in listed {
            files.push(entry.map_err(DataError::io(path))?.path());
        }
        files.sort();
        for file in files.iter().filter(|file| file.is_file() && is_file(file)) {
            let stem = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .to_lowercase();
            if extension(file) == "npy" {
                if meaning(&stem).is_some() {
                    found.add(path, &stem, read::npy_file(file)?)?;
                }
            } else if split_of(&stem).is_some() {
                for (name, array) in read::file(file)? {
                    if meaning(&name).is_some() {
                        found.add(path, &format!("{stem}_{name}"), array)?;
                    }
                }
            }
        }
        if found.0.is_empty() {
            return Ok(None);
        }
    } else if extension(path) == "npy" {
        let reason =
            "a single array; expected the directory of inputs.npy and targets.npy".to_owned();
        return Err(DataError::new(path, Problem::Arrays { reason }));
    } else {
        let mut names = Vec::new();
        for (name, array) in read::file(path)? {
            if meaning(&name).is_some() {
                found.add(path, &name, array)?;
            }
            names.push(name);
        }
        if found.0.is_empty() {
            let more = names.len().saturating_sub(6);
            names.truncate(6);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let names = if names.is_empty() {
                "no arrays".to_owned()
            } else {
                names.join(", ")
            };
            let reason = format!("found {names}{more}; expected {NAMES}");
            return Err(DataError::new(path, Problem::Arrays { reason }));
        }
    }
    found.dataset(path, options).map(Some)
}

impl Found {
    fn add(&mut self, path: &Path, name: &str, array: Array) -> Result<(), DataError> {
        let Some((split, is_input)) = meaning(name) else {
            return Ok(());
        };
        let pair = self.0.entry(split).or_default();
        let slot = if is_input {
            &mut pair.inputs
        } else {
            &mut pair.targets
        };
        if slot.replace(array).is_some() {
            let what = if is_input { "inputs" } else { "targets" };
            let reason =
                format!("`{name}` and another array are both {what}; expected one of them");
            return Err(DataError::new(path, Problem::Arrays { reason }));
        }
        Ok(())
    }

    fn dataset(mut self, path: &Path, options: &Options) -> Result<Dataset, DataError> {
        let arrays = |reason: String| DataError::new(path, Problem::Arrays { reason });
        if let Entry::Occupied(whole) = self.0.entry(Split::Whole) {
            let whole = whole.remove();
            if self.0.insert(Split::Train, whole).is_some() {
                return Err(arrays("there are arrays for training and arrays that name no split; expected one of them".to_owned()));
            }
        }
        if !self.0.contains_key(&Split::Train) {
            return Err(arrays("there are no arrays for training".to_owned()));
        }
        let mut samples = BTreeMap::new();
        for (split, pair) in self.0 {
            let name = match split {
                Split::Whole | Split::Train => "training",
                Split::Validation => "validation",
                Split::Test => "testing",
            };
            let (Some(inputs), Some(targets)) = (pair.inputs, pair.targets) else {
                return Err(arrays(format!(
                    "there are not both inputs and targets for {name}; expected {NAMES}"
                )));
            };
            let made = ArraySamples::new(inputs, targets, options)
                .map_err(|reason| arrays(format!("{name}: {reason}")))?;
            samples.insert(split, made);
        }
        let classes = samples
            .values()
            .map(ArraySamples::classes)
            .collect::<Option<Vec<_>>>();
        let classes = classes.and_then(|classes| classes.into_iter().max());
        let normalization = samples[&Split::Train]
            .image
            .is_some()
            .then_some(options.normalization);
        let mut part = |split| {
            samples
                .remove(&split)
                .map(|samples| Part::all(Arc::new(samples)))
        };
        let Some(train) = part(Split::Train) else {
            return Err(arrays("there are no arrays for training".to_owned()));
        };
        let parts = Parts {
            train,
            validation: part(Split::Validation),
            test: part(Split::Test),
        };
        let names = classes.map(|classes| (0..classes).map(|class| class.to_string()).collect());
        Dataset::assemble(
            Source::path("arrays", path),
            names,
            normalization,
            parts,
            options,
        )
    }
}

/// Which split an array is of, and whether it has the inputs, by its name; `None` if the name says something else.
fn meaning(name: &str) -> Option<(Split, bool)> {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let (mut split, mut role) = (None, None);
    for word in words {
        let slot_split = split_of(word);
        let slot_role = match word {
            word if INPUTS.contains(&word) => Some(true),
            word if TARGETS.contains(&word) => Some(false),
            _ => None,
        };
        match (slot_split, slot_role) {
            (Some(found), _) if split.is_none() => split = Some(found),
            (_, Some(found)) if role.is_none() => role = Some(found),
            _ => return None,
        }
    }
    role.map(|role| (split.unwrap_or(Split::Whole), role))
}

fn split_of(word: &str) -> Option<Split> {
    if TRAIN.contains(&word) {
        Some(Split::Train)
    } else if VALIDATION.contains(&word) {
        Some(Split::Validation)
    } else if TEST.contains(&word) {
        Some(Split::Test)
    } else {
        None
    }
}

fn extension(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

/// Samples along the first axis of two arrays.
struct ArraySamples {
    n: usize,
    inputs: Array,
    input: Spec,
    /// Shape and numbers of images, if the inputs are bytes of images.
    image: Option<([usize; 3], Table)>,
    augmentation: Augmentation,
    targets: Array,
    target: Spec,
}

impl ArraySamples {
    fn new(mut inputs: Array, mut targets: Array, options: &Options) -> Result<Self, String> {
        let (Some((&n, rest)), Some((&count, _))) =
            (inputs.shape.split_first(), targets.shape.split_first())
        else {
            return Err(
                "a single number; expected an array with the samples along its first axis"
                    .to_owned(),
            );
        };
        if n != count || n == 0 {
            return Err(format!("{n} inputs and {count} targets"));
        }
        if u32::try_from(n).is_err() {
            return Err(format!("{n} samples; expected fewer than 2^32"));
        }
        let image = match (&inputs.numbers, rest) {
            (Numbers::Bytes(_), &[height, width]) => Some([1, height, width]),
            (Numbers::Bytes(_), &[channels @ (1 | 3), height, width]) => {
                Some([channels, height, width])
            }
            (Numbers::Bytes(bytes), &[height, width, channels @ (1 | 3)]) => {
                inputs.numbers = Numbers::Bytes(channels_first(bytes, height * width, channels));
                Some([channels, height, width])
            }
            _ => None,
        };
        let input = match image {
            Some(shape) => Spec::floats(&shape),
            None => {
                inputs.numbers = inputs.numbers.widened();
                inputs.spec()
            }
        };
        if let [_, 1] = targets.shape.as_slice()
            && !matches!(targets.numbers, Numbers::Floats(_))
        {
            targets.shape.truncate(1);
        }
        targets.numbers = match (targets.numbers, options.array_targets) {
            (Numbers::Floats(numbers), _) => Numbers::Floats(numbers),
            (numbers, ArrayTargets::Classes) => Numbers::Ints(numbers.ints()),
            (numbers, ArrayTargets::Values) => Numbers::Floats(numbers.floats()),
        };
        for (what, array) in [("input", &inputs), ("target", &targets)] {
            if let Some(place) = array.not_finite() {
                return Err(format!(
                    "{what} {} has a number that is not finite",
                    place / array.spec().size().max(1)
                ));
            }
        }
        let target = targets.spec();
        if target.is_int
            && target.shape.is_empty()
            && let Numbers::Ints(labels) = &targets.numbers
            && let Some(place) = labels.iter().position(|&label| label < 0)
        {
            return Err(format!(
                "target {place} is {}; expected classes, which are counted from 0",
                labels[place]
            ));
        }
        let table = options.normalization.table();
        Ok(Self {
            n,
            inputs,
            input,
            image: image.map(|shape| (shape, table)),
            augmentation: options.augmentation.unwrap_or(Augmentation::NONE),
            targets,
            target,
        })
    }

    /// The number of classes, if the targets are classes.
    fn classes(&self) -> Option<usize> {
        match &self.targets.numbers {
            Numbers::Ints(labels) if self.target.shape.is_empty() => {
                labels.iter().max().map(|&largest| largest as usize + 1)
            }
            _ => None,
        }
    }
}

/// Images with the channels before the rows, from images with the channels last.
fn channels_first(bytes: &[u8], plane: usize, channels: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact((plane * channels).max(1)) {
        for channel in 0..channels {
            out.extend(image.iter().skip(channel).step_by(channels));
        }
    }
    out
}

impl Samples for ArraySamples {
    fn len(&self) -> usize {
        self.n
    }

    fn input(&self) -> Spec {
        self.input.clone()
    }

    fn target(&self) -> Spec {
        self.target.clone()
    }

    fn read(
        &self,
        index: usize,
        random: Option<&mut ChaCha8Rng>,
        input: Target<'_>,
        target: Target<'_>,
    ) -> Result<(), DataError> {
        match (&self.inputs.numbers, &self.image, input) {
            (Numbers::Bytes(bytes), Some((shape, table)), Target::Float(input)) => {
                let view =
                    random.map_or(View::WHOLE, |random| View::draw(self.augmentation, random));
                let size = input.len();
                view.render(
                    &bytes[index * size..(index + 1) * size],
                    *shape,
                    table,
                    input,
                );
            }
            (_, _, input) => self.inputs.copy(index, input),
        }
        self.targets.copy(index, target);
        Ok(())
    }
}

impl std::fmt::Debug for ArraySamples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArraySamples")
            .field("n", &self.n)
            .field("input", &self.input)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_split_and_which_side() {
        for (name, expected) in [
            ("x_train", Some((Split::Train, true))),
            ("Y_TEST", Some((Split::Test, false))),
            ("val_images", Some((Split::Validation, true))),
            ("inputs", Some((Split::Whole, true))),
            ("train.targets", Some((Split::Train, false))),
            ("x_train_mean", None),
            ("train", None),
            ("x_y", None),
            ("weights", None),
            ("", None),
        ] {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }

    #[test]
    fn channels_that_come_last_are_brought_to_the_front() {
        assert_eq!(
            channels_first(&[1, 10, 2, 20, 3, 30, 4, 40], 2, 2),
            [1, 2, 10, 20, 3, 4, 30, 40]
        );
    }
}
