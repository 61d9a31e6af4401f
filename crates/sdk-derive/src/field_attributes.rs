//! Parses `#[field(...)]`, and checks which of its options a derive macro accepts.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, LitStr};

/// The options of `#[field(...)]` on one field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) rename: Option<LitStr>,
    pub(crate) default: Option<LitStr>,
    pub(crate) required: bool,
    /// The author says that the value gives no access, whatever the field's name suggests.
    pub(crate) public: bool,
    /// Older names, in the order in which they were given.
    pub(crate) legacy: Vec<LitStr>,
    /// A document that was written with a legacy name is shown with both names.
    pub(crate) echo: bool,
}

impl FieldAttributes {
    /// Parses the attributes of the field at `field_span`.
    pub(crate) fn parse_attributes(
        attributes: &[Attribute],
        field_span: Span,
    ) -> syn::Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("field")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    found.default = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("required") {
                    found.required = true;
                } else if meta.path.is_ident("rename") {
                    found.rename = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("public") {
                    found.public = true;
                } else if meta.path.is_ident("legacy") {
                    found.legacy.push(meta.value()?.parse()?);
                } else if meta.path.is_ident("echo") {
                    found.echo = true;
                } else {
                    return Err(meta.error(
                        "unknown attribute; there are default = \"…\", required, rename = \"…\", \
                         public, legacy = \"…\" and echo",
                    ));
                }
                Ok(())
            })?;
        }
        if found.required && found.default.is_some() {
            return Err(syn::Error::new(field_span, "a required field can't have a default"));
        }
        if found.echo && found.legacy.is_empty() {
            let message = "`echo` shows a legacy name, and the field has none: `legacy = \"…\"`";
            return Err(syn::Error::new(field_span, message));
        }
        Ok(found)
    }
}
