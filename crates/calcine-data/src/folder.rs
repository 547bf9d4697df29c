//! Folders of images: a directory for each class, as torchvision's `ImageFolder` reads them.

mod decode;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::dataset::{Dataset, Part, Parts};
use crate::error::{DataError, Problem};
use crate::loader::normalization::Table;
use crate::samples::{Samples, Spec, Target};
use crate::{Augmentation, ImageOptions, Options, Source};
use decode::Pixels;

/// The images that are read.
const READ: [&str; 3] = ["jpg", "jpeg", "png"];

/// Images of other formats, which would otherwise be left out without a word.
const OTHERS: [&str; 7] = ["bmp", "gif", "pgm", "ppm", "tif", "tiff", "webp"];

/// Subdirectories that are splits rather than classes.
const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// The data set in `directory`, if it has images of classes.
///
/// # Errors
///
/// If the splits have other classes, a class has no images, or images are of a format that is not read.
pub(crate) fn read(directory: &Path, options: &Options) -> Result<Option<Dataset>, DataError> {
    let split = |names: &[&str]| {
        let mut paths = names.iter().map(|name| directory.join(name));
        paths.find(|path| path.is_dir())
    };
    let folder = |reason: String| DataError::new(directory, Problem::Folder { reason });
    let [train, validation, test] = [split(&TRAIN), split(&VALIDATION), split(&TEST)];
    let is_split = train.is_some() && (validation.is_some() || test.is_some());
    let train = train.filter(|_| is_split);
    let root = train.as_deref().unwrap_or(directory);
    let Some(classes) = classes(root)? else {
        return Ok(None);
    };
    let size = options.images.size;
    if size == 0 || options.images.resized() < size {
        return Err(folder(format!(
            "images are resized to {} pixels and cut to {size}: expected at least one pixel, and the former not below the latter",
            options.images.resized()
        )));
    }
    let part = |root: &Path, classes: &BTreeMap<String, Vec<PathBuf>>| -> Part {
        Part::all(Arc::new(ImageFiles::new(root, classes, options)))
    };
    let other = |path: Option<PathBuf>| -> Result<Option<Part>, DataError> {
        let Some(path) = path.filter(|_| is_split) else {
            return Ok(None);
        };
        let found = self::classes(&path)?.unwrap_or_default();
        let names =
            |classes: &BTreeMap<String, _>| classes.keys().cloned().collect::<BTreeSet<_>>();
        let (here, there) = (names(&found), names(&classes));
        if let Some(name) = here.symmetric_difference(&there).next() {
            let (has, lacks) = if here.contains(name) {
                (path.as_path(), root)
            } else {
                (root, path.as_path())
            };
            return Err(folder(format!(
                "the class `{name}` is in {} and not in {}; both must have the same classes",
                has.display(),
                lacks.display()
            )));
        }
        Ok(Some(part(&path, &found)))
    };
    let (validation, test) = (other(validation)?, other(test)?);
    let parts = Parts {
        train: part(root, &classes),
        // Without a test split, the validation split is used for both.
        test: test.or_else(|| validation.clone()),
        validation,
    };
    let source = Source::path("image folder", directory);
    let names = classes.into_keys().collect();
    Dataset::assemble(
        source,
        Some(names),
        Some(options.normalization),
        parts,
        options,
    )
    .map(Some)
}

/// The images of each class in `root`, sorted; `None` if it has no directory with images.
fn classes(root: &Path) -> Result<Option<BTreeMap<String, Vec<PathBuf>>>, DataError> {
    let mut classes = BTreeMap::new();
    for entry in entries(root)? {
        if entry.is_dir() {
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let mut images = Vec::new();
            collect(&entry, 0, &mut images)?;
            classes.insert(name, images);
        }
    }
    if classes.values().all(Vec::is_empty) {
        return Ok(None);
    }
    let empty: Vec<_> = classes
        .iter()
        .filter(|(_, images)| images.is_empty())
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !empty.is_empty() {
        let reason = format!("no JPEG or PNG images in {}", empty.join(", "));
        return Err(DataError::new(root, Problem::Folder { reason }));
    }
    Ok(Some(classes))
}

