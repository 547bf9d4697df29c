//! Whether a pruner can do what it is set up for.

use calcine_criteria::Needs;

use super::{Prune, Ranking, Target};
use crate::{Hold, Lifetime};

impl Prune {
    /// Whether it can do what it is set up for: a [`Driver`](crate::Driver) asks when it is made.
    ///
    /// # Errors
    ///
    /// If something is missing (a seed for what is drawn, a score for what grows, a norm for what looks at one), a
    /// parameter is in two groups, or the selection cannot select from the units; with the first such thing.
    pub fn check(&self) -> Result<(), String> {
        self.when.check()?;
        self.check_seed()?;
        self.check_growth()?;
        self.check_units()?;
        let holds = (self.settings.hold, self.settings.lifetime);
        if self.settings.reconstruct.is_some() && holds != (Hold::Always, Lifetime::Window) {
            return Err("refits stored weights, under masks that do not hold always".to_owned());
        }
        Ok(())
    }

    fn check_seed(&self) -> Result<(), String> {
        let growth = self.growth.as_ref().is_some_and(|score| score.draws());
        let what = if self.score.draws() {
            "its score draws"
        } else if self.select.draws() {
            "its selection draws"
        } else if growth {
            "its regrowth draws"
        } else if self.settings.reconstruct.is_some() {
            "its refitting draws positions"
        } else {
            return Ok(());
        };
        match self.settings.seed {
            Some(_) => Ok(()),
            None => Err(format!(
                "{what} at random: give it the run's seed, `Prune::with_seed`"
            )),
        }
    }

    fn check_growth(&self) -> Result<(), String> {
        match &self.growth {
            None if self.select.grows() => Err(
                "its selection lets units grow: give it a score, `Prune::with_growth`".to_owned(),
            ),
            Some(score) if !matches!(score.needs(), Needs::Weight | Needs::Gradient) => {
                let needs = score.needs();
                Err(format!(
                    "units grow by weights or gradients, not by {needs:?}"
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
                    return Err(format!(
                        "`{path}` has two decisions: a parameter is in one group"
                    ));
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
                    let why = "its score is the scale of the norm that follows, one for each unit";
                    return Err(refused(format!(
                        "{why}: {units} units have {scales} scales"
                    )));
                }
            }
        }
        Ok(())
    }
}
