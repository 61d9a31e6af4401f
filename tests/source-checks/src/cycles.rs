//! [`ModuleGraph`]: which modules of a crate import which, and the cycles among them.
//!
//! A module may import its parent, which imports it: they are parts of one thing, and such imports
//! are left out. Any other cycle joins modules that can only be understood together.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::sources::SourceFile;

/// The modules of one crate, by path: `""` for the crate root, `"a::b"` for `src/a/b.rs`.
#[derive(Debug, Default)]
pub struct ModuleGraph {
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl ModuleGraph {
    /// Reads the graph of the crate in this folder, such as `crates/core`. Only whole files are
    /// modules here; inline modules belong to their file, and test code is left out.
    pub fn of(crate_folder: &str, files: &[SourceFile]) -> Self {
        let source_folder = format!("{crate_folder}/src/");
        let modules: BTreeMap<String, &SourceFile> = files
            .iter()
            .filter_map(|file| Some((module_path(file.path.strip_prefix(&source_folder)?), file)))
            .collect();
        let names: BTreeSet<String> = modules.keys().cloned().collect();
        let collected: BTreeMap<&String, PathCollector<'_>> = modules
            .iter()
            .map(|(module, file)| {
                let mut paths = PathCollector::new(module, &names);
                paths.visit_file(&file.syntax);
                (module, paths)
            })
            .collect();
        let mut imports = BTreeMap::new();
        for (module, paths) in &collected {
            let targets = paths.used.iter().map(|path| defining_module(path, &names, &collected));
            let parent = parent_of(module);
            let counts = |target: &String| target != *module && Some(target.as_str()) != parent;
            let targets = targets.filter(counts).collect();
            imports.insert((*module).clone(), targets);
        }
        Self { imports }
    }

    /// The cycles among the modules, largest first. Imports of a module's own parent don't count.
    pub fn cycles(&self) -> Vec<BTreeSet<String>> {
        let mut cycles: Vec<BTreeSet<String>> = Vec::new();
        let mut assigned = BTreeSet::new();
        let reachable: BTreeMap<&String, BTreeSet<&String>> =
            self.imports.keys().map(|module| (module, self.reachable_from(module))).collect();
        for (module, reached) in &reachable {
            if assigned.contains(*module) {
                continue;
            }
            let back =
                |other: &&&String| reachable.get(**other).is_some_and(|all| all.contains(module));
            let mut cycle: BTreeSet<String> =
                reached.iter().filter(back).map(|other| (*other).clone()).collect();
            cycle.insert((*module).clone());
            assigned.extend(cycle.iter().cloned());
            if cycle.len() > 1 {
                cycles.push(cycle);
            }
        }
        cycles.sort_by_key(|cycle| std::cmp::Reverse(cycle.len()));
        cycles
    }

    fn reachable_from<'a>(&'a self, start: &'a String) -> BTreeSet<&'a String> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![start];
        while let Some(module) = waiting.pop() {
            for target in self.imports.get(module).into_iter().flatten() {
                if reached.insert(target) {
                    waiting.push(target);
                }
            }
        }
        reached
    }
}

fn parent_of(module: &str) -> Option<&str> {
    match module.rsplit_once("::") {
        Some((parent, _)) => Some(parent),
        None if module.is_empty() => None,
        None => Some(""),
    }
}

/// The path of the module in a file relative to `src/`.
fn module_path(file: &str) -> String {
    let path = file.trim_end_matches(".rs").replace('/', "::");
    match path.as_str() {
        "lib" | "main" => String::new(),
        path => path.strip_suffix("::mod").unwrap_or(path).to_owned(),
    }
}

/// The module in which a path from the crate root ends. A name that a module re-exports leads on to
/// where it comes from, so that importing it isn't an import of the module that re-exports it.
fn defining_module(
    path: &[String],
    modules: &BTreeSet<String>,
    collected: &BTreeMap<&String, PathCollector<'_>>,
) -> String {
    let mut path = path.to_vec();
    // A chain of re-exports is no longer than this.
    for _ in 0..8 {
        let mut module = String::new();
        let mut rest = path.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let child =
                if module.is_empty() { first.clone() } else { format!("{module}::{first}") };
            if !modules.contains(&child) {
                break;
            }
            (module, rest) = (child, behind);
        }
        let Some((name, behind)) = rest.split_first() else { return module };
        let exported = collected.get(&module).and_then(|paths| paths.reexports.get(name));
        match exported {
            Some(target) if *target != path => path = [target.as_slice(), behind].concat(),
            _ => return module,
        }
    }
    String::new()
}

