//! The book's glossary: Vault's term, our type or function, and the file that defines it.

use std::fs;
use std::path::Path;

/// A row of the glossary that names something in the sources.
#[derive(Debug, PartialEq, Eq)]
pub struct GlossaryEntry {
    /// Vault's term.
    pub term: String,
    /// The identifier of our type, function or module.
    pub item: String,
    /// The file that defines it, relative to the workspace.
    pub file: String,
}

/// Reads the rows of the tables in a glossary. A row is `| term | `item` | `file` | …`.
pub fn entries(markdown: &str) -> Vec<GlossaryEntry> {
    let mut entries = Vec::new();
    for line in markdown.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if let [term, item, file, ..] = cells.as_slice()
            && let (Some(item), Some(file)) = (in_backticks(item), in_backticks(file))
        {
            entries.push(GlossaryEntry { term: (*term).to_owned(), item, file });
        }
    }
    entries
}

fn in_backticks(cell: &str) -> Option<String> {
    Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned())
}

/// What is wrong with an entry: its file doesn't exist or doesn't define the item.
pub fn problem_with(entry: &GlossaryEntry, root: &Path) -> Option<String> {
    let Ok(text) = fs::read_to_string(root.join(&entry.file)) else {
        return Some(format!("{}: there is no file {}", entry.term, entry.file));
    };
    let name = entry.item.rsplit("::").next().unwrap_or(&entry.item).trim_end_matches("()");
    let defines = ["struct", "enum", "trait", "fn", "mod", "type", "const"].iter().any(|keyword| {
        let definition = format!("{keyword} {name}");
        text.match_indices(&definition).any(|(at, _)| {
            let next = text.get(at + definition.len()..).and_then(|rest| rest.chars().next());
            !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    });
    (!defines).then(|| format!("{}: {} doesn't define {}", entry.term, entry.file, entry.item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::workspace_root;

    #[test]
    fn rows_with_an_item_and_a_file_are_entries() {
        let table = "| Term | Here | File |\n|---|---|---|\n| lease | `Lease` | `a.rs` | text |\n";
        let lease =
            GlossaryEntry { term: "lease".into(), item: "Lease".into(), file: "a.rs".into() };
        assert_eq!(entries(table), [lease]);
    }

    #[test]
    fn a_missing_file_and_a_missing_item_are_problems() {
        let entry = |item: &str, file: &str| GlossaryEntry {
            term: "t".into(),
            item: item.into(),
            file: file.into(),
        };
        let this = "tests/source-checks/src/glossary.rs";
        let root = workspace_root();
        assert_eq!(problem_with(&entry("GlossaryEntry", this), &root), None);
        assert_eq!(problem_with(&entry("entries()", this), &root), None);
        assert!(problem_with(&entry("Glossary", this), &root).is_some());
        assert!(problem_with(&entry("GlossaryEntry", "nowhere.rs"), &root).is_some());
    }

    #[test]
    fn the_glossary_names_what_the_sources_define() {
        let root = workspace_root();
        let glossary = fs::read_to_string(root.join("docs/src/glossary.md")).unwrap();
        let entries = entries(&glossary);
        assert!(entries.len() >= 30, "only {} entries", entries.len());
        let problems: Vec<_> =
            entries.iter().filter_map(|entry| problem_with(entry, &root)).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
