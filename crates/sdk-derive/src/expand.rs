//! What the macros write.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::model::{Field, Model};

pub(crate) fn document(model: &Model) -> TokenStream {
    let Some(path) = &model.document.path else {
        return syn::Error::new(
            model.name.span(),
            "say where it lies: #[document(path = \"config\")] or #[document(path = \"roles/{name}\")]",
        )
        .into_compile_error();
    };
    let (name, help) = (&model.name, &model.help);
    let specs = specs(model);
    let read = read(model);
    let seal_wrap = model.document.seal_wrap;
    let local = model.document.local;
    let root = model.document.root;
    let stored = model.fields.iter().map(write_field);
    let shown = model.fields.iter().map(|field| {
        let (ident, ty, name) = (&field.ident, &field.ty, &field.name);
        quote! {
            if !<#ty as ::strongroom_sdk::field::Field>::SECRET {
                out.field(#name, &self.#ident);
            }
        }
    });
    let validate = model.document.validate.as_ref().map(|function| {
        quote! {
            fn validate(&self) -> ::core::result::Result<(), ::std::string::String> {
                #function(self)
            }
        }
    });
    quote! {
        impl ::strongroom_sdk::document::Document for #name {
            const PATH: &'static str = #path;
            const HELP: &'static str = #help;
            const SEAL_WRAP: bool = #seal_wrap;
            const LOCAL: bool = #local;
            const ROOT: bool = #root;
            const FIELDS: &'static [::strongroom_sdk::field::FieldSpec] = #specs;

            fn from_fields(
                fields: &::strongroom_sdk::Fields,
            ) -> ::core::result::Result<Self, ::strongroom_sdk::field::InvalidInput> {
                #read
            }

            fn write_stored(&self, out: &mut ::strongroom_sdk::field::ObjectWriter) {
                #(#stored)*
            }

            fn write_shown(&self, out: &mut ::strongroom_sdk::field::ObjectWriter) {
                #(#shown)*
            }

            #validate
        }
    }
}

pub(crate) fn input(model: &Model) -> TokenStream {
    let (name, specs, read) = (&model.name, specs(model), read(model));
    quote! {
        impl ::strongroom_sdk::action::Input for #name {
            const FIELDS: &'static [::strongroom_sdk::field::FieldSpec] = #specs;

            fn from_fields(
                fields: &::strongroom_sdk::Fields,
            ) -> ::core::result::Result<Self, ::strongroom_sdk::field::InvalidInput> {
                #read
            }
        }
    }
}

pub(crate) fn answer(model: &Model) -> TokenStream {
    let (name, specs) = (&model.name, specs(model));
    let write = model.fields.iter().map(write_field);
    quote! {
        impl ::strongroom_sdk::action::Answer for #name {
            const FIELDS: &'static [::strongroom_sdk::field::FieldSpec] = #specs;

            fn write(&self, out: &mut ::strongroom_sdk::field::ObjectWriter) {
                #(#write)*
            }
        }
    }
}

/// Names the SDK itself writes beside a receipt's fields.
const RESERVED: [&str; 3] = ["secret_type", "role", "strongroom_intent"];

pub(crate) fn receipt(model: &Model) -> TokenStream {
    if let Some(field) = model.fields.iter().find(|f| RESERVED.contains(&f.name.as_str())) {
        let message =
            format!("`{}` is kept with every lease already; choose another name", field.name);
        return syn::Error::new(field.ident.span(), message).into_compile_error();
    }
    let (name, read) = (&model.name, read(model));
    let write = model.fields.iter().map(write_field);
    let safe = model.fields.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned! { ty.span() => lease_safe::<#ty>(); }
    });
    quote! {
        const _: fn() = || {
            fn lease_safe<T: ::strongroom_sdk::field::LeaseSafe>() {}
            #(#safe)*
        };

        impl ::strongroom_sdk::credential::Receipt for #name {
            fn from_fields(
                fields: &::strongroom_sdk::Fields,
            ) -> ::core::result::Result<Self, ::strongroom_sdk::field::InvalidInput> {
                #read
            }

            fn write(&self, out: &mut ::strongroom_sdk::field::ObjectWriter) {
                #(#write)*
            }
        }
    }
}

fn specs(model: &Model) -> TokenStream {
    let specs = model.fields.iter().map(|field| {
        let Field { ty, name, help, required, .. } = field;
        let default = match &field.default {
            Some(text) => quote!(::core::option::Option::Some(#text)),
            None => quote!(::core::option::Option::None),
        };
        quote_spanned! { ty.span() =>
            ::strongroom_sdk::field::FieldSpec {
                name: #name,
                help: #help,
                kind: <#ty as ::strongroom_sdk::field::Field>::KIND,
                secret: <#ty as ::strongroom_sdk::field::Field>::SECRET,
                required: #required,
                default: #default,
            }
        }
    });
    quote! { &[#(#specs),*] }
}

fn read(model: &Model) -> TokenStream {
    let fields = model.fields.iter().map(|field| {
        let Field { ident, ty, name, required, .. } = field;
        let reader = match &field.default {
            Some(text) => quote!(with_default(fields, #name, #text)),
            None if *required => quote!(required(fields, #name)),
            None => quote!(optional(fields, #name)),
        };
        quote_spanned! { ty.span() => #ident: ::strongroom_sdk::field::#reader?, }
    });
    let unused = model.fields.is_empty().then(|| quote!(let _ = fields;));
    quote! {
        #unused
        ::core::result::Result::Ok(Self { #(#fields)* })
    }
}

fn write_field(field: &Field) -> TokenStream {
    let (ident, name) = (&field.ident, &field.name);
    quote! { out.field(#name, &self.#ident); }
}
