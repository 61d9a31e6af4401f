//! [`OtpauthUri`]: the URI in which authenticator apps receive a key.

use std::fmt;

use strongroom_types::Secret;

use crate::{TotpAlgorithm, TotpParameters};

/// A key with its parameters and whose it is, as `otpauth://totp/…`.
pub struct OtpauthUri {
    /// The organisation that issued the key; may be empty in a URI that was read.
    pub issuer: String,
    /// The account that the key belongs to.
    pub account_name: String,
    /// The key, in base32.
    pub key: Secret<String>,
    /// The parameters. A URI doesn't contain the skew.
    pub parameters: TotpParameters,
}

/// What is wrong with an `otpauth` URI. Nothing of the URI is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidOtpauthUri {
    /// The text doesn't begin with `otpauth://totp/`.
    Kind,
    /// An escape of the label is malformed or isn't UTF-8.
    Label,
    /// A number is malformed.
    Number(&'static str),
    /// The algorithm is unknown.
    Algorithm,
}

impl fmt::Display for InvalidOtpauthUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind => f.write_str("the url doesn't begin with otpauth://totp/"),
            Self::Label => f.write_str("the label of the url is not valid"),
            Self::Number(name) => write!(f, "the {name} value in the url is no number"),
            Self::Algorithm => f.write_str("the algorithm value is not valid"),
        }
    }
}

impl std::error::Error for InvalidOtpauthUri {}

impl OtpauthUri {
    /// Reads a URI. A parameter that it doesn't contain keeps its value of `defaults`; without a key
    /// the key is empty.
    ///
    /// # Errors
    ///
    /// What is wrong with the URI.
    pub fn parse(text: &str, defaults: TotpParameters) -> Result<Self, InvalidOtpauthUri> {
        let rest = text.strip_prefix("otpauth://totp/").ok_or(InvalidOtpauthUri::Kind)?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (label, query) = rest.split_once('?').unwrap_or((rest, ""));
        let label = decode_label(label).ok_or(InvalidOtpauthUri::Label)?;
        let (issuer, account_name) = label.split_once(':').unwrap_or(("", &label));
        let mut uri = Self {
            issuer: issuer.to_owned(),
            account_name: account_name.to_owned(),
            key: Secret::new(String::new()),
            parameters: defaults,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Secret::new(value.into_owned());
            let text = value.expose_secret().as_str();
            let number = |name| text.parse().map_err(|_| InvalidOtpauthUri::Number(name));
            match &*name {
                _ if text.is_empty() => {}
                "issuer" => uri.issuer = text.to_owned(),
                "secret" => uri.key = Secret::from_text(text),
                "period" => uri.parameters.period_secs = number("period")?,
                "digits" => {
                    uri.parameters.digits =
                        text.parse().map_err(|_| InvalidOtpauthUri::Number("digits"))?;
                }
                "algorithm" => {
                    uri.parameters.algorithm =
                        TotpAlgorithm::from_name(text).ok_or(InvalidOtpauthUri::Algorithm)?;
                }
                _ => {}
            }
        }
        Ok(uri)
    }

    /// The URI as text. It contains the key.
    pub fn to_text(&self) -> Secret<String> {
        let TotpParameters { algorithm, digits, period_secs, .. } = self.parameters;
        Secret::new(format!(
            "otpauth://totp/{}:{}?algorithm={}&digits={digits}&issuer={}&period={period_secs}&secret={}",
            percent_encode(&self.issuer),
            percent_encode(&self.account_name),
            algorithm.as_str(),
            percent_encode(&self.issuer),
            self.key.expose_secret(),
        ))
    }
}

impl fmt::Debug for OtpauthUri {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtpauthUri")
            .field("issuer", &self.issuer)
            .field("account_name", &self.account_name)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// Encodes what isn't unreserved (RFC 3986), but for `@`, which is legal in a path and in a query.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(char::from(byte));
            }
            _ => {
                let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.push('%');
                out.push(hex(byte >> 4).to_ascii_uppercase());
                out.push(hex(byte & 15).to_ascii_uppercase());
            }
        }
    }
    out
}

/// Decodes the escapes of a label; a plus sign stays one.
fn decode_label(label: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<OtpauthUri, InvalidOtpauthUri> {
        OtpauthUri::parse(text, TotpParameters::default())
    }

    #[test]
    fn a_uri_has_the_form_of_vault() {
        let uri = OtpauthUri {
            issuer: "Example & Co".to_owned(),
            account_name: "a@b.example".to_owned(),
            key: Secret::from_text("GEZDGNBV"),
            parameters: TotpParameters::default(),
        };
        assert_eq!(
            uri.to_text().expose_secret(),
            "otpauth://totp/Example%20%26%20Co:a@b.example?algorithm=SHA1&digits=6\
             &issuer=Example%20%26%20Co&period=30&secret=GEZDGNBV"
        );
        assert!(!format!("{uri:?}").contains("GEZDGNBV"));
    }

    #[test]
    fn what_a_uri_leaves_out_has_its_default() {
        let uri = parse("otpauth://totp/bob").unwrap();
        assert_eq!((uri.issuer.as_str(), uri.account_name.as_str()), ("", "bob"));
        assert!(uri.key.expose_secret().is_empty());
        assert_eq!(uri.parameters, TotpParameters::default());
        let uri = parse("otpauth://totp/Old:bob?issuer=New&period=60&digits=8&algorithm=SHA512#x");
        let uri = uri.unwrap();
        assert_eq!(uri.issuer, "New");
        let parameters = uri.parameters;
        assert_eq!((parameters.period_secs, parameters.digits), (60, 8));
        assert_eq!(parameters.algorithm, TotpAlgorithm::Sha512);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text| parse(text).err();
        assert_eq!(error("https://totp/bob"), Some(InvalidOtpauthUri::Kind));
        assert_eq!(error("otpauth://hotp/bob?counter=1"), Some(InvalidOtpauthUri::Kind));
        assert_eq!(error("otpauth://totp/b%6"), Some(InvalidOtpauthUri::Label));
        assert_eq!(error("otpauth://totp/b%FF"), Some(InvalidOtpauthUri::Label));
        let number = "otpauth://totp/b?period=-1";
        assert_eq!(error(number), Some(InvalidOtpauthUri::Number("period")));
        let algorithm = "otpauth://totp/b?algorithm=MD5";
        assert_eq!(error(algorithm), Some(InvalidOtpauthUri::Algorithm));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(issuer in "[^:]{1,20}", account_name in ".{1,20}") {
            let parameters = TotpParameters::default();
            let key = Secret::from_text("GEZDGNBV");
            let uri = OtpauthUri { issuer, account_name, key, parameters };
            let read = parse(uri.to_text().expose_secret()).unwrap();
            prop_assert_eq!((read.issuer, read.account_name), (uri.issuer, uri.account_name));
            prop_assert!(read.key.ct_eq(b"GEZDGNBV"));
        }

        #[test]
        fn no_text_panics(text in "(otpauth://totp/)?.{0,60}") {
            let _ = parse(&text);
        }
    }
}
