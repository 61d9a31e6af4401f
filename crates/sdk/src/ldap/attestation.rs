//! [`BoundUser`]: a client that has proven to a directory that it knows a user's password.

use crate::login_attestation::AttestedClient;

/// The proof that a bind as a user succeeded. It comes from
/// [`LdapSession::bind_user`](super::LdapSession::bind_user) only.
#[derive(Debug)]
pub struct BoundUser(());

impl BoundUser {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// The client, with what the directory says about it: the names of its login are selected from
    /// `answer`. Put in what the directory returned, not what the client sent, since a directory takes
    /// several spellings of a name for one.
    #[must_use]
    pub fn attest<A>(self, answer: A) -> AttestedClient<A> {
        AttestedClient::new(answer)
    }
}
