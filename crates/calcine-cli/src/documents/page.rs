//! The Markdown files of the repository, with their code blocks, code spans and command lines.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file, by its path in the repository.
pub(super) struct Page {
    pub(super) path: String,
    pub(super) text: String,
}

/// A fenced block: its language, its first line and its lines.
pub(super) struct Block<'a> {
    pub(super) language: &'a str,
    pub(super) line: usize,
    pub(super) body: String,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Markdown files except changelogs, which describe earlier states.
pub(super) fn pages() -> Vec<Page> {
    pub(super) fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && name != "runs" && !name.starts_with('.') {
                collect(&path, found);
            } else if name.ends_with(".md") && name != "CHANGELOG.md" {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    let pages = found.into_iter().map(|file| Page {
        path: file
            .strip_prefix(&root)
            .unwrap_or(&file)
            .display()
            .to_string(),
        text: fs::read_to_string(&file).expect("it can be read"),
    });
    pages.collect()
}

impl Page {
    pub(super) fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block<'_>> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    let (line, body) = (number + 1, String::new());
                    open = Some(Block {
                        language,
                        line,
                        body,
                    });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.body += line;
                    block.body.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        blocks
    }

    /// The code in running text, each span on one line.
    pub(super) fn spans(&self) -> Vec<String> {
        let mut prose = String::new();
        let mut in_block = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            } else if !in_block {
                prose += line.trim();
                // A span ends with its paragraph at the latest.
                prose.push(if line.trim().is_empty() { '\n' } else { ' ' });
            }
        }
        let paragraphs = prose.split('\n');
        let spans = paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2));
        spans.map(str::to_owned).collect()
    }

    /// All command lines of the page, with their positions.
    pub(super) fn commands(&self) -> Vec<(String, String)> {
        let mut commands = Vec::new();
        for block in self.blocks() {
            let shell = ["console", "text", "sh"].contains(&block.language);
            let joined = block.body.replace("\\\n", " ");
            for (number, line) in (block.line..).zip(joined.lines()) {
                let command = line.strip_prefix("$ ");
                let command = command.or_else(|| Some(line).filter(|line| is_command(line)));
                let place = format!("{}:{number}", self.path);
                commands.extend(command.filter(|_| shell).map(|c| (place, c.to_owned())));
            }
        }
        let spans = self.spans().into_iter();
        let spans = spans.filter(|span| is_command(span));
        commands.extend(spans.map(|span| (self.path.clone(), span)));
        commands
    }
}

/// Whether a text is a command line although nothing before it marks it as one.
fn is_command(text: &str) -> bool {
    ["cargo ", "calcine "]
        .iter()
        .any(|program| text.starts_with(program))
}
