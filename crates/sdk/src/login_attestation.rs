//! [`AttestedClient`]: a client whose identity an outside authority attests, for auth methods that
//! ask one, such as a token review of Kubernetes.
//!
//! The names of an [`Identity`](crate::Identity) must come from the authority's answer and never from
//! what the client sent. So they can't be made from text: [`LoginRequest::attested_by`] reads the
//! answer, refuses the login unless the answer [accepts](Attestation::accepts_client) the client, and
//! only what it returns gives out a [`VerifiedName`], by a function that sees the answer and nothing
//! else.
//!
//! ```
//! use serde::Deserialize;
//! use strongroom_sdk::http::HttpService;
//! use strongroom_sdk::login_attestation::Attestation;
//! use strongroom_sdk::*;
//!
//! /// The authority's answer to `GET /whoami`.
//! #[derive(Deserialize)]
//! struct WhoAmI {
//!     active: bool,
//!     user: String,
//!     teams: Vec<String>,
//! }
//!
//! impl Attestation for WhoAmI {
//!     fn accepts_client(&self) -> bool {
//!         self.active
//!     }
//! }
//!
//! async fn identify(
//!     request: &LoginRequest<'_>,
//!     authority: &HttpService<'_>,
//! ) -> Result<Identity, LoginError> {
//!     let response = authority.get("/whoami").send().await.map_err(Error::from)?;
//!     let client = request.attested_by::<WhoAmI>(&response)?;
//!     let name = client.name_from(|answer| Some(answer.user.clone()))?;
//!     let teams = client.names_from(|answer| answer.teams.clone());
//!     Ok(teams.iter().fold(Identity::new(&name), Identity::with_group))
//! }
//! # let _ = identify;
//! ```
//!
//! The address of the authority and the credentials for it must come from a document of the method.

use std::fmt;
use std::ops::Deref;

use serde::de::DeserializeOwned;
use strongroom_types::path::is_printable;

use crate::Error;
use crate::http::HttpResponse;
use crate::login::{LoginError, LoginRequest, VerifiedName};

/// An authority's answer about a client, read from the JSON body of its response.
pub trait Attestation: DeserializeOwned {
    /// Whether the answer says that the client is who it claims to be. Authorities often say no with
    /// a successful status and a field.
    fn accepts_client(&self) -> bool;
}

/// The answer of an authority that accepts a client. It dereferences to the answer, whose other fields
/// a method compares with its roles.
pub struct AttestedClient<A> {
    answer: A,
}

impl LoginRequest<'_> {
    /// Reads an authority's answer about the client.
    ///
    /// # Errors
    ///
    /// A refusal if the answer doesn't accept the client; the error of
    /// [`HttpResponse::read_json`] if it can't be read or has a status other than 2xx.
    pub fn attested_by<A: Attestation>(
        &self,
        response: &HttpResponse,
    ) -> Result<AttestedClient<A>, LoginError> {
        let answer: A = response.read_json().map_err(Error::from)?;
        match answer.accepts_client() {
            true => Ok(AttestedClient { answer }),
            false => Err(LoginError::refused()),
        }
    }
}

/// The maximum length of a name that an authority attests, in bytes.
const MAX_NAME_BYTES: usize = 1024;

impl<A> AttestedClient<A> {
    #[cfg(feature = "ldap")]
    pub(crate) fn new(answer: A) -> Self {
        Self { answer }
    }

    /// A name that the answer contains. `select` is a function or a closure without captured values,
    /// so that what the client sent can't get into the name. It must select a name that the authority
    /// gives to nobody else.
    ///
    /// # Errors
    ///
    /// A refusal if `select` returns `None`, or if the name is empty, longer than 1024 bytes or
    /// contains characters that aren't printable.
    pub fn name_from(&self, select: fn(&A) -> Option<String>) -> Result<VerifiedName, LoginError> {
        let name = select(&self.answer).filter(|name| is_name(name));
        name.map(VerifiedName).ok_or_else(LoginError::refused)
    }

    /// Names that the answer contains, such as those of the client's groups. Those that aren't valid
    /// names, as [`name_from`](Self::name_from) checks them, are left out.
    pub fn names_from(&self, select: fn(&A) -> Vec<String>) -> Vec<VerifiedName> {
        let names = select(&self.answer).into_iter().filter(|name| is_name(name));
        names.map(VerifiedName).collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_printable)
}

impl<A> Deref for AttestedClient<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.answer
    }
}

impl<A> fmt::Debug for AttestedClient<A> {
    /// Leaves the answer out, which may contain what the client proves its identity with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestedClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_names_of_a_limited_length_are_verified() {
        let client = |name: &str| AttestedClient { answer: name.to_owned() };
        let name = |name: &str| client(name).name_from(|answer| Some(answer.clone())).ok();
        assert_eq!(name("ci/builder").map(|name| name.to_string()), Some("ci/builder".to_owned()));
        for bad in ["", "a\nb", "a\u{0}", &"x".repeat(1025)] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        assert!(client("a").name_from(|_| None).is_err());
        let groups =
            client("a\tb,c").names_from(|answer| answer.split(',').map(str::to_owned).collect());
        assert_eq!(groups.iter().map(VerifiedName::as_str).collect::<Vec<_>>(), ["c"]);
        assert!(!format!("{:?}", client("eyJ-proof")).contains("proof"));
    }
}
