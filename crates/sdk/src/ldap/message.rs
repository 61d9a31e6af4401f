//! The messages of LDAP version 3 (RFC 4511): requests are written, responses are read.

use strongroom_types::Secret;

use super::ber::{
    BOOLEAN, BerReader, BerWriter, ENUMERATED, INTEGER, MalformedBer, OCTET_STRING, SEQUENCE, SET,
};
use super::search::{AliasDereference, LdapEntry, LdapSearch, SearchScope};

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const MODIFY: u8 = 0x66;
const EXTENDED: u8 = 0x77;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const MODIFY_RESPONSE: u8 = 0x67;
const EXTENDED_RESPONSE: u8 = 0x78;
const CONTROLS: u8 = 0xa0;

/// RFC 4511, 4.14.1; RFC 3062; RFC 2696.
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
pub(super) const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";

/// What a request is, without its number.
pub(super) enum LdapRequest<'a> {
    /// A simple bind; an empty name and password bind anonymously.
    Bind {
        name: &'a str,
        password: &'a str,
    },
    Search {
        search: &'a LdapSearch,
        page: Option<(u32, &'a [u8])>,
    },
    /// Replaces the only value of an attribute.
    Replace {
        name: &'a str,
        attribute: &'a str,
        value: &'a [u8],
    },
    PasswordModify {
        name: &'a str,
        password: &'a str,
    },
    StartTls,
}

/// A response that belongs to a request.
#[derive(Debug)]
pub(super) enum LdapResponse {
    Entry(LdapEntry),
    /// Another server that has entries. It isn't asked.
    Reference,
    /// The end of an operation: its result code, and the cookie for the next page if there is one.
    Done {
        code: u32,
        cookie: Vec<u8>,
    },
}

/// Room for tags and lengths around names and values.
const OVERHEAD_BYTES: usize = 256;

impl LdapRequest<'_> {
    /// The whole message with this number.
    pub(super) fn to_message(&self, number: u32) -> Secret<Vec<u8>> {
        let mut out = BerWriter::with_capacity(self.content_bytes() + OVERHEAD_BYTES);
        out.constructed(SEQUENCE, |out| {
            out.number(INTEGER, number);
            self.write(out);
            if let Self::Search { page: Some((size, cookie)), .. } = self {
                out.constructed(CONTROLS, |out| write_paging(out, *size, cookie));
            }
        });
        out.into_bytes()
    }

    fn content_bytes(&self) -> usize {
        match self {
            Self::Bind { name, password } | Self::PasswordModify { name, password } => {
                name.len() + password.len()
            }
            Self::Replace { name, attribute, value } => name.len() + attribute.len() + value.len(),
            Self::Search { .. } | Self::StartTls => 0,
        }
    }

    fn write(&self, out: &mut BerWriter) {
        match self {
            Self::Bind { name, password } => out.constructed(BIND, |out| {
                out.number(INTEGER, 3);
                out.octets(OCTET_STRING, name.as_bytes());
                out.octets(0x80, password.as_bytes());
            }),
            Self::Search { search, .. } => out.constructed(SEARCH, |out| write_search(out, search)),
            Self::Replace { name, attribute, value } => out.constructed(MODIFY, |out| {
                out.octets(OCTET_STRING, name.as_bytes());
                out.constructed(SEQUENCE, |out| {
                    out.constructed(SEQUENCE, |out| {
                        out.number(ENUMERATED, 2);
                        out.constructed(SEQUENCE, |out| {
                            out.octets(OCTET_STRING, attribute.as_bytes());
                            out.constructed(SET, |out| out.octets(OCTET_STRING, value));
                        });
                    });
                });
            }),
            Self::PasswordModify { name, password } => out.constructed(EXTENDED, |out| {
                out.octets(0x80, PASSWORD_MODIFY.as_bytes());
                out.constructed(0x81, |out| {
                    out.constructed(SEQUENCE, |out| {
                        out.octets(0x80, name.as_bytes());
                        out.octets(0x82, password.as_bytes());
                    });
                });
            }),
            Self::StartTls => {
                out.constructed(EXTENDED, |out| out.octets(0x80, START_TLS.as_bytes()));
            }
        }
    }

    /// The tag of the response that ends the operation.
    pub(super) fn end_tag(&self) -> u8 {
        match self {
            Self::Bind { .. } => BIND_RESPONSE,
            Self::Search { .. } => SEARCH_DONE,
            Self::Replace { .. } => MODIFY_RESPONSE,
            Self::PasswordModify { .. } | Self::StartTls => EXTENDED_RESPONSE,
        }
    }

    /// The name of the operation in errors.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Search { .. } => "search",
            Self::Replace { .. } => "modify",
            Self::PasswordModify { .. } => "password modify",
            Self::StartTls => "StartTLS",
        }
    }
}

