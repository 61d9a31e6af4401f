//! [`SourceFile`]: a parsed Rust file of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file that isn't generated, without what is compiled for tests only.
pub struct SourceFile {
    /// Relative to the workspace, with `/` between folders.
    pub path: String,
    /// Its syntax tree. Items for tests are removed, here and in its modules and `impl` blocks.
    pub syntax: syn::File,
}

impl SourceFile {
    /// Parses the text of a file.
    ///
    /// # Errors
    ///
    /// Fails if the text isn't Rust.
    pub fn parse(path: String, text: &str) -> syn::Result<Self> {
        let mut syntax = syn::parse_file(text)?;
        if is_test_only(&syntax.attrs) {
            syntax.items.clear();
        }
        remove_test_items(&mut syntax.items);
        Ok(Self { path, syntax })
    }
}

/// Folders that hold no code of the product: build results, tests, fuzz targets, generated code.
const SKIPPED_FOLDERS: [&str; 7] =
    ["target", ".git", "tests", "fuzz", "benches", "examples", "generated"];

/// The folder of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Parses all production files below the workspace's folders of crates, sorted by path.
///
/// # Errors
///
/// Says which file or folder could not be read or parsed.
pub fn production_files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let mut paths = Vec::new();
    for folder in ["bench", "crates", "engines"] {
        collect_rust_files(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| located(&path, &error))?;
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let relative = relative.to_string_lossy().replace('\\', "/");
        let file = SourceFile::parse(relative, &text).map_err(|error| located(&path, &error))?;
        files.push(file);
    }
    Ok(files)
}

fn collect_rust_files(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| located(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| located(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                collect_rust_files(&path, paths)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn located(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

fn remove_test_items(items: &mut Vec<syn::Item>) {
    items.retain(|item| !is_test_only(attributes_of(item)));
    for item in items {
        match item {
            syn::Item::Mod(syn::ItemMod { content: Some((_, inner)), .. }) => {
                remove_test_items(inner);
            }
            syn::Item::Impl(block) => block.items.retain(|member| match member {
                syn::ImplItem::Fn(method) => !is_test_only(&method.attrs),
                _ => true,
            }),
            _ => {}
        }
    }
}

/// The attributes of the kinds of items that are looked at here.
fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is compiled for tests only.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().segments.last().is_some_and(|segment| segment.ident == "test") {
            return true;
        }
        let mut for_tests = false;
        if attribute.path().is_ident("cfg") {
            // Conditions other than `test` and `any(test, …)` aren't looked into.
            let _ = attribute.parse_nested_meta(|meta| {
                for_tests |= meta.path.is_ident("test");
                if meta.path.is_ident("any") {
                    meta.parse_nested_meta(|inner| {
                        for_tests |= inner.path.is_ident("test");
                        if inner.input.peek(syn::Token![=]) {
                            let _: syn::LitStr = inner.value()?.parse()?;
                        }
                        Ok(())
                    })?;
                }
                Ok(())
            });
        }
        for_tests
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for_tests(item: &str) -> bool {
        is_test_only(attributes_of(&syn::parse_str(item).unwrap()))
    }

    #[test]
    fn items_for_tests_are_recognised() {
        for test_only in
            ["#[cfg(test)] mod a {}", "#[cfg(any(test, feature = \"testing\"))] mod a {}"]
        {
            assert!(is_for_tests(test_only), "{test_only}");
        }
        for production in ["mod a {}", "#[cfg(not(test))] mod a {}", "#[cfg(unix)] mod a {}"] {
            assert!(!is_for_tests(production), "{production}");
        }
    }

    #[test]
    fn the_files_of_all_crates_are_found() {
        let files = production_files(&workspace_root()).unwrap();
        assert!(files.len() > 300, "only {} files", files.len());
        for crate_root in ["crates/core/src/lib.rs", "engines/kv/src/lib.rs"] {
            assert!(files.iter().any(|file| file.path == crate_root), "{crate_root}");
        }
        assert!(files.iter().all(|file| !file.path.contains("/tests/")));
    }
}
