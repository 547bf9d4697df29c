//! The data set as the official `.tar.gz`.

use super::packing::{self, BINARY};
use super::{Cifar100Labels, Packing};
use crate::Images;
use crate::error::{DataError, Problem};
use flate2::read::GzDecoder;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Reads training and test images straight from the archive, in whichever packing they are.
pub(crate) fn read(
    archive: &Path,
    labels: Cifar100Labels,
) -> Result<(&'static Packing, Images, Images), DataError> {
    let mut contents = packing::ALL.map(|packing| vec![None; packing.files.len()]);
    let names = visit(archive, &packing::ALL, |which, index, bytes| {
        contents[which][index] = Some(bytes);
        Ok(())
    })?;
    let packed = packing::ALL
        .into_iter()
        .zip(contents)
        .find(|(_, files)| files.iter().any(Option::is_some));
    let Some((packing, mut files)) = packed else {
        return Err(DataError::new(archive, packing::other(&names)));
    };
    let root = archive.join(packing.directory);
    let (train, test) = packing.assemble(&root, labels, |file, index| {
        files[index].take().ok_or_else(|| packing.missing(file))
    })?;
    Ok((packing, train, test))
}

/// Unpacks the six files of `archive` into `parent/cifar-10-batches-bin`, which appears complete or
/// not at all: they are first written to a temporary directory beside it.
pub(crate) fn unpack(archive: &Path, parent: &Path) -> Result<(), DataError> {
    let workshop = tempfile::Builder::new()
        .prefix(".cifar-10-")
        .tempdir_in(parent)
        .map_err(DataError::io(parent))?;
    let fresh = workshop.path().join(BINARY.directory);
    fs::create_dir(&fresh).map_err(DataError::io(&fresh))?;
    let files = BINARY.files;
    let mut seen = vec![false; files.len()];
    visit(archive, &[&BINARY], |_, index, bytes| {
        seen[index] = true;
        let file = fresh.join(files[index]);
        calcine_files::write(&file, bytes).map_err(DataError::io(&file))
    })?;
    if let Some(index) = seen.iter().position(|seen| !seen) {
        let file = archive.join(BINARY.directory).join(files[index]);
        return Err(BINARY.missing(&file));
    }
    let directory = parent.join(BINARY.directory);
    fs::rename(&fresh, &directory).map_err(DataError::io(&directory))
}

/// Calls `member(i, j, bytes)` for each file of the archive that is file `j` of `packings[i]`, and returns the names of
/// all. Reads to the end, so that the checksum of the whole archive is compared.
fn visit(
    archive: &Path,
    packings: &[&'static Packing],
    mut member: impl FnMut(usize, usize, Vec<u8>) -> Result<(), DataError>,
) -> Result<BTreeSet<String>, DataError> {
    let unpacked = Cell::new(0);
    let broken = |source| DataError::at(archive, unpacked.get(), Problem::BrokenArchive(source));
    let mut tar = tar::Archive::new(Counted {
        inner: open(archive)?,
        count: &unpacked,
    });
    let mut names = BTreeSet::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        names.insert(path.to_string_lossy().into_owned());
        let wanted = packings.iter().enumerate().find_map(|(which, packing)| {
            let directory = Path::new(packing.directory);
            let index = packing
                .files
                .iter()
                .position(|file| path.ends_with(directory.join(file)))?;
            Some((which, index))
        });
        let Some((which, index)) = wanted.filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if (bytes.len() as u64) < entry.size() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        member(which, index, bytes)?;
    }
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(names)
}

/// Opens a gzip file after a look at its first two bytes.
fn open(archive: &Path) -> Result<GzDecoder<BufReader<File>>, DataError> {
    let file = File::open(archive).map_err(DataError::io(archive))?;
    let mut found = Vec::new();
    (&file)
        .take(2)
        .read_to_end(&mut found)
        .map_err(DataError::io(archive))?;
    if found != [0x1f, 0x8b] {
        return Err(DataError::at(archive, 0, Problem::NotGzip { found }));
    }
    let file = File::open(archive).map_err(DataError::io(archive))?;
    Ok(GzDecoder::new(BufReader::new(file)))
}

