//! Parses `#[field(...)]`, and checks that its options don't exclude each other.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr};

/// The options of `#[field(display(...))]`.
#[derive(Default)]
pub(crate) struct DisplayOptions {
    is_set: bool,
    pub(crate) name: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) value: Option<LitStr>,
    pub(crate) group: Option<LitStr>,
    pub(crate) edit_type: Option<LitStr>,
    pub(crate) sensitive: bool,
}

impl DisplayOptions {
    fn parse(meta: &ParseNestedMeta<'_>) -> syn::Result<Self> {
        let mut found = Self { is_set: true, ..Self::default() };
        meta.parse_nested_meta(|option| {
            let place = if option.path.is_ident("sensitive") {
                found.sensitive = true;
                return Ok(());
            } else if option.path.is_ident("name") {
                &mut found.name
            } else if option.path.is_ident("description") {
                &mut found.description
            } else if option.path.is_ident("value") {
                &mut found.value
            } else if option.path.is_ident("group") {
                &mut found.group
            } else if option.path.is_ident("edit_type") {
                &mut found.edit_type
            } else {
                return Err(option.error(
                    "unknown attribute; display takes name = \"…\", description = \"…\", \
                     value = \"…\", group = \"…\", edit_type = \"…\" and sensitive",
                ));
            };
            *place = Some(option.value()?.parse()?);
            Ok(())
        })?;
        Ok(found)
    }
}

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
    /// Older names of an embedded group's fields, each with the current name.
    pub(crate) group_legacy: Vec<(LitStr, LitStr)>,
    /// A document that was written with a legacy name is shown with both names.
    pub(crate) echo: bool,
    /// Only the engine sets the field; a client's value is ignored.
    pub(crate) internal: bool,
    /// A write that replaces the document keeps the stored value if it doesn't contain the field.
    pub(crate) keep: bool,
    /// The field is left out when a document is read.
    pub(crate) hidden: bool,
    /// A list of the collection shows the field for each document.
    pub(crate) listed: bool,
    /// How user interfaces present the field.
    pub(crate) display: DisplayOptions,
    /// A function that checks the value before a client's write is stored.
    pub(crate) check: Option<syn::Path>,
    /// The type is a group, whose fields are those of this struct.
    pub(crate) embed: bool,
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
                } else if meta.path.is_ident("legacy") && meta.input.peek(syn::token::Paren) {
                    meta.parse_nested_meta(|pair| {
                        let current = pair.path.require_ident()?;
                        let current = LitStr::new(&current.to_string(), current.span());
                        found.group_legacy.push((current, pair.value()?.parse()?));
                        Ok(())
                    })?;
                } else if meta.path.is_ident("legacy") {
                    found.legacy.push(meta.value()?.parse()?);
                } else if meta.path.is_ident("echo") {
                    found.echo = true;
                } else if meta.path.is_ident("internal") {
                    found.internal = true;
                } else if meta.path.is_ident("keep") {
                    found.keep = true;
                } else if meta.path.is_ident("hidden") {
                    found.hidden = true;
                } else if meta.path.is_ident("listed") {
                    found.listed = true;
                } else if meta.path.is_ident("display") {
                    found.display = DisplayOptions::parse(&meta)?;
                } else if meta.path.is_ident("check") {
                    found.check = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("embed") {
                    found.embed = true;
                } else {
                    return Err(meta.error(
                        "unknown attribute; there are default = \"…\", required, rename = \"…\", \
                         public, legacy = \"…\", echo, internal, keep, hidden, listed, \
                         check = function, display(…) and embed",
                    ));
                }
                Ok(())
            })?;
        }
        if found.required && found.default.is_some() {
            return Err(syn::Error::new(field_span, "a required field can't have a default"));
        }
        if found.required && found.internal {
            let message = "a client can't send an internal field, so it can't be required";
            return Err(syn::Error::new(field_span, message));
        }
        if found.keep && found.internal {
            let message = "a write never changes an internal field, so `keep` says nothing";
            return Err(syn::Error::new(field_span, message));
        }
        if found.listed && found.hidden {
            let message = "a hidden field is never shown, so it can't be `listed`";
            return Err(syn::Error::new(field_span, message));
        }
        if found.embed && !found.allows_embedding() {
            let message = "an embedded group takes only legacy(current = \"older\", …) and echo; \
                           its fields have the other attributes";
            return Err(syn::Error::new(field_span, message));
        }
        if !found.embed && !found.group_legacy.is_empty() {
            let message = "only an embedded group takes legacy(…); a field takes legacy = \"…\"";
            return Err(syn::Error::new(field_span, message));
        }
        if found.echo && found.legacy.is_empty() && found.group_legacy.is_empty() {
            let message = "`echo` shows a legacy name, and the field has none: `legacy = \"…\"`";
            return Err(syn::Error::new(field_span, message));
        }
        Ok(found)
    }

    /// Whether there is no attribute that an embedded group can't have.
    fn allows_embedding(&self) -> bool {
        let Self { rename, default, required, public, legacy, .. } = self;
        let Self { internal, keep, hidden, listed, check, display, .. } = self;
        rename.is_none()
            && !display.is_set
            && default.is_none()
            && check.is_none()
            && legacy.is_empty()
            && !(*required || *public || *internal || *keep || *hidden || *listed)
    }

    /// The first option that only a document can have.
    pub(crate) fn document_option(&self) -> Option<&'static str> {
        let options = [
            (self.echo, "echo"),
            (self.internal, "internal"),
            (self.keep, "keep"),
            (self.hidden, "hidden"),
            (self.listed, "listed"),
            (self.check.is_some(), "check"),
        ];
        options.into_iter().find_map(|(is_set, name)| is_set.then_some(name))
    }
}
