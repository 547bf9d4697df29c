use cargo_metadata::Metadata;

use super::architecture::{self, Architecture};
use super::files::{self, File};
use crate::cargo;
use crate::failure::Failure;

/// All that the rules look at.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) metadata: Metadata,
    pub(super) architecture: Architecture,
    pub(super) files: Vec<File>,
}

impl Workspace {
    pub(super) fn load() -> Result<Self, Failure> {
        let metadata = cargo::metadata()?;
        let files = files::read(metadata.workspace_root.as_std_path())?;
        let table = files.iter().find(|file| file.path == architecture::TABLE);
        let architecture = Architecture::parse(table.map_or("", |file| &file.text));
        Ok(Self {
            metadata,
            architecture,
            files,
        })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}
