use calcine_graph::NormFeatures;
use calcine_schedule::Window;

use crate::section::{At, Section};

/// `[thin]`: when zero channels are removed from the network. The runner executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinning {
    /// The epochs before which the network is thinned; at the end of the run if there are none.
    pub(crate) at: Vec<u64>,
    /// Whether channels are kept whose removal would change padded borders.
    pub exact: bool,
    /// Whether features are removed that layer norms, RMS norms and other means include, for networks that are trained
    /// further.
    pub inexact: bool,
}

impl Thinning {
    /// How features of norms are treated.
    #[must_use]
    pub const fn norm_features(&self) -> NormFeatures {
        if self.inexact {
            NormFeatures::Removable
        } else {
            NormFeatures::Pinned
        }
    }

    /// The epochs before which the network is thinned in a run of this length, in ascending order; the length of the
    /// run if it is thinned at its end.
    #[must_use]
    pub fn moments(&self, epochs: u64) -> Vec<u64> {
        if self.at.is_empty() {
            return vec![epochs];
        }
        let within = self.at.iter().copied().filter(|&epoch| epoch <= epochs);
        within.collect()
    }

    pub(crate) fn read(section: Section<'_>) -> Option<At<Self>> {
        let problems = section.problems;
        let span = section.span.clone();
        let at = section.counts("at");
        let borders = [("drop_border", false), ("keep_border", true)];
        let exact = section.word("padding_effect", &borders);
        let inexact = section.flag("inexact");
        section.close();
        let at = match at {
            Some(at) => {
                let wrong = Window::list(at.value.clone()).err();
                let early = at.value.first() == Some(&0);
                if let Some(error) = wrong {
                    problems.add(&at.span, error);
                    return None;
                }
                if early {
                    let message =
                        "the network can be thinned only after it was pruned: `at` from 1";
                    problems.add(&at.span, message);
                    return None;
                }
                at.value
            }
            None => Vec::new(),
        };
        let exact = exact.is_some_and(|exact| exact.value);
        let inexact = inexact.is_some_and(|inexact| inexact.value);
        Some(At::new(Self { at, exact, inexact }, span))
    }
}
