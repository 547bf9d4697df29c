//! Where to take the data set from.

use super::download::{self, Failure, Remote};
use super::{Cifar10, DataError, Problem, Source, synthetic};
use crate::cifar::packing::{self, BINARY};
use crate::cifar::{self, Cifar100Labels, Set};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::{env, fmt};
use ureq::Agent;

/// Which data set to take; parses from `auto`, `synthetic` or a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// The real set wherever it is to be had, else a synthetic one; see [`load()`].
    #[default]
    Auto,
    /// The synthetic set.
    Synthetic,
    /// This directory or archive.
    Path(PathBuf),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "synthetic" => Self::Synthetic,
            path => Self::Path(path.into()),
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Where [`Choice::Auto`] looks, and how large a synthetic set is.
///
/// The default reads the environment: `data` is `$CALCINE_DATA` unless that is empty, `cache` is
/// `calcine` in the user's cache directory (`$XDG_CACHE_HOME` or `~/.cache` on Linux,
/// `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows).
#[derive(Debug, Clone)]
pub struct Options {
    /// A directory or archive that goes before the cache.
    pub data: Option<PathBuf>,
    /// The directory that holds, or is to hold, `cifar-10-batches-bin`.
    pub cache: Option<PathBuf>,
    /// What to download when the cache holds nothing.
    pub remote: Remote,
    /// Seed of a synthetic set.
    pub synthetic_seed: u64,
    /// Training images of a synthetic set, by default 5,000.
    pub synthetic_train: usize,
    /// Test images of a synthetic set, by default 1,000.
    pub synthetic_test: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: env::var_os("CALCINE_DATA")
                .filter(|data| !data.is_empty())
                .map(PathBuf::from),
            cache: dirs::cache_dir().map(|cache| cache.join("calcine")),
            remote: Remote::default(),
            synthetic_seed: 0,
            synthetic_train: 5_000,
            synthetic_test: 1_000,
        }
    }
}

impl Options {
    fn synthetic(&self, reason: String) -> Cifar10 {
        let source = Source::Synthetic { reason };
        Cifar10 {
            source,
            ..synthetic(
                self.synthetic_seed,
                self.synthetic_train,
                self.synthetic_test,
            )
        }
    }
}

