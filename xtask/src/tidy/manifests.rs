//! What every manifest and every crate has.

use cargo_metadata::{Dependency, DependencyKind, Package};

use super::problem::Problem;
use super::workspace::Workspace;

/// One version of Burn, and only the features somebody asked for. What uses its unstable parts takes no other version; the
/// rest takes any compatible one.
pub(super) fn burn_is_pinned(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        for burn in package
            .dependencies
            .iter()
            .filter(|dependency| is_burn(dependency))
        {
            // The importer has versions of its own.
            let uses_insides = !allowed(package.name.as_str()).is_empty();
            let version = match burn.name.as_str() {
                "burn-onnx" => "=0.22.0",
                _ if uses_insides && burn.kind == DependencyKind::Normal => "=0.22.1",
                _ => "^0.22.1",
            };
            if burn.req.to_string() != version || burn.uses_default_features {
                let message = format!("`{}` is `{version}` without default features", burn.name);
                problems.push(Problem::in_file(&manifest(workspace, package), message));
            }
        }
    }
    problems
}

/// The crates that use Burn's insides, and the features that expose them: tracing looks at everything, and kernels on flex devices at tensors.
const INSIDES: [(&str, &[&str]); 2] = [
    ("calcine-trace", &["capture", "extension", "ir"]),
    ("calcine-quant", &["extension"]),
];

/// The features that a crate may enable.
fn allowed(package: &str) -> &'static [&'static str] {
    let own = INSIDES.iter().find(|(name, _)| *name == package);
    own.map_or(&[], |(_, features)| features)
}

/// The features that expose Burn's insides are for the crates that look at them.
pub(super) fn burn_features_belong_to_few(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        let allowed = allowed(package.name.as_str());
        let burn = package
            .dependencies
            .iter()
            .filter(|dependency| is_burn(dependency));
        let enabled = burn.flat_map(|burn| &burn.features);
        let passed_on = package.features.values().flatten();
        for feature in insides(enabled, passed_on) {
            if allowed.contains(&feature) {
                continue;
            }
            let message = format!(
                "`{}` enables Burn's feature `{feature}`, which exposes internals",
                package.name
            );
            problems.push(Problem::in_file(&manifest(workspace, package), message));
        }
    }
    problems
}

/// The features that expose Burn's insides, of those that a package enables and of those that its own features
/// pass on.
fn insides<'a>(
    enabled: impl Iterator<Item = &'a String>,
    passed_on: impl Iterator<Item = &'a String>,
) -> Vec<&'a str> {
    let passed_on = passed_on.filter_map(|feature| {
        let (dependency, feature) = feature.split_once('/')?;
        dependency.starts_with("burn").then_some(feature)
    });
    let mut features: Vec<&str> = enabled.map(String::as_str).chain(passed_on).collect();
    features.retain(|feature| ["capture", "extension", "ir"].contains(feature));
    features
}

fn is_burn(dependency: &Dependency) -> bool {
    dependency.name == "burn" || dependency.name.starts_with("burn-")
}

/// Every crate can be found, understood and tried alone.
pub(super) fn crates_are_furnished(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in crates(workspace) {
        let manifest = manifest(workspace, package);
        let directory = manifest.trim_end_matches("Cargo.toml");
        for name in ["README.md", "CHANGELOG.md"] {
            if !workspace.has(&format!("{directory}{name}")) {
                problems.push(Problem::in_file(
                    &manifest,
                    format!("the crate has no {name}"),
                ));
            }
        }
        if package
            .description
            .as_deref()
            .unwrap_or_default()
            .trim()
            .is_empty()
        {
            problems.push(Problem::in_file(
                &manifest,
                "the crate has no `description`",
            ));
        }
        // A program is tried by running it.
        let is_library = package.targets.iter().any(cargo_metadata::Target::is_lib);
        if is_library
            && !package
                .targets
                .iter()
                .any(cargo_metadata::Target::is_example)
        {
            problems.push(Problem::in_file(
                &manifest,
                "the crate has no example in `examples/`",
            ));
        }
    }
    problems
}

