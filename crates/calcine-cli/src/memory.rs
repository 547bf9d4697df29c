//! The memory that this process uses.

use std::fs::{self, File};
use std::io::Write;

/// The largest resident memory since a moment.
#[derive(Debug)]
pub(crate) struct Peak(());

impl Peak {
    /// Begins a measurement. On systems that cannot reset the peak, it is that of the whole process.
    pub(crate) fn reset() -> Self {
        // On Linux, writing 5 resets the peak of the resident set.
        let file = File::options().write(true).open("/proc/self/clear_refs");
        drop(file.and_then(|mut file| file.write_all(b"5")));
        Self(())
    }

    /// The peak in bytes; `None` if the system does not report it.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kilobytes)
    }
}
