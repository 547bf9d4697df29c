//! MNIST and what is packed like it: four IDX files, compressed or not.
//!
//! An IDX file (<http://yann.lecun.com/exdb/mnist/>) begins with two zero bytes, the type of the numbers (8 for bytes) and the
//! number of axes; the sizes of the axes follow as big-endian 32-bit numbers, then the numbers.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Problem};
use crate::{Images, Source};

/// Files of images and labels, for training and testing; a dash of a name may be a dot.
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Where torchvision puts the files beneath its root, and what the data set is called there.
const LAYOUTS: [(&str, &str); 5] = [
    ("", ""),
    ("raw", ""),
    ("MNIST/raw", "MNIST"),
    ("FashionMNIST/raw", "Fashion-MNIST"),
    ("KMNIST/raw", "KMNIST"),
];

/// The classes of Fashion-MNIST.
const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// A data set as it was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) source: Source,
    pub(crate) classes: Vec<String>,
    /// Whether a mirrored image is one of the same class: articles of clothing, not digits.
    pub(crate) flips: bool,
    pub(crate) train: Images,
    pub(crate) test: Images,
}

/// The data set in `directory`, or in one of torchvision's places beneath it, if there is one.
///
/// # Errors
///
/// If a file is missing or damaged, or there are several data sets.
pub(crate) fn read(directory: &Path) -> Result<Option<Loaded>, DataError> {
    let mut found = LAYOUTS.iter().filter_map(|(inner, name)| {
        let root = directory.join(inner);
        let is_there = FILES.iter().any(|file| locate(&root, file).is_some());
        is_there.then_some((root, *name))
    });
    let Some((root, name)) = found.next() else {
        return Ok(None);
    };
    if let Some((_, other)) = found.next() {
        let reason = format!("found {name} and {other}; expected the directory of one of them");
        return Err(DataError::new(directory, Problem::Idx { reason }));
    }
    let is_fashion = root.to_string_lossy().to_lowercase().contains("fashion");
    let name = match (is_fashion, name) {
        (true, _) => "Fashion-MNIST",
        (false, "") => "MNIST",
        (false, name) => name,
    };
    let classes = (0..10).map(|class: usize| match is_fashion {
        true => FASHION[class].to_owned(),
        false => class.to_string(),
    });
    let [train_images, train_labels, test_images, test_labels] = FILES.map(|file| {
        locate(&root, file).ok_or_else(|| {
            let expected = format!("{}, each with or without .gz", FILES.join(", "));
            DataError::new(&root.join(file), Problem::MissingFile { expected })
        })
    });
    Ok(Some(Loaded {
        classes: classes.collect(),
        flips: is_fashion,
        train: images(&train_images?, &train_labels?)?,
        test: images(&test_images?, &test_labels?)?,
        source: Source::path(name, root),
    }))
}

/// The file of this name, spelled with a dash or a dot, compressed or not.
fn locate(root: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let names = [
        name.to_owned(),
        format!("{name}.gz"),
        format!("{dotted}.gz"),
        dotted,
    ];
    names
        .into_iter()
        .map(|name| root.join(name))
        .find(|path| path.is_file())
}

/// Images and their labels.
fn images(images: &Path, labels: &Path) -> Result<Images, DataError> {
    let (sizes, pixels) = array(images, 3)?;
    let (counts, labels_found) = array(labels, 1)?;
    let idx = |path: &Path, reason: String| DataError::new(path, Problem::Idx { reason });
    let (&[n, height, width], &[count]) = (sizes.as_slice(), counts.as_slice()) else {
        return Err(idx(images, "the axes are not those of images".to_owned()));
    };
    if n != count || n == 0 {
        let reason = format!("{count} labels, and {n} images in {}", images.display());
        return Err(idx(labels, reason));
    }
    if height.min(width) < 4 {
        return Err(idx(images, format!("images of {height}×{width} pixels")));
    }
    if let Some(place) = labels_found.iter().position(|&label| label > 9) {
        let found = labels_found[place].into();
        let problem = Problem::Label { found, classes: 10 };
        return Err(DataError::at(labels, (8 + place) as u64, problem));
    }
    Ok(Images::new([1, height, width], 10, pixels, labels_found))
}

