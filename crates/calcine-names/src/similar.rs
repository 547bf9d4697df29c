/// How many names [`nearest`] offers.
const NEAREST: usize = 3;

/// The smallest similarity at which one name is offered instead of another.
const SIMILAR: f64 = 0.6;

/// The similarity of two names, from 0 to 1: one minus the Damerau–Levenshtein distance over the length of the longer
/// name, regardless of upper and lower case.
#[must_use]
pub fn similarity(name: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase())
}

/// The three names that are most similar to `name`, the most similar one first. Of equally similar names, those that
/// come first in `names` come first.
///
/// # Examples
///
/// ```
/// let names = ["conv1.weight", "conv2.weight", "fc.weight", "fc.bias"];
/// assert_eq!(calcine_names::nearest("cnv2.weight", names)[0], "conv2.weight");
/// ```
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<(f64, &str)> = names
        .into_iter()
        .map(|other| (similarity(name, other), other))
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = names.into_iter().take(NEAREST);
    best.map(|(_, name)| name.to_owned()).collect()
}

/// The name that is most similar to `name`, if its similarity is above 0.6. Of equally similar names, the first.
///
/// # Examples
///
/// ```
/// use calcine_names::closest;
///
/// assert_eq!(closest("ResNet-20", ["resnet20", "plain20"]), Some("resnet20"));
/// assert_eq!(closest("vgg", ["resnet20", "plain20"]), None);
/// ```
#[must_use]
pub fn closest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    for other in names {
        let similarity = similarity(name, other);
        if similarity > best.map_or(SIMILAR, |(most, _)| most) {
            best = Some((similarity, other));
        }
    }
    best.map(|(_, name)| name)
}

/// The end of a message about an unknown name: "did you mean `x`?" if a valid name is [similar](closest), else the list
/// of valid names.
///
/// # Examples
///
/// ```
/// use calcine_names::suggest;
///
/// assert_eq!(suggest("magnitud", ["magnitude", "l1"]), "did you mean `magnitude`?");
/// assert_eq!(suggest("foo", ["magnitude", "l1"]), "valid are magnitude, l1");
/// assert_eq!(suggest("foo", []), "there is none");
/// ```
#[must_use]
pub fn suggest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let valid: Vec<&str> = valid.into_iter().collect();
    match closest(name, valid.iter().copied()) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None if valid.is_empty() => "there is none".to_owned(),
        None => format!("valid are {}", valid.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_equally_similar_names_the_first_is_offered() {
        assert_eq!(closest("ax", ["aa", "ab"]), None);
        assert_eq!(closest("abx", ["abc", "abd"]), Some("abc"));
        assert_eq!(nearest("ab", ["ac", "ad", "ae", "ab"]), ["ab", "ac", "ad"]);
    }

    proptest! {
        #[test]
        fn a_name_is_the_closest_to_itself(names in prop::collection::vec("[a-z.]{1,8}", 1..6)) {
            for name in &names {
                let all = || names.iter().map(String::as_str);
                prop_assert_eq!(closest(name, all()), Some(name.as_str()));
                prop_assert_eq!(&nearest(name, all())[0], name);
            }
        }
    }
}
