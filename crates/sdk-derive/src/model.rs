//! Parses a struct and its attributes for the derive macros.

use std::collections::BTreeSet;
use std::iter;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Fields, Ident, Lit, LitStr, Meta, Type};

use crate::field_attributes::FieldAttributes;

/// A struct with named fields and its parsed attributes.
pub(crate) struct StructModel {
    pub(crate) names: NamesModule,
    pub(crate) name: Ident,
    pub(crate) help: String,
    pub(crate) document: DocumentAttributes,
    pub(crate) fields: Vec<FieldModel>,
}

/// The module with the names that the generated code uses.
#[derive(Clone, Copy)]
pub(crate) enum NamesModule {
    /// That of the SDK, for crates that depend on it.
    Sdk,
    /// That of `strongroom-schema`, for crates that don't depend on the SDK.
    Schema,
}

impl NamesModule {
    /// The path of the module, with the place that errors of the generated code point to.
    pub(crate) fn path_at(self, span: Span) -> TokenStream {
        match self {
            Self::Sdk => quote_spanned!(span => ::strongroom_sdk::__private),
            Self::Schema => quote_spanned!(span => ::strongroom_schema::__private),
        }
    }

    /// [`path_at`](Self::path_at) the derive attribute.
    pub(crate) fn path(self) -> TokenStream {
        self.path_at(Span::call_site())
    }
}

/// The options of `#[document(...)]`.
#[derive(Default)]
pub(crate) struct DocumentAttributes {
    pub(crate) path: Option<LitStr>,
    pub(crate) seal_wrap: bool,
    pub(crate) local: bool,
    pub(crate) root: bool,
    pub(crate) internal_key: bool,
    pub(crate) replace: bool,
    pub(crate) folds_case: bool,
    pub(crate) validate: Option<syn::Path>,
    pub(crate) write_hook: bool,
    pub(crate) read_hook: bool,
    pub(crate) delete_hook: bool,
}

/// One field and the options of its `#[field(...)]`.
pub(crate) struct FieldModel {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) attributes: FieldAttributes,
}

impl StructModel {
    pub(crate) fn parse(input: DeriveInput, names: NamesModule) -> syn::Result<Self> {
        let span = input.span();
        if !input.generics.params.is_empty() {
            return Err(syn::Error::new(
                input.generics.span(),
                "generic structs are not supported",
            ));
        }
        let Data::Struct(data) = input.data else {
            return Err(syn::Error::new(span, "only structs can be derived"));
        };
        let fields = match data.fields {
            Fields::Named(named) => {
                named.named.into_iter().map(FieldModel::parse_field).collect::<Result<_, _>>()?
            }
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => return Err(syn::Error::new(span, "the fields need names")),
        };
        check_unique_names(&fields)?;
        let document = DocumentAttributes::parse_attributes(&input.attrs)?;
        Ok(Self { names, name: input.ident, help: doc_comment(&input.attrs), document, fields })
    }

    /// Rejects the options of `#[document(...)]` that a group of fields can't have: all but
    /// `validate`.
    pub(crate) fn check_group_options(&self) -> syn::Result<()> {
        let DocumentAttributes {
            path,
            seal_wrap,
            local,
            root,
            internal_key,
            replace,
            folds_case,
            write_hook,
            read_hook,
            delete_hook,
            ..
        } = &self.document;
        let flags = [
            seal_wrap,
            local,
            root,
            internal_key,
            replace,
            folds_case,
            write_hook,
            read_hook,
            delete_hook,
        ];
        if path.is_some() || flags.into_iter().any(|flag| *flag) {
            let message = "a group of fields takes only #[document(validate = function)]";
            return Err(syn::Error::new(self.name.span(), message));
        }
        Ok(())
    }

    /// Rejects `keep` in a document that merges, where every field is kept.
    pub(crate) fn check_kept_fields(&self) -> syn::Result<()> {
        match self.fields.iter().find(|field| field.attributes.keep && !self.document.replace) {
            Some(field) => {
                let message = "a write keeps every field that it doesn't contain; `keep` is for \
                               documents that a write replaces: #[document(…, replace)]";
                Err(syn::Error::new(field.ident.span(), message))
            }
            None => Ok(()),
        }
    }

    /// Rejects `listed` in a document that is not in a collection.
    pub(crate) fn check_listed_fields(&self) -> syn::Result<()> {
        let path = self.document.path.as_ref().map(LitStr::value).unwrap_or_default();
        match self.fields.iter().find(|field| field.attributes.listed && !path.ends_with('}')) {
            Some(field) => {
                let message = "only the documents of a collection are listed, whose path ends in a \
                               capture such as `{name}`";
                Err(syn::Error::new(field.ident.span(), message))
            }
            None => Ok(()),
        }
    }

    /// Rejects options of fields that have a meaning in documents only.
    pub(crate) fn check_no_document_options(&self) -> syn::Result<()> {
        for field in &self.fields {
            if let Some(option) = field.attributes.document_option() {
                let message = format!("`{option}` is for fields of documents");
                return Err(syn::Error::new(field.ident.span(), message));
            }
        }
        Ok(())
    }
}

/// Rejects two fields of the same name, which `rename` and `legacy` can cause; they would overwrite
/// each other.
fn check_unique_names(fields: &[FieldModel]) -> syn::Result<()> {
    let mut taken = BTreeSet::new();
    for field in fields {
        let legacy = field.attributes.legacy.iter().map(|text| (text.value(), text.span()));
        for (name, span) in iter::once((field.name.clone(), field.ident.span())).chain(legacy) {
            if taken.contains(&name) {
                let message = format!("another field has the name `{name}` already");
                return Err(syn::Error::new(span, message));
            }
            taken.insert(name);
        }
    }
    Ok(())
}

impl DocumentAttributes {
    fn parse_attributes(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("document")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("path") {
                    found.path = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("seal_wrap") {
                    found.seal_wrap = true;
                } else if meta.path.is_ident("local") {
                    found.local = true;
                } else if meta.path.is_ident("root") {
                    found.root = true;
                } else if meta.path.is_ident("internal_key") {
                    found.internal_key = true;
                } else if meta.path.is_ident("replace") {
                    found.replace = true;
                } else if meta.path.is_ident("folds_case") {
                    found.folds_case = true;
                } else if meta.path.is_ident("validate") {
                    found.validate = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("WriteHook") {
                    found.write_hook = true;
                } else if meta.path.is_ident("ReadHook") {
                    found.read_hook = true;
                } else if meta.path.is_ident("DeleteHook") {
                    found.delete_hook = true;
                } else {
                    return Err(meta.error(
                        "unknown attribute; there are path = \"…\", seal_wrap, local, root, internal_key, replace, folds_case, validate = function, WriteHook, ReadHook and DeleteHook",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

impl FieldModel {
    fn parse_field(field: syn::Field) -> syn::Result<Self> {
        let span = field.span();
        let Some(ident) = field.ident else {
            return Err(syn::Error::new(span, "the fields need names"));
        };
        let attributes = FieldAttributes::parse_attributes(&field.attrs, span)?;
        let name = attributes.rename.as_ref().map_or_else(|| ident.to_string(), LitStr::value);
        let help = doc_comment(&field.attrs);
        Ok(Self { ident, ty: field.ty, name, help, attributes })
    }
}

/// The lines of the documentation comment, joined by spaces.
fn doc_comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}
