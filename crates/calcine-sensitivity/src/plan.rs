use std::fmt;

use burn::module::Module;
use calcine_criteria::{Level, Magnitude, NOfM, Needs, Score, Select};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Inventory, Parameter, UnitError};

use crate::ScanError;

/// What is scanned: parameters × levels, and how a level prunes (score × granularity × select).
///
/// By default it scans every weight that has units of the granularity, at levels from 0 to 0.9 in steps of 0.05, and drops
/// the units with the smallest mean magnitude. Another selection is set by
/// `Scan::new(granularity).with_select(selection).with_levels([0.5])`.
pub struct Scan {
    /// Names and globs of the parameters (see [`Inventory::select`]); none for every weight that fits.
    pub params: Vec<String>,
    /// What a unit is.
    pub granularity: Granularity,
    /// The levels, which are handed to the selection; for [`Level`] a level is the share of units to drop. They need not
    /// ascend, because each of them prunes the model's own weights.
    pub levels: Vec<f64>,
    /// The score by which units are ranked. It must give equal scores for equal weights.
    pub score: Box<dyn Score + Send>,
    /// The selection, which chooses units by their rank.
    pub select: Box<dyn Select + Send>,
    /// The seed of a score or a selection that draws at random. The random stream also depends on the path of the parameter;
    /// it is the same at all levels.
    pub seed: Option<u64>,
}

impl Scan {
    /// A scan of all weights that have units of the granularity, by magnitude. For the granularity `group(M)`, a level is the
    /// share that every group of M elements loses (N:M sparsity).
    #[must_use]
    pub fn new(granularity: Granularity) -> Self {
        let select: Box<dyn Select + Send> = match granularity {
            Granularity::Group { of } => Box::new(NOfM { of }),
            _ => Box::new(Level::default()),
        };
        Self {
            params: Vec::new(),
            granularity,
            levels: levels(0.0, 0.95, 0.05),
            score: Box::new(Magnitude),
            select,
            seed: None,
        }
    }

    /// Only these parameters.
    #[must_use]
    pub fn with_params<S: Into<String>>(mut self, params: impl IntoIterator<Item = S>) -> Self {
        self.params = params.into_iter().map(Into::into).collect();
        self
    }

    /// Other levels.
    #[must_use]
    pub fn with_levels(mut self, levels: impl IntoIterator<Item = f64>) -> Self {
        self.levels = levels.into_iter().collect();
        self
    }

    /// Another score.
    #[must_use]
    pub fn with_score(mut self, score: impl Score + Send + 'static) -> Self {
        self.score = Box::new(score);
        self
    }

    /// Another selection.
    #[must_use]
    pub fn with_select(mut self, select: impl Select + Send + 'static) -> Self {
        self.select = Box::new(select);
        self
    }

    /// The seed of what is drawn at random; there is no default.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks that the scan can be done on a model, as [`scan`](crate::scan()) does at its beginning.
    ///
    /// # Errors
    ///
    /// If a level is outside 0 to 1, a pattern matches no parameter, a requested parameter has no units of the granularity, a
    /// score or selection draws at random and there is no seed, or the score needs more than the weights.
    pub fn check<M: Module>(&self, model: &M) -> Result<(), ScanError> {
        self.targets(model).map(drop)
    }

    /// The parameters of a model that the scan is about, in the model's order.
    ///
    /// # Errors
    ///
    /// If a level is outside 0 to 1, a pattern matches no parameter, a requested parameter has no units of the granularity, a
    /// score or selection draws at random and there is no seed, or the score needs more than the weights.
    pub(crate) fn targets<M: Module>(
        &self,
        model: &M,
    ) -> Result<Vec<(Parameter, Fold)>, ScanError> {
        let odd = self
            .levels
            .iter()
            .find(|level| !(0.0..=1.0).contains(*level));
        if self.levels.is_empty() || odd.is_some() {
            let found = odd.map_or("nothing".to_owned(), f64::to_string);
            return Err(ScanError::Level { found });
        }
        if (self.score.draws() || self.select.draws()) && self.seed.is_none() {
            return Err(ScanError::Seed);
        }
        let needs = self.score.needs();
        if needs != Needs::Weight || self.select.grows() {
            return Err(ScanError::Evidence { needs });
        }
        let inventory = Inventory::from_module(model);
        if self.params.is_empty() {
            let mut fitting = Vec::new();
            for weight in inventory.weights() {
                match weight.fold(self.granularity) {
                    Ok(fold) => fitting.push((weight.clone(), fold)),
                    // It may have such units: nobody knows.
                    Err(error @ UnitError::Groups { .. }) => return Err(error.into()),
                    Err(_) => {}
                }
            }
            let granularity = self.granularity.to_string();
            return if fitting.is_empty() {
                Err(ScanError::Nothing { granularity })
            } else {
                Ok(fitting)
            };
        }
        let chosen = inventory.select(&self.params)?;
        chosen
            .into_iter()
            .map(|parameter| Ok((parameter.clone(), parameter.fold(self.granularity)?)))
            .collect()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("params", &self.params)
            .field("granularity", &self.granularity)
            .field("levels", &self.levels)
            .finish_non_exhaustive()
    }
}

/// `start`, `start + step`, … below `stop`: a range as Distiller's `--sense-range` has it.
///
/// The numbers are rounded to nine decimals, so that 0.15 is 0.15 and not 0.15000000000000002. The list is empty if `step` is
/// not positive or the range is infinite.
///
/// ```
/// assert_eq!(calcine_sensitivity::levels(0.0, 0.2, 0.05), [0.0, 0.05, 0.1, 0.15]);
/// ```
#[must_use]
pub fn levels(start: f64, stop: f64, step: f64) -> Vec<f64> {
    let rounded = |number: f64| (number * 1e9).round() / 1e9;
    if !(step > 0.0 && (stop - start).is_finite() && (stop - start) / step < 1e6) {
        return Vec::new();
    }
    let all = (0..).map(|index| rounded(start + f64::from(index) * step));
    all.take_while(|&level| level < rounded(stop)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_levels_are_distillers() {
        let levels = Scan::new(Granularity::Element).levels;
        assert_eq!((levels.len(), levels[3], levels[18]), (19, 0.15, 0.9));
    }

    #[test]
    fn a_step_that_leads_nowhere_gives_no_levels() {
        for (start, stop, step) in [(0.0, 1.0, 0.0), (0.0, 1.0, -0.1), (1.0, 0.0, 0.1)] {
            assert!(levels(start, stop, step).is_empty());
        }
        assert!(
            levels(0.0, f64::INFINITY, 0.1).is_empty() && levels(0.0, 1.0, f64::NAN).is_empty()
        );
        assert!(levels(0.0, 1.0, 1e-300).is_empty());
    }
}