fn write_search(out: &mut BerWriter, search: &LdapSearch) {
    out.octets(OCTET_STRING, search.base.as_bytes());
    let scope = match search.scope {
        SearchScope::Entry => 0,
        SearchScope::Subtree => 2,
    };
    out.number(ENUMERATED, scope);
    let aliases = match search.aliases {
        AliasDereference::Never => 0,
        AliasDereference::Searching => 1,
        AliasDereference::Finding => 2,
        AliasDereference::Always => 3,
    };
    out.number(ENUMERATED, aliases);
    out.number(INTEGER, search.entry_limit);
    out.number(INTEGER, 0);
    out.boolean(BOOLEAN, false);
    search.filter.write(out);
    out.constructed(SEQUENCE, |out| {
        for attribute in &search.attributes {
            out.octets(OCTET_STRING, attribute.as_bytes());
        }
    });
}

fn write_paging(out: &mut BerWriter, size: u32, cookie: &[u8]) {
    out.constructed(SEQUENCE, |out| {
        out.octets(OCTET_STRING, PAGED_RESULTS.as_bytes());
        out.constructed(OCTET_STRING, |out| {
            out.constructed(SEQUENCE, |out| {
                out.number(INTEGER, size);
                out.octets(OCTET_STRING, cookie);
            });
        });
    });
}

/// Reads a whole message that answers the request with this number and ends with `end_tag`.
///
/// # Errors
///
/// [`MalformedBer`] if it is malformed, or answers another request.
pub(super) fn read_response(
    message: &[u8],
    number: u32,
    end_tag: u8,
) -> Result<LdapResponse, MalformedBer> {
    let mut outer = BerReader::new(message);
    let mut message = BerReader::new(outer.read_value(SEQUENCE)?);
    if !outer.is_empty() || message.number(INTEGER)? != number {
        return Err(MalformedBer);
    }
    let (tag, content) = message.element()?;
    let mut content = BerReader::new(content);
    match tag {
        SEARCH_ENTRY if end_tag == SEARCH_DONE => read_entry(content).map(LdapResponse::Entry),
        SEARCH_REFERENCE if end_tag == SEARCH_DONE => Ok(LdapResponse::Reference),
        tag if tag == end_tag => {
            let code = content.number(ENUMERATED)?;
            content.read_value(OCTET_STRING)?;
            content.read_value(OCTET_STRING)?;
            let cookie = match message.optional(CONTROLS)? {
                Some(controls) => read_cookie(controls)?,
                None => Vec::new(),
            };
            Ok(LdapResponse::Done { code, cookie })
        }
        _ => Err(MalformedBer),
    }
}

fn read_entry(mut content: BerReader<'_>) -> Result<LdapEntry, MalformedBer> {
    let name = content.text(OCTET_STRING)?.to_owned();
    let mut list = BerReader::new(content.read_value(SEQUENCE)?);
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = BerReader::new(list.read_value(SEQUENCE)?);
        let name = attribute.text(OCTET_STRING)?.to_owned();
        let mut set = BerReader::new(attribute.read_value(SET)?);
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.read_value(OCTET_STRING)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(LdapEntry { name, attributes })
}

/// The cookie of the control for paged results; empty if there is none.
fn read_cookie(controls: &[u8]) -> Result<Vec<u8>, MalformedBer> {
    let mut controls = BerReader::new(controls);
    while !controls.is_empty() {
        let mut control = BerReader::new(controls.read_value(SEQUENCE)?);
        let is_paging = control.read_value(OCTET_STRING)? == PAGED_RESULTS.as_bytes();
        control.optional(BOOLEAN)?;
        let value = control.optional(OCTET_STRING)?;
        if let (true, Some(value)) = (is_paging, value) {
            let mut value = BerReader::new(BerReader::new(value).read_value(SEQUENCE)?);
            value.read_value(INTEGER)?;
            return Ok(value.read_value(OCTET_STRING)?.to_vec());
        }
    }
    Ok(Vec::new())
}

/// Reads bytes as a response to each kind of operation, for the fuzz target.
#[doc(hidden)]
pub fn read_any_response(message: &[u8]) -> usize {
    let mut read = 0;
    for end in [BIND_RESPONSE, SEARCH_DONE, MODIFY_RESPONSE, EXTENDED_RESPONSE] {
        for number in [0, 1, 7] {
            if let Ok(LdapResponse::Entry(entry)) = read_response(message, number, end) {
                let values = entry.attributes.iter().flat_map(|(_, values)| values);
                read += entry.name.len() + values.map(Vec::len).sum::<usize>();
            }
        }
    }
    read
}
