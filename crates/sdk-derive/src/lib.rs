//! The derive macros of `strongroom-sdk` and of `strongroom-schema`. They are documented there,
//! with the traits they implement.
//!
//! All of them are for structs with named fields. The documentation comment of a field becomes its
//! help text, its type determines how it is parsed and written, and `#[field(...)]` sets the rest:
//!
//! - `default = "1h"`: the value if the request doesn't contain the field, as a client would write
//!   it
//! - `required`: a new document or an input must contain the field; it has no default and no empty
//!   value
//! - `rename = "type"`: the field's name in the API, if it isn't a valid Rust name
//! - `legacy = "lease"`, any number of times: an older name under which the field is still accepted.
//!   If both are sent, the current name counts; stored documents and receipts with the older name
//!   are read too
//! - `internal`: only the engine sets the field; a client's value is ignored with a warning
//! - `keep`, in a document with `replace`: a write that doesn't contain the field keeps the stored
//!   value
//! - `hidden`: the field is left out when the document is read
//! - `listed`: a list of the collection shows the field for each document
//! - `echo`, with `legacy`: a document that was written with the older name is shown with both names
//! - `check = function`, in a document or a group: a `fn(&T) -> Result<(), String>` that checks the
//!   value before a client's write is stored
//! - `embed`: the type is a `FieldGroup`, whose fields become fields of this struct. Older names of
//!   its fields are given as `legacy(current = "older", …)`
//! - `public`: the value gives no access, although the field's name suggests a secret
//!
//! A name suggests a secret if it is or ends with one of the words `password`, `passwd`,
//! `passphrase`, `secret`, `token`, `key`, `credential` and `credentials`, except `public_key`. A
//! field of plain text under such a name doesn't compile: its type must be `Secret<String>`, or
//! the field `public`. In a receipt it can only get another name.
mod choice;
mod expand;
mod field_attributes;
mod model;
mod secret_names;

use model::NamesModule;
use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Document`: an object that operators write and the engine stores. `#[document(...)]`
/// takes `path = "..."` and the options `seal_wrap`, `local`, `root`, `internal_key`, `replace`,
/// `folds_case`, `validate = function` and the hooks.
#[proc_macro_derive(Document, attributes(document, field))]
pub fn derive_document(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_document)
}

/// Derives `FieldGroup`: fields that documents embed with `#[field(embed)]`.
/// `#[document(validate = function)]` names a function that checks them together.
#[proc_macro_derive(FieldGroup, attributes(document, field))]
pub fn derive_field_group(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_field_group)
}

/// Derives `Input`: the parameters that a client sends to an action, captures of the path included.
#[proc_macro_derive(Input, attributes(field))]
pub fn derive_input(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_input)
}

/// Derives `Input` for crates that depend on `strongroom-schema` and not on the SDK: the parameters
/// of the server's own endpoints. `strongroom-schema` re-exports it as `Input`.
#[proc_macro_derive(EndpointInput, attributes(field))]
pub fn derive_endpoint_input(input: TokenStream) -> TokenStream {
    expand_with_names(parse_macro_input!(input), NamesModule::Schema, expand::derive_input)
}

/// Derives `ResponseData`: the data of a response. It is the only way to send a secret to a client.
#[proc_macro_derive(ResponseData, attributes(field))]
pub fn derive_answer(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_response_data)
}

/// Derives `Receipt`: the data stored with a lease. Every field type must implement `LeaseSafe`.
#[proc_macro_derive(Receipt, attributes(field))]
pub fn derive_receipt(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_receipt)
}

/// Derives `FieldChoice`: an enum without data as a field with a fixed list of values.
/// `#[choice(rename = "...")]` sets the value of a variant; otherwise it is the variant's name in
/// small letters with hyphens.
#[proc_macro_derive(FieldChoice, attributes(choice))]
pub fn derive_field_choice(input: TokenStream) -> TokenStream {
    expand_choice(&parse_macro_input!(input), NamesModule::Sdk)
}

/// Derives `FieldChoice` for crates that depend on `strongroom-schema` and not on the SDK.
/// `strongroom-schema` re-exports it as `FieldChoice`.
#[proc_macro_derive(EndpointChoice, attributes(choice))]
pub fn derive_endpoint_choice(input: TokenStream) -> TokenStream {
    expand_choice(&parse_macro_input!(input), NamesModule::Schema)
}

fn expand_choice(input: &DeriveInput, names: NamesModule) -> TokenStream {
    choice::derive_choice(input, names).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand_derive(
    input: DeriveInput,
    expand: fn(&model::StructModel) -> proc_macro2::TokenStream,
) -> TokenStream {
    expand_with_names(input, NamesModule::Sdk, expand)
}

/// Expands a macro whose code takes its names from the module `names`.
fn expand_with_names(
    input: DeriveInput,
    names: NamesModule,
    expand: fn(&model::StructModel) -> proc_macro2::TokenStream,
) -> TokenStream {
    match model::StructModel::parse(input, names) {
        Ok(model) => expand(&model).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