/// What a registry asks for, and what its visitors look at. calcine-testkit alone is not published, and what is needs no
/// version of it.
pub(super) fn crates_can_be_published(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in crates(workspace) {
        let path = manifest(workspace, package);
        let directory = path.trim_end_matches("Cargo.toml");
        let mut missing = lacking(package);
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let file = workspace.metadata.workspace_root.join(directory).join(name);
            if !is_testkit(&package.name) && !file.exists() {
                missing.push(format!("a link to `{name}` of the workspace"));
            }
        }
        for what in missing {
            problems.push(Problem::in_file(&path, format!("the crate has no {what}")));
        }
    }
    problems
}

fn is_testkit(name: &str) -> bool {
    name == "calcine-testkit"
}

/// What a package lacks to be published.
fn lacking(package: &Package) -> Vec<String> {
    let mut missing = Vec::new();
    let mut ask = |is_there: bool, what: &str| {
        if !is_there {
            missing.push(what.to_owned());
        }
    };
    let publishable = package.publish.as_ref().is_none_or(|to| !to.is_empty());
    if is_testkit(&package.name) {
        ask(!publishable, "`publish = false`");
        return missing;
    }
    ask(publishable, "`publish.workspace = true`");
    let keywords = &package.keywords;
    let short = keywords.iter().all(|word| word.len() <= 20);
    ask(
        (1..=5).contains(&keywords.len()) && short,
        "one to five `keywords` of at most 20 characters",
    );
    ask(!package.categories.is_empty(), "`categories`");
    ask(package.license.is_some(), "`license`");
    ask(package.readme.is_some(), "`readme`");
    ask(package.rust_version.is_some(), "`rust-version`");
    let is_library = |target: &cargo_metadata::Target| target.is_lib();
    if package.targets.iter().any(is_library) {
        let docs = package.metadata.pointer("/docs/rs");
        ask(docs.is_some(), "section `[package.metadata.docs.rs]`");
    }
    let testkit = package
        .dependencies
        .iter()
        .filter(|own| is_testkit(&own.name));
    for own in testkit {
        let left_out = own.kind == DependencyKind::Development && own.req.to_string() == "*";
        ask(
            left_out,
            "calcine-testkit among its dev-dependencies, without a version",
        );
    }
    missing
}

/// Crates with lints of their own, each with its reason.
const OWN_LINTS: &[(&str, &str)] = &[(
    "crates/calcine-kernels/Cargo.toml",
    "vector instructions need `unsafe`, which the workspace forbids",
)];

/// The lints of the workspace hold everywhere, but where a crate has its own for a reason.
pub(super) fn lints_are_inherited(workspace: &Workspace) -> Vec<Problem> {
    let packages = workspace.metadata.workspace_packages().into_iter();
    let manifests = packages.map(|package| manifest(workspace, package));
    let text = |path: &str| {
        let file = workspace.files.iter().find(|file| file.path == path);
        file.map_or("", |file| &file.text)
    };
    manifests
        .filter(|path| !inherits_lints(text(path)))
        .filter(|path| OWN_LINTS.iter().all(|(own, _)| own != path))
        .map(|path| Problem::in_file(&path, "add `[lints]` with `workspace = true`"))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

/// The packages in `crates/`; the others are for us.
pub(super) fn crates(workspace: &Workspace) -> Vec<&Package> {
    let mut packages = workspace.metadata.workspace_packages();
    packages.retain(|package| manifest(workspace, package).starts_with("crates/"));
    packages
}

/// The manifest of a package, from the root of the workspace.
pub(super) fn manifest(workspace: &Workspace, package: &Package) -> String {
    let root = &workspace.metadata.workspace_root;
    let path = package
        .manifest_path
        .strip_prefix(root)
        .unwrap_or(&package.manifest_path);
    path.as_str().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_insides_are_found_where_they_are_enabled_or_passed_on() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let enabled = texts(&["std", "ir", "autodiff", "extension"]);
        let passed_on = texts(&[
            "burn/capture",
            "burn-core?/ir",
            "calcine-trace/ir",
            "burn/flex",
            "ir",
        ]);
        assert_eq!(
            insides(enabled.iter(), passed_on.iter()),
            ["ir", "extension", "capture", "ir"]
        );
        assert_eq!(insides([].iter(), [].iter()), Vec::<&str>::new());
    }

    #[test]
    fn inherited_lints_are_recognized() {
        assert!(inherits_lints(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
        assert!(!inherits_lints(
            "[lints]\n\n[dependencies]\nburn = { workspace = true }\n"
        ));
    }
}