/// Adds the images in `directory`, then those in the directories in it.
fn collect(directory: &Path, depth: usize, images: &mut Vec<PathBuf>) -> Result<(), DataError> {
    /// Links may make circles.
    const DEEPEST: usize = 32;
    let folder = |path: &Path, reason: &str| {
        let reason = reason.to_owned();
        DataError::new(path, Problem::Folder { reason })
    };
    if depth > DEEPEST {
        return Err(folder(
            directory,
            "directories lie too deep within each other",
        ));
    }
    let (directories, files): (Vec<_>, Vec<_>) = entries(directory)?
        .into_iter()
        .partition(|path| path.is_dir());
    for file in files {
        let extension = file
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        if READ.contains(&extension.as_str()) {
            images.push(file);
        } else if OTHERS.contains(&extension.as_str()) {
            return Err(folder(
                &file,
                "an image of another format; only JPEG and PNG are read",
            ));
        }
    }
    directories
        .iter()
        .try_for_each(|inner| collect(inner, depth + 1, images))
}

/// What is in a directory, sorted by name, but for hidden files.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let listed = fs::read_dir(directory).map_err(DataError::io(directory))?;
    let mut paths = Vec::new();
    for entry in listed {
        let entry = entry.map_err(DataError::io(directory))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Images in files, with their classes.
struct ImageFiles {
    root: PathBuf,
    files: Vec<(PathBuf, u32)>,
    /// Resized images, once they were decoded and as long as there is room.
    kept: Vec<OnceLock<Arc<Pixels>>>,
    /// Bytes of resized images that may still be kept.
    room: AtomicUsize,
    options: ImageOptions,
    table: Table,
    augmentation: Augmentation,
}

impl ImageFiles {
    fn new(root: &Path, classes: &BTreeMap<String, Vec<PathBuf>>, options: &Options) -> Self {
        let labelled = classes
            .values()
            .zip(0..)
            .flat_map(|(images, label)| images.iter().map(move |image| (image.clone(), label)));
        let files: Vec<_> = labelled.collect();
        Self {
            root: root.to_owned(),
            kept: files.iter().map(|_| OnceLock::new()).collect(),
            room: AtomicUsize::new(options.images.cache_bytes),
            files,
            options: options.images,
            table: options.normalization.table(),
            augmentation: options.augmentation.unwrap_or(Augmentation::ALL),
        }
    }

    /// The resized image.
    fn pixels(&self, index: usize) -> Result<Arc<Pixels>, DataError> {
        if let Some(pixels) = self.kept[index].get() {
            return Ok(Arc::clone(pixels));
        }
        let (path, _) = &self.files[index];
        let pixels = Arc::new(decode::read(path, &self.options)?);
        let bytes = pixels.bytes.len();
        let take = |room: usize| room.checked_sub(bytes);
        if self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            // Another thread may have been faster: the images are equal.
            let _ = self.kept[index].set(Arc::clone(&pixels));
        }
        Ok(pixels)
    }
}

impl Samples for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn input(&self) -> Spec {
        let ImageOptions { size, color, .. } = self.options;
        Spec::floats(&[color.channels(), size, size])
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
        let pixels = self.pixels(index)?;
        let size = self.options.size;
        let spare = [pixels.height - size, pixels.width - size];
        let mut window = spare.map(|spare| (spare as f64 / 2.0).round_ties_even() as usize);
        let mut mirrored = false;
        if let Some(random) = random {
            if self.augmentation.crop {
                window = spare.map(|spare| random.random_range(0..=spare));
            }
            mirrored = self.augmentation.flip && random.random();
        }
        if let Target::Float(input) = input {
            pixels.cut(window, size, mirrored, &self.table, input);
        }
        if let Target::Int([label]) = target {
            *label = self.files[index].1 as i32;
        }
        Ok(())
    }

    fn workers(&self) -> usize {
        thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8)
    }

    fn is_sorted_by_class(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for ImageFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageFiles")
            .field("root", &self.root)
            .field("len", &self.files.len())
            .finish_non_exhaustive()
    }
}
