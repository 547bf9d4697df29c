//! Which tensor of a file is meant for which parameter of a module.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::store::burn_pack::Tensor as StoredTensor;

/// Path elements that wrappers add in PyTorch and that mean nothing: those of `DataParallel`, of `torch.compile`, of
/// fully sharded training and of activation checkpointing.
const WRAPPERS: [&str; 4] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// A name without the path elements of [`WRAPPERS`].
pub(super) fn without_wrappers(name: &str) -> String {
    let elements: Vec<_> = name
        .split('.')
        .filter(|element| !WRAPPERS.contains(element))
        .collect();
    elements.join(".")
}

/// The parameters of a module by the names that a file may have for them.
pub(super) struct Parameters {
    exact: HashMap<String, usize>,
    /// By names without wrappers; `None` where two parameters share one.
    bare: HashMap<String, Option<usize>>,
    /// By what PyTorch calls parameters that Burn's adapters do not rename.
    other: HashMap<String, Option<usize>>,
    /// For each parameter the first one that is the same, which differs for those that are used twice.
    pub(super) tied_to: Vec<usize>,
}

/// What PyTorch calls the parameters of `InstanceNorm` and `PRelu`, which Burn's adapters leave as they are.
const OTHER_NAMES: [(&str, &str); 3] = [("gamma", "weight"), ("beta", "bias"), ("alpha", "weight")];

impl Parameters {
    pub(super) fn new(parameters: &[StoredTensor]) -> Self {
        let mut exact = HashMap::new();
        let mut bare = HashMap::new();
        let mut other = HashMap::new();
        let mut first: HashMap<u64, usize> = HashMap::new();
        let mut tied_to = Vec::with_capacity(parameters.len());
        let insert = |names: &mut HashMap<String, Option<usize>>, name: String, index| {
            names
                .entry(name)
                .and_modify(|taken| *taken = None)
                .or_insert(Some(index));
        };
        for (index, parameter) in parameters.iter().enumerate() {
            exact.insert(parameter.name.clone(), index);
            let name = without_wrappers(&parameter.name);
            for (burn, pytorch) in OTHER_NAMES {
                if let Some(layer) = name.strip_suffix(burn)
                    && (layer.is_empty() || layer.ends_with('.'))
                {
                    insert(&mut other, format!("{layer}{pytorch}"), index);
                }
            }
            insert(&mut bare, name, index);
            let same = match parameter.param_id {
                Some(id) => *first.entry(id).or_insert(index),
                None => index,
            };
            tied_to.push(same);
        }
        Self {
            exact,
            bare,
            other,
            tied_to,
        }
    }

    /// The parameter that a file's tensor of this name is meant for.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if let Some(index) = self.exact.get(name) {
            return Some(*index);
        }
        let name = without_wrappers(name);
        let names = [&self.bare, &self.other];
        names.iter().find_map(|names| *names.get(&name)?)
    }

    /// The last elements of all names: what tensors of a layer are called.
    pub(super) fn last_elements(&self) -> BTreeSet<&str> {
        self.exact.keys().map(|name| last_element(name)).collect()
    }

    /// Whether a layer of this path has parameters of its own.
    pub(super) fn has_layer(&self, path: &str) -> bool {
        let mut names = self.bare.keys();
        names.any(|name| layer_of(name) == without_wrappers(path))
    }

    /// Parameters, counting those that are one once.
    pub(super) fn count(&self) -> usize {
        self.tied_to.iter().collect::<BTreeSet<_>>().len()
    }

    /// The prefixes beneath which `names` has parameters, with how many.
    ///
    /// A prefix is given as it is in the file, wrappers included, without the dot behind it.
    pub(super) fn prefixes<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<&'a str, usize> {
        let mut found: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for name in names {
            let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
            for start in starts {
                let rest = &name[start..];
                let element = rest.split('.').next().unwrap_or(rest);
                // Wrappers belong to the prefix, unless the module itself has such a field.
                if WRAPPERS.contains(&element) && !self.exact.contains_key(rest) {
                    continue;
                }
                if let Some(index) = self.find(rest) {
                    let prefix = &name[..start.saturating_sub(1)];
                    found.entry(prefix).or_default().insert(self.tied_to[index]);
                }
            }
        }
        found
            .into_iter()
            .map(|(prefix, indices)| (prefix, indices.len()))
            .collect()
    }
}

/// The name without the prefix, if it has that prefix.
pub(super) fn beneath<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(name);
    }
    name.strip_prefix(prefix)?.strip_prefix('.')
}

/// The last path element.
pub(super) fn last_element(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// All path elements but the last; empty for a name of one element.
pub(super) fn layer_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// What there is in a file, in a few words: the first elements of all names, with how many tensors each has.
pub(super) fn outline<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    for name in sorted {
        let first = name.split('.').next().unwrap_or(name);
        match counts.last_mut() {
            Some((known, count)) if *known == first => *count += 1,
            _ => counts.push((first, 1)),
        }
    }
    let shown: Vec<String> = counts
        .iter()
        .take(SHOWN)
        .map(|(name, count)| match count {
            1 => format!("`{name}`"),
            _ => format!("`{name}` ({count} tensors)"),
        })
        .collect();
    let mut text = shown.join(", ");
    if counts.len() > SHOWN {
        text.push_str(&format!(" and {} more", counts.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::store::bridge;
    use burn::tensor::TensorData;

    fn parameters(names: &[&str]) -> Parameters {
        let tensors: Vec<StoredTensor> = names
            .iter()
            .map(|name| {
                let values = TensorData::from([0.0_f32]);
                bridge::from_data(values, (*name).to_owned(), None)
            })
            .collect();
        Parameters::new(&tensors)
    }

    #[test]
    fn prefixes_are_those_of_the_file_with_the_parameters_beneath_them() {
        let names = ["conv.weight", "fc.weight"];
        let table: [(&[&str], &[(&str, usize)]); 6] = [
            (&["conv.weight", "fc.weight"], &[("", 2)]),
            (
                &["module.conv.weight", "module.fc.weight"],
                &[("module", 2)],
            ),
            (
                &["net.module._orig_mod.conv.weight"],
                &[("net.module._orig_mod", 1)],
            ),
            (
                &["conv.module.weight", "module.fc.weight"],
                &[("", 1), ("module", 1)],
            ),
            (
                &["a.conv.weight", "b.conv.weight", "b.fc.weight"],
                &[("a", 1), ("b", 2)],
            ),
            (&["conv.bias", "weight"], &[]),
        ];
        for (file, expected) in table {
            let found = parameters(&names).prefixes(file.iter().copied());
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{file:?}");
        }
    }

    #[test]
    fn parameters_are_found_by_exact_names_first() {
        let both = parameters(&["module.fc.weight", "fc.weight"]);
        assert_eq!(both.find("fc.weight"), Some(1));
        assert_eq!(both.find("module.fc.weight"), Some(0));
        assert_eq!(
            both.find("_orig_mod.fc.weight"),
            None,
            "either could be meant"
        );
        let other = parameters(&["act.alpha", "norm.gamma", "norm.beta"]);
        let found = ["act.weight", "norm.weight", "norm.bias"].map(|name| other.find(name));
        assert_eq!(found, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn an_outline_has_the_first_elements_and_their_counts() {
        let names = ["optimizer.0", "epoch", "state_dict.a", "state_dict.b"];
        assert_eq!(
            outline(names.into_iter()),
            "`epoch`, `optimizer`, `state_dict` (2 tensors)"
        );
    }
}
