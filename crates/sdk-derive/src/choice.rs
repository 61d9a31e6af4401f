//! Generates the code of `FieldChoice` for enums without data.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, LitStr};

use crate::model::NamesModule;

/// A variant and the value that stands for it in the API.
struct ChoiceVariant {
    ident: Ident,
    value: String,
}

pub(crate) fn derive_choice(input: &DeriveInput, names: NamesModule) -> syn::Result<TokenStream> {
    let variants = parse_variants(input)?;
    let (name, names) = (&input.ident, names.path());
    let idents: Vec<&Ident> = variants.iter().map(|variant| &variant.ident).collect();
    let values: Vec<&String> = variants.iter().map(|variant| &variant.value).collect();
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    let expected = format!("one of {}", quoted.join(", "));
    Ok(quote! {
        impl #names::FieldChoice for #name {
            const VALUES: &'static [&'static str] = &[#(#values),*];

            fn as_str(self) -> &'static str {
                match self {
                    #(Self::#idents => #values,)*
                }
            }
        }

        impl #names::Field for #name {
            const KIND: #names::FieldKind = #names::FieldKind::String;
            const ALLOWED_VALUES: &'static [&'static str] =
                <Self as #names::FieldChoice>::VALUES;

            fn value_if_absent() -> ::core::option::Option<Self> {
                ::core::option::Option::None
            }

            fn read(
                raw: &#names::RawValue,
            ) -> ::core::result::Result<Self, #names::InvalidValue> {
                let text = <::std::string::String as #names::Field>::read(raw);
                match text.as_deref() {
                    #(::core::result::Result::Ok(#values) => {
                        ::core::result::Result::Ok(Self::#idents)
                    })*
                    _ => ::core::result::Result::Err(#names::InvalidValue(#expected)),
                }
            }

            fn write(&self, out: &mut ::std::vec::Vec<u8>) -> bool {
                #names::write_string(out, #names::FieldChoice::as_str(*self));
                true
            }
        }

        impl #names::LeaseSafe for #name {}
    })
}

fn parse_variants(input: &DeriveInput) -> syn::Result<Vec<ChoiceVariant>> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new(input.span(), "a choice is an enum without data"));
    };
    let mut variants: Vec<ChoiceVariant> = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let message = "a choice has no data; a nested object is a field of its own: `Json<T>`";
            return Err(syn::Error::new(variant.span(), message));
        }
        let (value, span) = variant_value(&variant.ident, &variant.attrs)?;
        if value.is_empty() || value.contains(['"', '\\']) || value.chars().any(char::is_control) {
            let message = "a value is text without quotes, backslashes and control characters";
            return Err(syn::Error::new(span, message));
        }
        if variants.iter().any(|other| other.value == value) {
            let message = format!("another variant has the value `{value}` already");
            return Err(syn::Error::new(span, message));
        }
        variants.push(ChoiceVariant { ident: variant.ident.clone(), value });
    }
    if variants.is_empty() {
        return Err(syn::Error::new(input.span(), "a choice needs a variant"));
    }
    Ok(variants)
}

/// The value of a variant, and where it was written.
fn variant_value(ident: &Ident, attributes: &[Attribute]) -> syn::Result<(String, Span)> {
    let mut rename: Option<LitStr> = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("choice")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("unknown attribute; there is rename = \"…\""));
            }
            rename = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(match rename {
        Some(text) => (text.value(), text.span()),
        None => (hyphenated(&ident.to_string()), ident.span()),
    })
}

/// A name in camel case as small letters with hyphens: `ViaProxy` is `via-proxy`.
fn hyphenated(name: &str) -> String {
    let mut text = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_uppercase() && index > 0 {
            text.push('-');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hyphenated_names() {
        for (name, value) in [("Direct", "direct"), ("ViaProxy", "via-proxy"), ("V2", "v2")] {
            assert_eq!(hyphenated(name), value);
        }
    }
}
