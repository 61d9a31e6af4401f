//! [`DocFigures`]: how much the documentation of public items says, in figures.

use std::fmt;

use syn::visit::Visit;

use crate::sources::SourceFile;

/// A public item and its documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedItem {
    /// The file, relative to the workspace.
    pub file: String,
    /// The item's identifier.
    pub name: String,
    /// Its doc comment, lines joined by spaces; empty if there is none.
    pub text: String,
}

/// Figures of the documentation of public items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocFigures {
    /// How many public items there are.
    pub items: usize,
    /// Words of the doc comment in the middle when they are sorted by length.
    pub median_words: usize,
    /// Doc comments of four words or fewer.
    pub too_short: usize,
}

/// A doc comment of this many words or fewer says hardly more than the name.
const TOO_SHORT_WORDS: usize = 4;

/// The public items of these files: types, functions and methods, constants, traits with their
/// methods. Fields and variants are left out, since their type explains most of them.
pub fn public_items(files: &[SourceFile]) -> Vec<DocumentedItem> {
    let mut items = Vec::new();
    for file in files {
        ItemCollector { file: &file.path, items: &mut items }.visit_file(&file.syntax);
    }
    items
}

impl DocumentedItem {
    fn word_count(&self) -> usize {
        self.text.split_whitespace().count()
    }

    fn is_too_short(&self) -> bool {
        self.word_count() <= TOO_SHORT_WORDS
    }
}

impl DocFigures {
    /// The figures of these items.
    pub fn of(items: &[DocumentedItem]) -> Self {
        let mut words: Vec<usize> = items.iter().map(DocumentedItem::word_count).collect();
        words.sort_unstable();
        let too_short = items.iter().filter(|item| item.is_too_short()).count();
        let median_words = words.get(words.len() / 2).copied().unwrap_or_default();
        Self { items: items.len(), median_words, too_short }
    }
}

impl fmt::Display for DocFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, median_words, too_short } = self;
        write!(
            f,
            "docs of {items} public items: {median_words} words at the median, {too_short} of \
             {TOO_SHORT_WORDS} words or fewer"
        )
    }
}

struct ItemCollector<'a> {
    file: &'a str,
    items: &'a mut Vec<DocumentedItem>,
}

impl ItemCollector<'_> {
    fn add(&mut self, visibility: &syn::Visibility, ident: &syn::Ident, attrs: &[syn::Attribute]) {
        if matches!(visibility, syn::Visibility::Public(_)) {
            let (file, name) = (self.file.to_owned(), ident.to_string());
            self.items.push(DocumentedItem { file, name, text: doc_text(attrs) });
        }
    }
}

impl<'ast> Visit<'ast> for ItemCollector<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.vis, &item.sig.ident, &item.attrs);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.vis, &item.ident, &item.attrs);
        for member in &item.items {
            if let syn::TraitItem::Fn(function) = member {
                self.add(&item.vis, &function.sig.ident, &function.attrs);
            }
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_some() {
            return;
        }
        for member in &item.items {
            if let syn::ImplItem::Fn(function) = member {
                self.add(&function.vis, &function.sig.ident, &function.attrs);
            }
        }
    }
}

fn doc_text(attrs: &[syn::Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{production_files, workspace_root};

    #[test]
    fn public_items_are_collected_with_their_docs() {
        let text = "/// One two\n/// three.\npub struct A;\nstruct B;\nimpl A {\n/// Four.\npub fn f() {}\n}\nimpl Clone for A { fn clone(&self) -> Self { Self } }";
        let file = SourceFile::parse("a.rs".into(), text).unwrap();
        let items = public_items(&[file]);
        let found: Vec<_> = items.iter().map(|it| (it.name.as_str(), it.text.as_str())).collect();
        assert_eq!(found, [("A", "One two three."), ("f", "Four.")]);
        let figures = DocFigures::of(&items);
        assert_eq!(figures, DocFigures { items: 2, median_words: 3, too_short: 2 });
    }

    /// The limits that CONTRIBUTING.md states.
    #[test]
    fn docs_of_public_items_stay_within_the_limits() {
        let files = production_files(&workspace_root()).unwrap();
        let items = public_items(&files);
        let figures = DocFigures::of(&items);
        assert!(figures.median_words >= 15, "{figures}");
        assert_eq!(TOO_SHORT_WORDS, 4);
        let short = items.iter().filter(|item| item.is_too_short());
        let short: Vec<_> = short.map(|item| format!("{}: {}", item.file, item.name)).collect();
        assert!(short.is_empty(), "{figures}\n{}", short.join("\n"));
    }
}