/// Collects the paths into the own crate that a file names outside of tests, each as the segments
/// from the crate root.
struct PathCollector<'a> {
    module: &'a str,
    /// All modules of the crate.
    modules: &'a BTreeSet<String>,
    used: BTreeSet<Vec<String>>,
    /// What the module re-exports, by name.
    reexports: BTreeMap<String, Vec<String>>,
}

impl<'a> PathCollector<'a> {
    fn new(module: &'a str, modules: &'a BTreeSet<String>) -> Self {
        Self { module, modules, used: BTreeSet::new(), reexports: BTreeMap::new() }
    }

    fn add_use(&mut self, prefix: &[String], tree: &syn::UseTree, is_reexport: bool) {
        let extended = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                return self.add_use(&extended(&path.ident), &path.tree, is_reexport);
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.add_use(prefix, item, is_reexport);
                }
                return;
            }
            syn::UseTree::Glob(_) => (prefix.to_vec(), None),
            syn::UseTree::Name(name) => (extended(&name.ident), Some(name.ident.to_string())),
            syn::UseTree::Rename(rename) => {
                (extended(&rename.ident), Some(rename.rename.to_string()))
            }
        };
        let Some(path) = self.resolve(&path) else { return };
        match name {
            Some(name) if is_reexport => _ = self.reexports.insert(name, path),
            _ => _ = self.used.insert(path),
        }
    }

    /// The path from the crate root, if it begins with `crate`, `self`, `super` or a child of this
    /// module. Others lead to other crates or to what was imported already.
    fn resolve(&self, segments: &[String]) -> Option<Vec<String>> {
        let first = segments.first()?;
        let own: Vec<String> =
            self.module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let child = [own.as_slice(), std::slice::from_ref(first)].concat().join("::");
        let mut path = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => own,
            _ if self.modules.contains(&child) => own,
            _ => return None,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => _ = path.pop(),
                name => path.push(name.to_owned()),
            }
        }
        Some(path)
    }
}

impl<'ast> Visit<'ast> for PathCollector<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_use(&[], &item.tree, is_reexport);
    }

    /// In an inline module `self` and `super` would mean something else; ours have none but tests.
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    /// Who may see an item is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.used.extend(self.resolve(&segments));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{production_files, workspace_root};

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::parse(path.into(), text).unwrap()
    }

    fn graph(files: &[SourceFile]) -> ModuleGraph {
        ModuleGraph::of("crates/a", files)
    }

    #[test]
    fn a_cycle_of_cousins_is_found_and_one_of_a_family_is_not() {
        let root = file("crates/a/src/lib.rs", "mod x; mod y; pub use x::X;");
        let family = [
            file("crates/a/src/x/mod.rs", "use x::z::Z;"),
            file("crates/a/src/x/z.rs", "use super::X;"),
        ];
        assert!(graph(&family).cycles().is_empty());
        let cousins = [
            root,
            file("crates/a/src/x/mod.rs", "use crate::y::Y;"),
            file("crates/a/src/y.rs", "fn f() { crate::x::f(); }"),
        ];
        let cycles = graph(&cousins).cycles();
        assert_eq!(cycles, [BTreeSet::from(["x".to_owned(), "y".to_owned()])]);
    }

    #[test]
    fn imports_of_tests_and_of_other_crates_do_not_count() {
        let files = [
            file(
                "crates/a/src/x.rs",
                "#[cfg(test)] mod tests { use crate::y::Y; } use other::y::Y;",
            ),
            file("crates/a/src/y.rs", "use crate::x::X;"),
        ];
        assert!(graph(&files).cycles().is_empty());
    }

    #[test]
    fn a_reexport_leads_to_where_the_name_comes_from() {
        let files = [
            file("crates/a/src/lib.rs", "mod x; mod y; pub use x::X; fn f() { y::f(); }"),
            file("crates/a/src/x.rs", "use crate::y::Y;"),
            file("crates/a/src/y.rs", "use crate::X as Other;"),
        ];
        let cycles = graph(&files).cycles();
        assert_eq!(cycles, [BTreeSet::from(["x".to_owned(), "y".to_owned()])]);
    }

    #[test]
    fn no_crate_has_import_cycles() {
        let files = production_files(&workspace_root()).unwrap();
        let folders: BTreeSet<String> = files
            .iter()
            .filter_map(|file| file.path.split_once("/src/").map(|(folder, _)| folder.to_owned()))
            .collect();
        assert!(folders.len() > 20, "only {} crates", folders.len());
        let mut wrong = Vec::new();
        for folder in &folders {
            if let Some(cycle) = ModuleGraph::of(folder, &files).cycles().first() {
                wrong.push(format!("{folder}: {cycle:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
