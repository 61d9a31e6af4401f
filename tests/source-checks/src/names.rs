//! [`NameFigures`]: how telling the names of types and functions are, in figures.
//!
//! The figures are indicators. A longer name that says no more is worse than a short one, so a name
//! is never made longer for their sake.

use std::collections::BTreeMap;
use std::fmt;

use syn::visit::{self, Visit};

use crate::sources::SourceFile;

/// Type names that every crate or engine has by convention, and which may therefore be shared.
const CONVENTIONAL: [&str; 6] = ["Error", "Options", "Config", "Role", "Settings", "Input"];

/// The names that the production files define.
#[derive(Debug, Default)]
pub struct DefinedNames {
    /// Structs, enums and traits, each with the file that defines it.
    pub types: Vec<DefinedName>,
    /// Functions and methods, those of trait implementations included.
    pub functions: Vec<DefinedName>,
    /// Methods that belong to no trait. They are among the functions too.
    pub inherent_methods: Vec<DefinedName>,
}

/// A name and where it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinedName {
    /// The identifier.
    pub name: String,
    /// The file, relative to the workspace.
    pub file: String,
}

/// Shares in percent, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameFigures {
    /// Type names of a single word.
    pub single_word_types: usize,
    /// Types that have the same name as another type, conventional names left out.
    pub types_sharing_a_name: usize,
    /// Function names of a single word.
    pub single_word_functions: usize,
}

impl DefinedNames {
    /// Collects what these files define outside of tests.
    pub fn of(files: &[SourceFile]) -> Self {
        let mut names = Self::default();
        for file in files {
            NameCollector { file: &file.path, names: &mut names }.visit_file(&file.syntax);
        }
        names
    }

    /// The names of several types, with how many have each; conventional names left out.
    pub fn shared_type_names(&self) -> BTreeMap<&str, usize> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for defined in &self.types {
            *counts.entry(&defined.name).or_default() += 1;
        }
        counts.retain(|name, count| *count > 1 && !CONVENTIONAL.contains(name));
        counts
    }

    /// The figures of these names.
    pub fn figures(&self) -> NameFigures {
        let single_word = |names: &[DefinedName]| {
            names.iter().filter(|defined| word_count(&defined.name) == 1).count()
        };
        let shared = self.shared_type_names().values().sum();
        NameFigures {
            single_word_types: percent(single_word(&self.types), self.types.len()),
            types_sharing_a_name: percent(shared, self.types.len()),
            single_word_functions: percent(single_word(&self.functions), self.functions.len()),
        }
    }
}

impl fmt::Display for NameFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "type names of a single word      {:>3} %", self.single_word_types)?;
        writeln!(f, "types that share their name      {:>3} %", self.types_sharing_a_name)?;
        write!(f, "function names of a single word  {:>3} %", self.single_word_functions)
    }
}

struct NameCollector<'a> {
    file: &'a str,
    names: &'a mut DefinedNames,
}

impl NameCollector<'_> {
    fn defined(&self, ident: &syn::Ident) -> DefinedName {
        DefinedName { name: ident.to_string(), file: self.file.to_owned() }
    }

    fn add_type(&mut self, ident: &syn::Ident) {
        self.names.types.push(self.defined(ident));
    }

    fn add_function(&mut self, ident: &syn::Ident) {
        self.names.functions.push(self.defined(ident));
    }
}

impl<'ast> Visit<'ast> for NameCollector<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        for member in item.items.iter().filter(|_| item.trait_.is_none()) {
            if let syn::ImplItem::Fn(method) = member {
                self.names.inherent_methods.push(self.defined(&method.sig.ident));
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_type(&item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_type(&item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add_function(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add_function(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        // What is only declared is counted where it is implemented.
        if item.default.is_some() {
            self.add_function(&item.sig.ident);
        }
    }
}

/// The words of `snake_case` or `CamelCase`; an acronym such as `URL` is one word.
fn word_count(name: &str) -> usize {
    let mut words = 0;
    let mut previous = '_';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins_word = letter != '_'
            && (previous == '_'
                || (letter.is_uppercase() && (!previous.is_uppercase() || next_is_lower)));
        words += usize::from(begins_word);
        previous = letter;
    }
    words
}

fn percent(part: usize, whole: usize) -> usize {
    (part * 100).div_ceil(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{production_files, workspace_root};

    fn file(text: &str) -> SourceFile {
        SourceFile::parse("a.rs".to_owned(), text).unwrap()
    }

    #[test]
    fn words_are_counted_in_both_cases_of_rust() {
        for (name, words) in [
            ("Lease", 1),
            ("LeaseId", 2),
            ("URL", 1),
            ("URLPath", 2),
            ("KvV2", 2),
            ("revoke", 1),
            ("revoke_expired", 2),
            ("_unused", 1),
        ] {
            assert_eq!(word_count(name), words, "{name}");
        }
    }

    #[test]
    fn figures_leave_out_tests_and_conventional_names() {
        let files = [
            file("struct Error; struct Lease; struct LeaseId; #[cfg(test)] mod t { struct Got; }"),
            file("struct Error; struct Lease; impl Lease { fn id(&self) {} fn find_all() {} }"),
        ];
        let names = DefinedNames::of(&files);
        assert_eq!(names.types.len(), 5);
        assert_eq!(names.shared_type_names(), [("Lease", 2)].into());
        let figures = names.figures();
        assert_eq!(figures.single_word_types, 80);
        assert_eq!(figures.types_sharing_a_name, 40);
        assert_eq!(figures.single_word_functions, 50);
    }

    /// Whoever reads `x.expect(…)` or searches for `unwrap` means those of the standard library.
    const METHODS_OF_OPTION_AND_RESULT: [&str; 20] = [
        "and_then",
        "as_deref",
        "err",
        "expect",
        "filter",
        "flatten",
        "is_err",
        "is_none",
        "is_ok",
        "is_some",
        "map",
        "map_err",
        "map_or",
        "ok",
        "ok_or",
        "or_else",
        "transpose",
        "unwrap",
        "unwrap_or",
        "zip",
    ];

    #[test]
    fn no_method_is_named_like_one_of_option_or_result() {
        let files = production_files(&workspace_root()).unwrap();
        let methods = DefinedNames::of(&files).inherent_methods;
        assert!(methods.len() > 1000, "only {} methods were read", methods.len());
        let like_theirs =
            |method: &&DefinedName| METHODS_OF_OPTION_AND_RESULT.contains(&method.name.as_str());
        let found: Vec<_> = methods.iter().filter(like_theirs).collect();
        assert!(found.is_empty(), "{found:?}");
    }

    /// The limits that CONTRIBUTING.md states. Lower them when the figures have become better.
    #[test]
    fn names_stay_within_the_limits() {
        let files = production_files(&workspace_root()).unwrap();
        let figures = DefinedNames::of(&files).figures();
        assert!(figures.single_word_types <= 35, "{figures}");
        assert!(figures.types_sharing_a_name <= 20, "{figures}");
        assert!(figures.single_word_functions <= 50, "{figures}");
    }
}
