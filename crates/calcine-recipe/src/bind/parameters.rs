//! Finds the parameters for patterns, and the units of parameters.

use calcine_fold::Granularity;
use calcine_params::Parameter;
use calcine_train::Unit;

use super::Bound;
use crate::amount::{Amount, Amounts};
use crate::section::At;

impl Bound<'_> {
    /// The parameters that match a list of patterns; a pattern that matches nothing is a problem.
    pub(super) fn select(&self, patterns: &[At<String>]) -> Vec<&Parameter> {
        let mut known = Vec::new();
        for At { value, span } in patterns {
            match self.inventory.select(&[value]) {
                Ok(_) => known.push(value),
                Err(error) => self.problems.add(span, error),
            }
        }
        let parameters = self.inventory.select(&known).unwrap_or_default();
        if let (true, Some(first)) = (parameters.is_empty(), patterns.first())
            && known.len() == patterns.len()
        {
            self.problems
                .add(&first.span, "the patterns exclude all parameters");
        }
        parameters
    }

    /// Like [`select`](Self::select), but the first match of the first pattern comes first; of the other patterns if
    /// the first one has no remaining match.
    pub(super) fn select_from(&self, patterns: &[At<String>]) -> Vec<&Parameter> {
        let mut parameters = self.select(patterns);
        let first_of = |At { value, .. }: &At<String>| {
            let matches = self.inventory.select(&[value]).ok()?;
            let at = |found: &&Parameter| parameters.iter().position(|kept| kept == found);
            matches.iter().find_map(at)
        };
        if let Some(leader) = patterns.iter().find_map(first_of) {
            parameters[..=leader].rotate_right(1);
        }
        parameters
    }

    /// The parameters of each pattern of a table, without duplicates.
    pub(super) fn by_pattern<'a, T>(
        &self,
        table: &'a [(At<String>, T)],
    ) -> Vec<(Vec<&Parameter>, &'a T)> {
        let mut taken: Vec<String> = Vec::new();
        let mut found = Vec::new();
        for (pattern, value) in table {
            let parameters = self.select(std::slice::from_ref(pattern));
            for parameter in &parameters {
                if taken.contains(&parameter.path) {
                    let message = format!("`{}` already has an amount", parameter.path);
                    self.problems.add(&pattern.span, message);
                }
                taken.push(parameter.path.clone());
            }
            found.push((parameters, value));
        }
        found
    }

    /// The parameters of each amount; with one amount, the parameters of `patterns`.
    pub(super) fn with_amounts<'a>(
        &self,
        amounts: &'a Amounts,
        patterns: &[At<String>],
    ) -> Vec<(Vec<&Parameter>, &'a At<Amount>)> {
        match amounts {
            Amounts::One(amount) => vec![(self.select(patterns), amount)],
            Amounts::ByPattern(table) => self.by_pattern(table),
        }
    }

    /// The units of a parameter; a granularity that the parameter does not have is a problem.
    pub(super) fn unit(
        &self,
        parameter: &Parameter,
        granularity: &At<Granularity>,
    ) -> Option<Unit> {
        match parameter.fold(granularity.value) {
            Ok(fold) => Some(Unit::new(parameter.clone(), fold)),
            Err(error) => {
                self.problems.add(&granularity.span, error);
                None
            }
        }
    }
}
