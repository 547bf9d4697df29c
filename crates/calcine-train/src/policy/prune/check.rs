//! Checks the settings of a pruner.

use calcine_criteria::Needs;

use super::{Prune, Ranking, Target};
use crate::{Hold, Lifetime};

impl Prune {
    /// Checks that the settings are valid. It is called when a [`Driver`](crate::Driver) is created.
    ///
    /// # Errors
    ///
    /// If something is missing (a seed for random numbers, a growth score, a norm), a parameter is in two groups, or
    /// the selection is not possible for the units; the error contains the first problem.
    pub fn check(&self) -> Result<(), String> {
        self.when.check()?;
        self.check_seed()?;
        self.check_growth()?;
        self.check_units()?;
        let holds = (self.settings.hold, self.settings.lifetime);
        if self.settings.reconstruct.is_some() && holds != (Hold::Always, Lifetime::Window) {
            return Err("it refits stored weights, which needs masks that are always applied (`Hold::Always` and `Lifetime::Window`)".to_owned());
        }
        Ok(())
    }

    fn check_seed(&self) -> Result<(), String> {
        let growth = self.growth.as_ref().is_some_and(|score| score.draws());
        let what = if self.score.draws() {
            "its score draws random numbers"
        } else if self.select.draws() {
            "its selection draws random numbers"
        } else if growth {
            "its growth score draws random numbers"
        } else if self.settings.reconstruct.is_some() {
            "its refitting draws random positions"
        } else {
            return Ok(());
        };
        match self.settings.seed {
            Some(_) => Ok(()),
            None => Err(format!(
                "{what}: give it the seed of the run, `Prune::with_seed`"
            )),
        }
    }

    fn check_growth(&self) -> Result<(), String> {
        match &self.growth {
            None if self.select.grows() => Err(
                "its selection regrows units: give it a growth score, `Prune::with_growth`"
                    .to_owned(),
            ),
            Some(score) if !matches!(score.needs(), Needs::Weight | Needs::Gradient) => {
                let needs = score.needs();
                Err(format!(
                    "the growth score must need weights or gradients, but needs {needs:?}"
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_units(&self) -> Result<(), String> {
        let mut taken: Vec<&str> = Vec::new();
        for group in self.targets.iter().flat_map(|target| &target.groups) {
            for unit in group.units.iter().chain(&group.followers) {
                let path = unit.parameter.path.as_str();
                if taken.contains(&path) {
                    return Err(format!("`{path}` is in two groups: expected one"));
                }
                taken.push(path);
            }
        }
        for unit in self.targets.iter().flat_map(Target::units) {
            let path = &unit.parameter.path;
            let refused = |why: String| format!("`{path}`: {why}");
            self.select.check(unit.decided()).map_err(refused)?;
            let folded = self.settings.ranking == Ranking::Folded;
            if let Some(norm) = &unit.norm
                && folded
            {
                norm.check(&unit.parameter).map_err(refused)?;
            }
            if self.score.needs() == Needs::NormScale {
                let norm = unit.norm.as_ref();
                let scales = norm.map(|norm| norm.scale.numel());
                if scales != Some(unit.fold.units()) {
                    let (units, scales) = (unit.fold.units(), scales.unwrap_or(0));
                    let why = "its score is the scale of the following norm, of which each unit needs one";
                    return Err(refused(format!(
                        "{why}: {units} units have {scales} scales"
                    )));
                }
            }
        }
        Ok(())
    }
}
