//! Field names that suggest a secret. A text under such a name must be a `Secret`, or be marked as
//! public.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned;

use crate::model::StructModel;

/// Where the fields of a struct go, which determines what the compile error advises.
#[derive(Clone, Copy)]
pub(crate) enum FieldUse {
    /// A document, an input or a response.
    Exchanged,
    /// A receipt, which is stored with a lease.
    StoredWithLease,
}

/// Constants that don't compile if a field whose name suggests a secret is plain text. The field's
/// type is known to the compiler only, so that it also sees through type aliases.
pub(crate) fn check_secret_names(model: &StructModel, field_use: FieldUse) -> TokenStream {
    let suspect = model.fields.iter().filter(|field| {
        // The names in a receipt are the author's choice, so they need no exception.
        let excepted = field.attributes.public && matches!(field_use, FieldUse::Exchanged);
        suggests_secret(&field.name) && !excepted && !field.attributes.embed
    });
    let checks = suspect.map(|field| {
        let ty = &field.ty;
        let message = field_use.advise(&field.name);
        let names = model.names.path_at(ty.span());
        quote_spanned! { ty.span() =>
            const _: () = ::core::assert!(!#names::is_plain_text::<#ty>(), #message);
        }
    });
    checks.collect()
}

impl FieldUse {
    fn advise(self, name: &str) -> String {
        match self {
            Self::Exchanged => format!(
                "`{name}` may be a secret, and plain text is shown and not wiped from memory: \
                 use `Secret<String>`, or `#[field(public)]` if the value gives no access"
            ),
            Self::StoredWithLease => format!(
                "`{name}` may be a secret, and a receipt is stored with its lease: keep an accessor \
                 or an id by which the credential is found, under a name such as `{name}_id`; or \
                 use `Sealed` if only the secret itself revokes the credential"
            ),
        }
    }
}

/// The words that suggest a secret if a field's name is or ends with one of them.
pub(crate) const SECRET_WORDS: [&str; 8] =
    ["credential", "credentials", "key", "passphrase", "passwd", "password", "secret", "token"];

/// Whether the last word of the API name suggests a secret: `api_key` and `clientSecret`, but
/// neither `token_type`, nor `keys`, nor `public_key`.
pub(crate) fn suggests_secret(api_name: &str) -> bool {
    let words = split_words(api_name);
    match words.as_slice() {
        [.., before, last] if before == "public" && last == "key" => false,
        [.., last] => SECRET_WORDS.contains(&last.as_str()),
        [] => false,
    }
}

/// The words of a name in lower case. A word ends before a character that is neither letter nor
/// digit, and before a capital that follows a small letter.
fn split_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small_letter = false;
    for c in name.chars() {
        let separates = !c.is_alphanumeric();
        if separates || (after_small_letter && c.is_uppercase()) {
            words.push(String::new());
        }
        if let (false, Some(word)) = (separates, words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        after_small_letter = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_suggests_a_secret() {
        for name in [
            "password",
            "bind_password",
            "token",
            "api_token",
            "api-key",
            "apiKey",
            "clientSecret",
            "Token",
            "private_key",
            "passphrase",
            "root.credentials",
        ] {
            assert!(suggests_secret(name), "{name}");
        }
        for name in [
            "token_type",
            "token_ttl",
            "key_bits",
            "keys",
            "tokens",
            "monkey",
            "public_key",
            "publicKey",
            "password_policy",
            "secretary",
            "user",
            "",
        ] {
            assert!(!suggests_secret(name), "{name}");
        }
    }
}