/// Loads the data set that `choice` names.
///
/// A path is a directory that holds the six files of the official binary packing or of the one for Python, or
/// `cifar-10-batches-bin` or `cifar-10-batches-py` with them, as torchvision leaves them, or an official archive of
/// either (`.tar.gz`, `.tgz`), which is read without unpacking. The files may be shorter than the official ones, but
/// hold whole records and at least one.
///
/// [`Choice::Auto`] takes the first of these:
///
/// 1. `options.data`;
/// 2. `cifar-10-batches-bin` in `options.cache`;
/// 3. `options.remote`, downloaded into the cache and unpacked there. `progress` is told the bytes
///    so far and in total. An interrupted download goes on where it stopped;
/// 4. a synthetic set, if the server cannot be reached or has no such file. Then
///    [`Source::Synthetic`] holds the reason, and the caller ought to say it loudly.
///
/// # Errors
///
/// If files are missing, truncated or corrupt, or another data set, in a place named by the caller, the environment or
/// the cache alike; if what the server sends has the wrong size or hash, or breaks off; if the
/// cache cannot be written. None of these falls back to a synthetic set.
///
/// # Examples
///
/// ```
/// use calcine_data::cifar10::{Choice, Options, load};
///
/// let options = Options { synthetic_train: 100, synthetic_test: 20, ..Options::default() };
/// let data = load(&Choice::Synthetic, &options, &mut |_, _| {})?;
/// assert_eq!(data.train.len(), 100);
/// assert!(data.source.is_synthetic());
/// # Ok::<(), calcine_data::DataError>(())
/// ```
pub fn load(
    choice: &Choice,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Cifar10, DataError> {
    match choice {
        Choice::Synthetic => Ok(options.synthetic("as requested".to_owned())),
        Choice::Path(path) => open(path),
        Choice::Auto => match &options.data {
            Some(path) => open(path),
            None => cached_or_downloaded(&download::agent(), options, progress),
        },
    }
}

/// Steps 2 to 4 of [`Choice::Auto`].
fn cached_or_downloaded(
    agent: &Agent,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Cifar10, DataError> {
    let Some(cache) = &options.cache else {
        return Err(DataError::new(
            Path::new(BINARY.directory),
            Problem::NoCache,
        ));
    };
    let path = cache.join(BINARY.directory);
    if path.is_dir() {
        return open(&path);
    }
    match download::download(agent, &options.remote, cache, progress) {
        Ok(()) => {
            let url = options.remote.url.clone();
            let source = Source::Download {
                url,
                directory: path.clone(),
            };
            Ok(Cifar10 {
                source,
                ..open(&path)?
            })
        }
        Err(Failure::Unreachable(why)) => {
            Ok(options.synthetic(format!("{} cannot be had: {why}", options.remote.url)))
        }
        Err(Failure::Data(error)) => Err(error),
    }
}

/// The set in a directory or an archive.
fn open(path: &Path) -> Result<Cifar10, DataError> {
    if !path.exists() {
        return Err(DataError::new(path, Problem::Missing));
    }
    match cifar::read(path, Cifar100Labels::Fine)? {
        Some(loaded) if loaded.set == Set::Cifar10 => Ok(Cifar10 {
            train: Arc::new(loaded.train),
            test: Arc::new(loaded.test),
            source: loaded.source,
        }),
        Some(_) => Err(DataError::new(path, Problem::Cifar100)),
        None if path.is_dir() => {
            let names = packing::names(path, 2).map_err(DataError::io(path))?;
            Err(DataError::new(path, packing::other(&names)))
        }
        None => Err(DataError::new(path, Problem::NotAnArchive)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::download::tests::{Manner, Server, direct};
    use super::*;
    use crate::cifar::archive::tests::official;
    use crate::cifar::write_files;
    use std::fs;

    /// Nothing but the given cache; the network is a port where nobody listens.
    fn offline(cache: &Path) -> Options {
        let remote = Remote {
            url: "http://127.0.0.1:1/a.tar.gz".into(),
            ..Remote::default()
        };
        Options {
            data: None,
            cache: Some(cache.to_owned()),
            remote,
            synthetic_seed: 3,
            synthetic_train: 20,
            synthetic_test: 10,
        }
    }

    fn quiet(choice: &Choice, options: &Options) -> Result<Cifar10, DataError> {
        load(choice, options, &mut |_, _| {})
    }

    #[test]
    fn a_choice_survives_a_round_trip_through_text() {
        for choice in [
            Choice::Auto,
            Choice::Synthetic,
            Choice::Path("some/where".into()),
        ] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn auto_prefers_the_named_data_to_the_cache() {
        let (cache, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_files(&cache.path().join(BINARY.directory));
        write_files(data.path());
        let options = offline(cache.path());
        let cached = quiet(&Choice::Auto, &options).unwrap();
        assert_eq!(
            cached.source,
            Source::path("CIFAR-10", cache.path().join(BINARY.directory))
        );
        let options = Options {
            data: Some(data.path().to_owned()),
            ..options
        };
        let named = quiet(&Choice::Auto, &options).unwrap();
        assert_eq!(named.source, Source::path("CIFAR-10", data.path()));
    }

    #[test]
    fn named_data_that_is_missing_is_an_error_and_no_reason_to_make_some_up() {
        let cache = tempfile::tempdir().unwrap();
        let nowhere = cache.path().join("nowhere");
        let options = Options {
            data: Some(nowhere.clone()),
            ..offline(cache.path())
        };
        let error = quiet(&Choice::Auto, &options).unwrap_err();
        assert_eq!(error.file(), nowhere);
        assert!(matches!(error.problem(), Problem::Missing));
    }

    #[test]
    fn auto_without_network_makes_images_up_and_says_why() {
        let cache = tempfile::tempdir().unwrap();
        let options = offline(cache.path());
        let data = quiet(&Choice::Auto, &options).unwrap();
        assert_eq!(data.train, synthetic(3, 20, 10).train);
        let line = data.source.to_string();
        assert!(
            line.contains("http://127.0.0.1:1/a.tar.gz cannot be had: "),
            "{line}"
        );
        assert!(!cache.path().join(BINARY.directory).exists());
    }

    #[test]
    fn auto_downloads_once_and_then_finds_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("made/on/demand");
        let server = Server::serve(official(), Manner::Plain);
        let options = Options {
            remote: server.remote.clone(),
            ..offline(&cache)
        };
        let load = || cached_or_downloaded(&direct(), &options, &mut |_, _| {}).unwrap();
        let (first, second) = (load(), load());
        let (url, directory) = (server.remote.url.clone(), cache.join(BINARY.directory));
        assert_eq!(
            first.source,
            Source::Download {
                url,
                directory: directory.clone()
            }
        );
        assert_eq!(second.source, Source::path("CIFAR-10", directory));
        assert_eq!((first.train, first.test), (second.train, second.test));
        assert_eq!(server.ranges(), [""]);
    }

    #[test]
    fn auto_does_not_make_images_up_for_a_download_that_goes_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::serve(official(), Manner::Plain);
        let remote = Remote {
            sha256: "00".repeat(32),
            ..server.remote
        };
        let options = Options {
            remote,
            ..offline(dir.path())
        };
        let error = cached_or_downloaded(&direct(), &options, &mut |_, _| {}).unwrap_err();
        assert!(matches!(error.problem(), Problem::Hash { .. }), "{error}");
    }

    #[test]
    fn auto_without_any_place_says_what_to_set() {
        let options = Options {
            cache: None,
            ..offline(Path::new("unused"))
        };
        let error = quiet(&Choice::Auto, &options).unwrap_err();
        assert!(error.to_string().contains("set CALCINE_DATA"), "{error}");
    }

    #[test]
    fn a_path_is_a_directory_or_an_archive_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let options = offline(dir.path());
        let take = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, official()).unwrap();
            quiet(&Choice::Path(path.clone()), &options).map(|data| (data, path))
        };
        for name in ["a.tar.gz", "a.tgz"] {
            let (data, path) = take(name).unwrap();
            assert_eq!((data.train.len(), data.test.len()), (10, 2));
            assert_eq!(data.source, Source::path("CIFAR-10", path));
        }
        let error = take("a.zip").unwrap_err();
        assert!(matches!(error.problem(), Problem::NotAnArchive), "{error}");
    }

    #[test]
    fn a_directory_is_searched_for_the_usual_packings_and_told_what_else_it_holds() {
        let find = |files: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let file = dir.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                let bytes = match file.to_string_lossy().ends_with(".tar.gz") {
                    true => official(),
                    false => b"-".to_vec(),
                };
                fs::write(&file, bytes).unwrap();
            }

            match quiet(&Choice::Path(dir.path().into()), &offline(dir.path())) {
                Ok(data) => data.source.to_string(),
                Err(error) => error.to_string(),
            }
        };
        let table: [(&[&str], &str); 9] = [
            (
                &["cifar-10-batches-py/data_batch_1"],
                "cifar-10-batches-py/data_batch_1: ",
            ),
            (&["data_batch_1", "batches.meta"], "data_batch_1: "),
            (&["test_batch.bin"], "data_batch_1.bin: missing"),
            (&["cifar-10-binary.tar.gz"], "CIFAR-10 from"),
            (&["cifar-10-python.tar.gz"], "CIFAR-10 from"),
            (&["cifar100/train", "cifar100/test"], "CIFAR-100"),
            (&["train/cat/1.png", "test/cat/2.png"], "image files"),
            (&["cat.0.JPG"], "image files"),
            (&["train.parquet", "notes.txt"], "notes.txt, train.parquet"),
        ];
        for (files, words) in table {
            let told = find(files);
            assert!(
                told.contains(words) && !told.contains('\n'),
                "{files:?}: {told}"
            );
        }
    }
}
