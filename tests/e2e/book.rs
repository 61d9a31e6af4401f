//! The book: what it links to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom_testkit::programs::repository_root;

/// Pages outside of the book that a reader begins with.
const ENTRY_PAGES: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    "deploy/README.md",
];

#[test]
fn every_link_leads_somewhere() {
    let book = repository_root().join("docs/src");
    let mut pages = markdown_files(&book);
    pages.extend(ENTRY_PAGES.map(|page| repository_root().join(page)));
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in link_targets(&text) {
            let name = page.strip_prefix(repository_root()).unwrap().display().to_string();
            followed += 1;
            if let Err(why) = check_link(page, &text, &link) {
                broken.push(format!("{name}: {link}: {why}"));
            }
        }
    }
    assert!(followed > 30, "only {followed} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// From the summary on.
#[test]
fn every_page_can_be_reached() {
    let book = repository_root().join("docs/src");
    let mut reached = BTreeSet::new();
    let mut to_read = vec![book.join("SUMMARY.md")];
    while let Some(page) = to_read.pop() {
        let page = page.canonicalize().unwrap();
        let is_page = page.starts_with(book.canonicalize().unwrap());
        if is_page && reached.insert(page.clone()) {
            let text = fs::read_to_string(&page).unwrap();
            let paths = link_targets(&text).into_iter().filter(|link| !link.starts_with('#'));
            let path = |link: String| page.parent().unwrap().join(link.split('#').next().unwrap());
            to_read.extend(paths.map(path));
        }
    }
    let all = markdown_files(&book).iter().map(|page| page.canonicalize().unwrap()).collect();
    assert_eq!(reached, all);
}

#[test]
fn broken_links_are_detected() {
    let text =
        "# A title\n[a](b.md) and [c](d.md#e-f)\n`[not](x)`\n```\n[nor](y)\n```\n[u](https://u)";
    assert_eq!(link_targets(text), ["b.md", "d.md#e-f"]);
    let page = repository_root().join("docs/src/SUMMARY.md");
    assert!(check_link(&page, text, "#a-title").is_ok());
    assert!(check_link(&page, text, "#another").is_err());
    assert!(check_link(&page, text, "missing.md").is_err());
    assert!(check_link(&page, text, "reference/listener.md#sizes").is_ok());
    assert!(check_link(&page, text, "reference/listener.md#shapes").is_err());
}

fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(markdown_files(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The targets of a page's links that stay in the repository.
fn link_targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in lines_outside_code(text) {
        // What stands between two backquotes is no link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in plain.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if !target.contains("://") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The lines that stand in no block.
fn lines_outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

fn check_link(page: &Path, text: &str, link: &str) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = page.parent().unwrap().join(path);
    let there = if path.is_empty() {
        text.to_owned()
    } else if target.is_dir() {
        return Ok(());
    } else {
        fs::read_to_string(&target).map_err(|error| error.to_string())?
    };
    let is_title = |line: &str| line.starts_with('#') && heading_slug(line) == anchor;
    if anchor.is_empty() || lines_outside_code(&there).any(is_title) {
        Ok(())
    } else {
        Err("no such title".to_owned())
    }
}

/// A title as mdBook names it in links.
fn heading_slug(title: &str) -> String {
    let text = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|it| it.is_alphanumeric() || matches!(it, '-' | '_')).collect()
}
