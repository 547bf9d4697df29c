//! PyTorch's zip archives, made readable for the reader that we have.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Lengths of the records at an archive's end: the end of the central directory, and the locator of the 64-bit one.
const END: u64 = 22;
const LOCATOR: u64 = 20;

/// A copy of the archive that the `zip` crate reads rightly, if it would not read the original so.
///
/// PyTorch ends an archive with three records: the 64-bit end of the central directory (56 bytes), its locator
/// (20 bytes) and the 32-bit end (22 bytes). The 32-bit record holds true numbers rather than the markers that
/// say "see the 64-bit one", so `zip` 9.8 ignores the other two. Then it takes the directory to lie immediately before
/// the 32-bit record and looks for an entry 76 bytes too late. It notices, and looks again, unless an entry begins
/// there: if the first is 46 + 30 bytes long, as it is for `data.pkl` in a folder of 21 bytes. Then all offsets are off
/// by 76.
///
/// In the copy the 32-bit record has the markers. The copy vanishes when it is dropped.
pub(super) fn readable(path: &Path) -> io::Result<Option<NamedTempFile>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(start) = length.checked_sub(LOCATOR + END) else {
        return Ok(None);
    };
    let mut tail = [0; (LOCATOR + END) as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut tail)?;
    let (locator, end) = tail.split_at(LOCATOR as usize);
    if !locator.starts_with(b"PK\x06\x07") || !end.starts_with(b"PK\x05\x06") {
        return Ok(None);
    }
    let size = u32::from_le_bytes([end[12], end[13], end[14], end[15]]);
    let Some(taken) = (length - END).checked_sub(size.into()) else {
        return Ok(None);
    };
    let mut there = [0; 4];
    file.seek(SeekFrom::Start(taken))?;
    file.read_exact(&mut there)?;
    if there != *b"PK\x01\x02" {
        return Ok(None);
    }
    // The numbers of files, the size and the offset.
    let mut marked = end.to_vec();
    marked[8..20].fill(0xff);
    let mut copy = tempfile::Builder::new().prefix("calcine-").tempfile()?;
    file.rewind()?;
    io::copy(&mut file.take(length - END), copy.as_file_mut())?;
    copy.as_file_mut().write_all(&marked)?;
    Ok(Some(copy))
}