/// Counts the bytes read through it, for error messages.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::directory;
    use super::super::packing::PYTHON;
    use super::super::python::tests::batch;
    use super::super::records::tests::records;
    use super::*;
    use crate::cifar10::PIXELS;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn read_10(archive: &Path) -> Result<(Images, Images), DataError> {
        read(archive, Cifar100Labels::Fine).map(|(_, train, test)| (train, test))
    }

    /// An archive of the given members, the way the official one names them.
    fn pack<S: AsRef<str>>(members: &[(S, Vec<u8>)]) -> Vec<u8> {
        pack_in(BINARY.directory, members)
    }

    fn pack_in<S: AsRef<str>>(directory: &str, members: &[(S, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let name = format!("{directory}/{}", name.as_ref());
            tar.append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// The six files of two records each and a file that is no concern of ours.
    pub(crate) fn official() -> Vec<u8> {
        let mut members = vec![("readme.html".to_owned(), b"hello".to_vec())];
        let files = BINARY.files.iter().enumerate();
        members.extend(files.map(|(i, name)| ((*name).to_owned(), records(2, i as u8))));
        pack(&members)
    }

    fn error_of(bytes: &[u8]) -> DataError {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        fs::write(&archive, bytes).unwrap();
        read_10(&archive).unwrap_err()
    }

    #[test]
    fn an_archive_reads_like_its_unpacked_directory() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        fs::write(&archive, official()).unwrap();
        unpack(&archive, dir.path()).unwrap();
        let unpacked = directory::read(
            &BINARY,
            &dir.path().join(BINARY.directory),
            Cifar100Labels::Fine,
        )
        .unwrap();
        assert_eq!(read_10(&archive).unwrap(), unpacked);
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(
            names.len(),
            2,
            "the temporary directory stays behind: {names:?}"
        );
    }

    #[test]
    fn something_other_than_gzip_is_told_by_its_first_bytes() {
        let error = error_of(b"<!DOCTYPE html>");
        assert_eq!(error.offset(), Some(0));
        assert_eq!(
            error.problem().to_string(),
            "found first bytes [3c, 21]; expected 1f 8b, the mark of a gzip file"
        );
        assert!(matches!(error_of(b"").problem(), Problem::NotGzip { .. }));
    }

    #[test]
    fn a_cut_archive_is_broken_wherever_it_is_cut() {
        let whole = official();
        for end in [2, 30, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let error = error_of(&whole[..end]);
            assert!(
                matches!(error.problem(), Problem::BrokenArchive(_)),
                "{end}: {error}"
            );
            assert!(error.offset().is_some());
        }
    }

    #[test]
    fn a_flipped_bit_in_the_checksum_is_noticed() {
        let mut bytes = official();
        let end = bytes.len();
        bytes[end - 6] ^= 1;
        assert!(matches!(
            error_of(&bytes).problem(),
            Problem::BrokenArchive(_)
        ));
    }

    #[test]
    fn a_missing_member_is_named_and_nothing_is_unpacked() {
        let files = BINARY.files;
        let members: Vec<_> = files[..5]
            .iter()
            .map(|name| (name, records(1, 0)))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tgz");
        fs::write(&archive, pack(&members)).unwrap();
        for error in [
            read_10(&archive).unwrap_err(),
            unpack(&archive, dir.path()).unwrap_err(),
        ] {
            assert_eq!(
                error.file(),
                archive.join(BINARY.directory).join("test_batch.bin")
            );
            assert!(matches!(error.problem(), Problem::MissingFile { .. }));
        }
        assert!(!dir.path().join(BINARY.directory).exists());
    }

    #[test]
    fn a_member_with_half_a_record_names_its_byte() {
        let files = BINARY.files;
        let mut members: Vec<_> = files.iter().map(|name| (name, records(1, 0))).collect();
        members[2].1.extend(vec![0; PIXELS / 2]);
        let error = error_of(&pack(&members));
        assert!(
            error
                .file()
                .ends_with("a.tar.gz/cifar-10-batches-bin/data_batch_3.bin")
        );
        assert_eq!(error.offset(), Some(3073));
    }

    #[test]
    fn an_archive_for_python_reads_like_the_binary_one_and_others_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        let load = |bytes: Vec<u8>| {
            fs::write(&archive, bytes).unwrap();
            read_10(&archive)
        };
        let files = PYTHON.files.iter().enumerate();
        let mut members: Vec<_> = files
            .map(|(i, name)| ((*name).to_owned(), batch(2, i as u8)))
            .collect();
        members.push(("batches.meta".to_owned(), b"any".to_vec()));
        let expected = load(official()).unwrap();
        assert_eq!(load(pack_in(PYTHON.directory, &members)).unwrap(), expected);

        let error = load(pack_in("cifar-100-elsewhere", &[("train.bin", vec![])]));
        assert!(matches!(error.unwrap_err().problem(), Problem::Cifar100));
        let error = load(pack_in("train", &[("cat/1.png", vec![])]));
        assert!(matches!(error.unwrap_err().problem(), Problem::ImageFiles));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_unpacked_has_the_permissions_of_any_new_directory() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        fs::write(&archive, official()).unwrap();
        fs::create_dir(dir.path().join("usual")).unwrap();
        unpack(&archive, dir.path()).unwrap();
        let unpacked = dir.path().join(BINARY.directory);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&unpacked), mode(&dir.path().join("usual")));
        assert_eq!(mode(&unpacked.join("test_batch.bin")), mode(&archive));
    }
}
