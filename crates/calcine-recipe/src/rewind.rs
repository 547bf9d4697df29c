use calcine_schedule::Window;
use calcine_train::Restore;

use crate::section::{At, Section};

/// The `[rewind]` table.
#[derive(Debug, Clone)]
pub(crate) struct Rewind {
    pub(crate) to: u64,
    pub(crate) at: At<Vec<u64>>,
    pub(crate) restore: Restore,
    /// The position of `restore`, if only the learning rate is restored.
    pub(crate) rate_alone: Option<std::ops::Range<usize>>,
}

impl Rewind {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let problems = section.problems;
        let to = section.count("to").map_or(0, |to| to.value);
        let at = section.counts("at");
        let at = section.need("at", "the epochs before which the run is rewound", at);
        let restores = [
            ("weights", Restore::Weights),
            ("rate", Restore::Rate),
            ("both", Restore::Both),
        ];
        let restore = section.word("restore", &restores);
        section.close();
        let at = at?;
        if let Err(error) = Window::list(at.value.clone()) {
            problems.add(&at.span, error);
            return None;
        }
        if at.value.iter().any(|epoch| *epoch <= to) {
            let message = format!(
                "a rewind to epoch {to} must be after it: `at` from {}",
                to + 1
            );
            problems.add(&at.span, message);
            return None;
        }
        Some(Self {
            to,
            at,
            rate_alone: restore
                .as_ref()
                .filter(|restore| restore.value == Restore::Rate)
                .map(|restore| restore.span.clone()),
            restore: restore.map_or(Restore::Both, |restore| restore.value),
        })
    }
}