/// The sizes of the axes, of which `axes` are expected, and the bytes.
fn array(path: &Path, axes: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut bytes = fs::read(path).map_err(DataError::io(path))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        let result = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked);
        result.map_err(|error| DataError::new(path, Problem::BrokenArchive(error)))?;
        bytes = unpacked;
    }
    let idx = |reason: String| DataError::new(path, Problem::Idx { reason });
    let header = 4 + 4 * usize::from(axes);
    if bytes.get(..4) != Some(&[0, 0, 8, axes]) || bytes.len() < header {
        let found = &bytes[..bytes.len().min(4)];
        return Err(idx(format!(
            "found first bytes {found:02x?}; expected 00 00 08 {axes:02x} and the sizes of {axes} axes"
        )));
    }
    let sizes: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|size| {
            size.iter()
                .fold(0, |size, &byte| size << 8 | usize::from(byte))
        })
        .collect();
    let expected = sizes
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    let data = bytes.split_off(header);
    if expected != Some(data.len()) {
        return Err(idx(format!(
            "found {} bytes for axes of {sizes:?}",
            data.len()
        )));
    }
    Ok((sizes, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes
            .iter()
            .for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    /// Two training images and a test image of 4×5 pixels.
    fn contents() -> [Vec<u8>; 4] {
        let pixels: Vec<u8> = (0..40).collect();
        [
            idx(&[2, 4, 5], &pixels),
            idx(&[2], &[3, 9]),
            idx(&[1, 4, 5], &pixels[20..]),
            idx(&[1], &[7]),
        ]
    }

    #[test]
    fn files_are_found_in_every_usual_place_and_spelling() {
        for (layout, name) in LAYOUTS {
            for (compressed, dotted) in [(false, false), (true, false), (true, true), (false, true)]
            {
                let directory = tempfile::tempdir().unwrap();
                let root = directory.path().join(layout);
                fs::create_dir_all(&root).unwrap();
                for (file, content) in FILES.iter().zip(contents()) {
                    let file = if dotted {
                        file.replace("-idx", ".idx")
                    } else {
                        (*file).to_owned()
                    };
                    match compressed {
                        true => fs::write(root.join(format!("{file}.gz")), gz(&content)).unwrap(),
                        false => fs::write(root.join(file), content).unwrap(),
                    }
                }
                let loaded = read(directory.path()).unwrap().unwrap();
                let name = if name.is_empty() { "MNIST" } else { name };
                assert!(
                    loaded
                        .source
                        .to_string()
                        .starts_with(&format!("{name} from"))
                );
                assert_eq!(loaded.train.shape(), [1, 4, 5]);
                assert_eq!(loaded.train.labels(), [3, 9]);
                assert_eq!(loaded.train.image(1), (20..40).collect::<Vec<u8>>());
                assert_eq!(loaded.test.labels(), [7]);
                assert_eq!(loaded.classes[1] == "Trouser", loaded.flips);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let table: [(usize, Option<Vec<u8>>, &str); 7] = [
            (1, None, "train-labels-idx1-ubyte: missing"),
            (
                0,
                Some(b"<html>".to_vec()),
                "train-images-idx3-ubyte: no IDX file",
            ),
            (0, Some(Vec::new()), "first bytes []"),
            (
                2,
                Some(idx(&[1, 4, 5], &[0; 19])),
                "found 19 bytes for axes of [1, 4, 5]",
            ),
            (1, Some(idx(&[1], &[3])), "1 labels, and 2 images"),
            (
                1,
                Some(idx(&[2], &[3, 10])),
                "byte 9: found label 10; expected 0 to 9",
            ),
            (
                3,
                Some(gz(&contents()[3])[..12].to_vec()),
                "the archive is broken",
            ),
        ];
        for (which, content, words) in table {
            let directory = tempfile::tempdir().unwrap();
            for (place, (file, whole)) in FILES.iter().zip(contents()).enumerate() {
                let content = if place == which {
                    content.clone()
                } else {
                    Some(whole)
                };
                if let Some(content) = content {
                    fs::write(directory.path().join(file), content).unwrap();
                }
            }
            let error = read(directory.path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn two_data_sets_beneath_one_root_are_not_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        for inner in ["MNIST/raw", "FashionMNIST/raw"] {
            fs::create_dir_all(directory.path().join(inner)).unwrap();
            fs::write(directory.path().join(inner).join(FILES[0]), "").unwrap();
        }
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("found MNIST and Fashion-MNIST"), "{error}");
        assert!(read(&directory.path().join("nothing")).unwrap().is_none());
    }
}
