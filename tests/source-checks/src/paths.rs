//! File paths that documents name.

use std::path::Path;

/// Folders of the workspace whose files documents may name.
const FOLDERS: [&str; 8] =
    ["crates/", "engines/", "tests/", "docs/", "bench/", "deploy/", "examples/", ".ci/"];

/// The paths in a Markdown text: what stands in backticks and begins with a folder of the workspace.
/// Patterns such as `crates/*/src` and placeholders such as `engines/<name>` aren't paths.
pub fn named_paths(markdown: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for span in markdown.split('`').skip(1).step_by(2) {
        let begins = FOLDERS.iter().any(|folder| span.starts_with(folder));
        let is_pattern = span.contains(['*', '<', '{', '…', ' ', '\n']);
        if begins && !is_pattern {
            let path = span.split("::").next().unwrap_or(span);
            paths.push(path.to_owned());
        }
    }
    paths
}

/// Those of the named paths that don't exist below the workspace.
pub fn missing_paths(markdown: &str, root: &Path) -> Vec<String> {
    let mut missing = named_paths(markdown);
    missing.retain(|path| !root.join(path).exists());
    missing
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sources::workspace_root;

    #[test]
    fn paths_stand_in_backticks_and_are_no_patterns() {
        let text = "See `crates/core/src/lib.rs`, `crates/*/src`, `engines/<name>`, `sys/mounts`.";
        assert_eq!(named_paths(text), ["crates/core/src/lib.rs"]);
        assert!(missing_paths(text, &workspace_root()).is_empty());
        assert_eq!(missing_paths("`crates/nowhere`", &workspace_root()), ["crates/nowhere"]);
    }

    #[test]
    fn the_files_that_documents_name_exist() {
        let root = workspace_root();
        let mut wrong = Vec::new();
        let mut documents = vec![
            root.join("ARCHITECTURE.md"),
            root.join("CONTRIBUTING.md"),
            root.join("README.md"),
            root.join("SECURITY.md"),
        ];
        for folder in ["docs/src/design", "docs/src/howto", "docs/src/engines"] {
            let entries = fs::read_dir(root.join(folder)).unwrap();
            documents.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let mut named = 0;
        for document in documents {
            let text = fs::read_to_string(&document).unwrap();
            named += named_paths(&text).len();
            let missing = missing_paths(&text, &root);
            wrong.extend(missing.iter().map(|path| format!("{}: {path}", document.display())));
        }
        assert!(named >= 20, "only {named} paths were found");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
