//! The derive macros of `strongroom-sdk`. Their documentation stands there, beside the traits they
//! implement.
//!
//! All four read a struct with named fields. The documentation comment of a field becomes its help
//! text, its type decides how it is read and written, and `#[field(…)]` says the rest:
//!
//! - `default = "1h"`: the value when the request names none, as a client would write it
//! - `required`: there is no default, not even the empty value
//! - `rename = "type"`: the name in the API, where it can't be a Rust name
#![deny(missing_docs)]

mod expand;
mod model;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Document`: something the operator writes and the engine keeps.
#[proc_macro_derive(Document, attributes(document, field))]
pub fn derive_document(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_document)
}

/// Implements `Input`: what a client sends to an action.
#[proc_macro_derive(Input, attributes(field))]
pub fn derive_input(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_input)
}

/// Implements `ResponseData`: what a client gets. The only way by which a secret is written to one.
#[proc_macro_derive(ResponseData, attributes(field))]
pub fn derive_answer(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_response_data)
}

/// Implements `Receipt`: what is kept with a lease. Its fields must be lease-safe.
#[proc_macro_derive(Receipt, attributes(field))]
pub fn derive_receipt(input: TokenStream) -> TokenStream {
    expand_derive(parse_macro_input!(input), expand::derive_receipt)
}

fn expand_derive(
    input: DeriveInput,
    expand: fn(&model::StructModel) -> proc_macro2::TokenStream,
) -> TokenStream {
    match model::StructModel::parse(input) {
        Ok(model) => expand(&model).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
