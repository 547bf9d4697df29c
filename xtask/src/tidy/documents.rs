//! What holds for Markdown.

use std::path::Path;

use super::files::has_extension;
use super::problem::Problem;
use super::workspace::Workspace;

/// A link within the repository leads somewhere.
pub(super) fn relative_links(workspace: &Workspace) -> Vec<Problem> {
    let root = workspace.metadata.workspace_root.as_std_path();
    let mut problems = Vec::new();
    for file in workspace
        .files
        .iter()
        .filter(|file| has_extension(&file.path, "md"))
    {
        let directory = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (line, target) in links(&file.text) {
            if !root.join(directory).join(&target).exists() {
                let message = format!("the link to `{target}` leads nowhere");
                problems.push(Problem::at(&file.path, line, message));
            }
        }
    }
    problems
}

/// Relative targets of links outside of code, each with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            in_code = !in_code;
        } else if !in_code {
            links.extend(targets(line).into_iter().map(|target| (number, target)));
        }
    }
    links
}

/// `[text](target)` anywhere in the line and `[name]: target` at its start.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect();
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|after| after.split([')', ' ']).next());
    let named = prose
        .split_once("]: ")
        .filter(|(name, _)| name.starts_with('['));
    let named = named.and_then(|(_, after)| after.split_whitespace().next());
    inline.chain(named).filter_map(relative).collect()
}

/// The file a target names, unless it is an address, an anchor or an item of rustdoc.
fn relative(target: &str) -> Option<String> {
    let target = target.trim_matches(['<', '>']);
    let elsewhere =
        target.contains("://") || target.contains("::") || target.starts_with("mailto:");
    let path = target.split('#').next().unwrap_or(target);
    (!elsewhere && !path.is_empty()).then(|| path.replace("%20", " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found_with_their_lines() {
        let text = "[a](x.md#top) and [b](../y \"title\")\n\n[c]: <z.md>\n![d](p%20q.png)\n";
        let found = links(text);
        let expected = [(1, "x.md"), (1, "../y"), (3, "z.md"), (4, "p q.png")];
        assert_eq!(
            found,
            expected.map(|(line, target)| (line, target.to_owned()))
        );
    }

    #[test]
    fn addresses_anchors_items_and_code_are_no_files() {
        let text = "[a](https://example.org) [b](#top) [c](crate::Curve) `[d](x)`\n\
                    ```\n[e](y)\n```\n[f]: mailto:someone@example.org\n";
        assert_eq!(links(text), []);
    }
}
