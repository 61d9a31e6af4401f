//! The unwrap token: a JWT of which a plug-in can check little. Only the server can verify the
//! signature.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use strongroom_types::Secret;

/// Why a token is rejected before it is sent anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidToken {
    #[error("the unwrap token is not a JWT")]
    Form,
    #[error("the unwrap token is not signed with ES512")]
    Algorithm,
    #[error("the unwrap token does not say where the server is")]
    NoAddress,
}

/// Longer tokens don't fit into a request.
const MAX_BYTES: usize = 8 * 1024;

/// The only algorithm that servers use. Required although the signature can't be verified here: a
/// token with another algorithm was not issued by such a server.
const ALGORITHM: &str = "ES512";

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
}

#[derive(Deserialize)]
struct UnwrapTokenClaims {
    #[serde(default)]
    addr: Option<String>,
}

/// The address of the server that issued the token.
pub(super) fn server_address(token: &Secret<String>) -> Result<String, InvalidToken> {
    let token = token.expose_secret();
    if token.len() > MAX_BYTES {
        return Err(InvalidToken::Form);
    }
    let mut parts = token.split('.').map(decode_part);
    let (Some(Some(header)), Some(Some(claims)), Some(Some(_signature)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(InvalidToken::Form);
    };
    let header: JwtHeader = parse_object(&header)?;
    if header.alg != ALGORITHM {
        return Err(InvalidToken::Algorithm);
    }
    let claims: UnwrapTokenClaims = parse_object(&claims)?;
    claims.addr.filter(|address| !address.is_empty()).ok_or(InvalidToken::NoAddress)
}

/// Rejects JSON arrays, which would otherwise be parsed as structs too.
fn parse_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, InvalidToken> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten().ok_or(InvalidToken::Form)
}

fn decode_part(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = r#"{"alg":"ES512","typ":"JWT"}"#;
    const CLAIMS: &str = r#"{"addr":"https://127.0.0.1:8200","jti":"x","exp":1}"#;

    fn jwt(header: &str, claims: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", part(header), part(claims), BASE64URL_NOPAD.encode(&[7; 132]))
    }

    fn read(token: &str) -> Result<String, InvalidToken> {
        server_address(&Secret::from_text(token))
    }

    #[test]
    fn a_token_names_its_server() {
        assert_eq!(read(&jwt(HEADER, CLAIMS)).unwrap(), "https://127.0.0.1:8200");
        assert_eq!(read(&jwt(HEADER, r#"{"addr":"unix:///tmp/x"}"#)).unwrap(), "unix:///tmp/x");
    }

    #[test]
    fn what_is_no_token_of_a_server_is_refused() {
        let good = jwt(HEADER, CLAIMS);
        let (head, signature) = good.rsplit_once('.').unwrap();
        let padded = jwt(r#"{"alg":"ES512"}"#, CLAIMS).replacen('.', "=.", 1);
        let long = jwt(HEADER, &format!(r#"{{"addr":"{}"}}"#, "a".repeat(MAX_BYTES)));
        let cases: &[(&str, InvalidToken)] = &[
            ("", InvalidToken::Form),
            ("..", InvalidToken::Form),
            ("s.abcdef", InvalidToken::Form),
            (head, InvalidToken::Form),
            (&format!("{head}."), InvalidToken::Form),
            (&format!("{good}."), InvalidToken::Form),
            (&format!("{good}.{signature}"), InvalidToken::Form),
            (&format!(" {good}"), InvalidToken::Form),
            (&format!("{good}\n"), InvalidToken::Form),
            (&padded, InvalidToken::Form),
            (&good.replacen('J', "+", 1), InvalidToken::Form),
            (&long, InvalidToken::Form),
            (&jwt("ES512", CLAIMS), InvalidToken::Form),
            (&jwt("{}", CLAIMS), InvalidToken::Form),
            (&jwt(r#"{"alg":["ES512"]}"#, CLAIMS), InvalidToken::Form),
            (&jwt(r#"{"alg":"none","alg":"ES512"}"#, CLAIMS), InvalidToken::Form),
            (&jwt(r#"{"alg":"none"}"#, CLAIMS), InvalidToken::Algorithm),
            (&jwt(r#"{"alg":"es512"}"#, CLAIMS), InvalidToken::Algorithm),
            (&jwt(r#"{"alg":"HS256"}"#, CLAIMS), InvalidToken::Algorithm),
            (&jwt(r#"["ES512"]"#, CLAIMS), InvalidToken::Form),
            (&jwt(HEADER, r#"["https://x"]"#), InvalidToken::Form),
            (&jwt(HEADER, "{}"), InvalidToken::NoAddress),
            (&jwt(HEADER, r#"{"addr":""}"#), InvalidToken::NoAddress),
            (&jwt(HEADER, r#"{"addr":null}"#), InvalidToken::NoAddress),
            (&jwt(HEADER, r#"{"addr":1}"#), InvalidToken::Form),
            (&jwt(HEADER, r#"{"addr":"a","addr":"b"}"#), InvalidToken::Form),
            (&jwt(HEADER, r#"{"addr":"a"} x"#), InvalidToken::Form),
        ];
        for (token, error) in cases {
            assert_eq!(read(token), Err(*error), "{token:.60}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,300}") {
            let _ = read(&text);
        }

        #[test]
        fn never_panics_on_near_misses(
            header in prop_oneof![Just(HEADER.to_owned()), "\\PC{0,40}"],
            claims in prop_oneof![Just(CLAIMS.to_owned()), "\\{\"addr\":\\PC{0,40}\\}", "\\PC{0,40}"],
        ) {
            if let Ok(address) = read(&jwt(&header, &claims)) {
                prop_assert!(!address.is_empty());
            }
        }

        #[test]
        fn never_panics_on_a_changed_character(at in 0_usize..280, with in "[ -~]") {
            let mut token = jwt(HEADER, CLAIMS);
            token.replace_range(at..=at, &with);
            let _ = read(&token);
        }
    }
}
