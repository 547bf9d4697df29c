//! Writes a file twice. The second time, the file keeps its permissions.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("report.json");

    calcine_files::write(&file, r#"{"top1": 86.67}"#)?;
    println!("new:      {:?}", fs::metadata(&file)?.permissions());

    calcine_files::write(&file, r#"{"top1": 86.91}"#)?;
    println!("replaced: {:?}", fs::metadata(&file)?.permissions());
    println!("{}", fs::read_to_string(&file)?);
    Ok(())
}
