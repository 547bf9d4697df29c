//! The data set as the official `.tar.gz`.

use super::records::{self, DIRECTORY, FILES};
use super::{DataError, Images, Problem};
use flate2::read::GzDecoder;
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Reads training and test images straight from the archive.
pub(super) fn read(archive: &Path) -> Result<(Images, Images), DataError> {
    let mut contents: [Option<Vec<u8>>; FILES.len()] = Default::default();
    visit(archive, |index, bytes| {
        contents[index] = Some(bytes);
        Ok(())
    })?;
    records::assemble(&archive.join(DIRECTORY), |file, index| {
        contents[index]
            .take()
            .ok_or_else(|| DataError::new(file, Problem::Missing))
    })
}

/// Unpacks the six files of `archive` into `parent/cifar-10-batches-bin`, which appears complete or
/// not at all: they are first written to a temporary directory beside it.
pub(super) fn unpack(archive: &Path, parent: &Path) -> Result<(), DataError> {
    let workshop = tempfile::Builder::new()
        .prefix(".cifar-10-")
        .tempdir_in(parent)
        .map_err(DataError::io(parent))?;
    let fresh = workshop.path().join(DIRECTORY);
    fs::create_dir(&fresh).map_err(DataError::io(&fresh))?;
    let mut seen = [false; FILES.len()];
    visit(archive, |index, bytes| {
        seen[index] = true;
        let file = fresh.join(FILES[index]);
        fs::write(&file, bytes).map_err(DataError::io(&file))
    })?;
    if let Some(index) = seen.iter().position(|seen| !seen) {
        let file = archive.join(DIRECTORY).join(FILES[index]);
        return Err(DataError::new(&file, Problem::Missing));
    }
    let directory = parent.join(DIRECTORY);
    fs::rename(&fresh, &directory).map_err(DataError::io(&directory))
}

/// Calls `member(i, bytes)` for each file of the archive that is `FILES[i]` of the official layout.
/// Reads to the end, so that the checksum of the whole archive is compared.
fn visit(
    archive: &Path,
    mut member: impl FnMut(usize, Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let unpacked = Cell::new(0);
    let broken = |source| DataError::at(archive, unpacked.get(), Problem::BrokenArchive(source));
    let mut tar = tar::Archive::new(Counted {
        inner: open(archive)?,
        count: &unpacked,
    });
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?;
        let wanted = FILES
            .iter()
            .position(|file| path.ends_with(Path::new(DIRECTORY).join(file)));
        let Some(index) = wanted.filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if (bytes.len() as u64) < entry.size() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        member(index, bytes)?;
    }
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
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
pub(super) mod tests {
    use super::super::records::tests::records;
    use super::super::{PIXELS, directory};
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    /// An archive of the given members, the way the official one names them.
    fn pack(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{DIRECTORY}/{name}"), bytes.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// The six files of two records each and a file that is no concern of ours.
    pub(in super::super) fn official() -> Vec<u8> {
        let mut members = vec![("readme.html", b"hello".to_vec())];
        members.extend(
            FILES
                .iter()
                .enumerate()
                .map(|(i, &name)| (name, records(2, i as u8))),
        );
        pack(&members)
    }

    fn error_of(bytes: &[u8]) -> DataError {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        fs::write(&archive, bytes).unwrap();
        read(&archive).unwrap_err()
    }

    #[test]
    fn an_archive_reads_like_its_unpacked_directory() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tar.gz");
        fs::write(&archive, official()).unwrap();
        unpack(&archive, dir.path()).unwrap();
        let (_, train, test) = directory::read(dir.path()).unwrap();
        assert_eq!(read(&archive).unwrap(), (train, test));
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
        let members: Vec<_> = FILES[..5]
            .iter()
            .map(|&name| (name, records(1, 0)))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("a.tgz");
        fs::write(&archive, pack(&members)).unwrap();
        for error in [
            read(&archive).unwrap_err(),
            unpack(&archive, dir.path()).unwrap_err(),
        ] {
            assert_eq!(error.file(), archive.join(DIRECTORY).join("test_batch.bin"));
            assert!(matches!(error.problem(), Problem::Missing));
        }
        assert!(!dir.path().join(DIRECTORY).exists());
    }

    #[test]
    fn a_member_with_half_a_record_names_its_byte() {
        let mut members: Vec<_> = FILES.iter().map(|&name| (name, records(1, 0))).collect();
        members[2].1.extend(vec![0; PIXELS / 2]);
        let error = error_of(&pack(&members));
        assert!(
            error
                .file()
                .ends_with("a.tar.gz/cifar-10-batches-bin/data_batch_3.bin")
        );
        assert_eq!(error.offset(), Some(3073));
    }
}
