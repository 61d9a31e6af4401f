//! Checks that must hold for every input. The fuzz target and the crate's own tests share them; the
//! tests run them over the corpus on a stable compiler.

use strongroom_sdk::ldap::{LdapFilter, attributes_of_dn, read_any_response};

/// Reads the bytes as a response, and as the texts that a response contains.
pub(crate) fn any_response(bytes: &[u8]) {
    // It is read as twelve kinds of response.
    assert!(read_any_response(bytes) <= 12 * bytes.len(), "no more is read than was received");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = LdapFilter::parse(text);
        for (name, value) in attributes_of_dn(text).unwrap_or_default() {
            assert!(!name.is_empty() && name.len() + value.len() <= text.len());
        }
    }
}
