//! [`NomadToken`]: issuing, renewing, revoking, and finding again what was lost.

use std::time::Duration;

use strongroom_sdk::{
    Answer, Context, Credential, CredentialName, Error, Extension, Identifier, Issued, Lifetime,
    Order, Outside, Receipt, Renew, Renewable, Revoked, Secret, Ttl, Undone,
};

use crate::access::Access;
use crate::api::{Made, Nomad, Outcome, Wish};
use crate::exchange::SYSTEM;
use crate::role::{Lease, Role};

/// What the client gets.
#[derive(Answer)]
pub(crate) struct Token {
    /// Names the token without opening anything.
    accessor_id: Identifier,
    /// The token.
    secret_id: Secret<String>,
}

/// What is kept: the accessor, by which the token can be deleted. The token itself is known to the
/// client alone.
#[derive(Receipt)]
pub(crate) struct TokenReceipt {
    accessor_id: Identifier,
}

/// ACL tokens of Nomad.
#[derive(Default)]
pub(crate) struct NomadToken {
    nomad: Nomad,
}

impl Credential for NomadToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A new ACL token with the policies of the role.";
    const SYSTEM: &'static str = SYSTEM;
    /// Nomad may refuse the expiry that was asked for first.
    const CALLS: u32 = 2;

    type Config = Access;
    type Role = Role;
    type Answer = Token;
    type Receipt = TokenReceipt;
    type Renewal = Renewable;

    fn lifetime(role: &Role) -> Lifetime {
        role.lifetime()
    }

    async fn usual_lifetime(context: &Context) -> Result<Lifetime, Error> {
        Lease::of_mount(context).await
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        // A renewal can't move Nomad's own expiry, so that is the lease's end of ends.
        let longest = whole_secs(order.lasts_for());
        let name = order.name.fit(order.config.name_length());
        let wish = |expires| Wish { name: &name, role: order.role, expires };
        let nomad = async |expires| self.nomad.create(order.config, &wish(expires)).await;
        match nomad(longest).await? {
            Outcome::Made(made) => Ok(issued(made, longest)),
            // What Nomad allows, only Nomad knows; and of a token for all regions another one.
            Outcome::TooLong(limit) => {
                let made = nomad(limit).await?.made()?;
                Ok(issued(made, limit).warn(format!(
                    "Nomad lets no token live longer than {limit} (its acl.token_max_expiration_ttl): \
                     the lease's longest lifetime is that and not {longest}"
                )))
            }
            Outcome::TooShort => Ok(issued(nomad(Ttl::ZERO).await?.made()?, Ttl::ZERO)),
        }
    }

    async fn revoke(
        &self,
        outside: &Outside<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<Revoked, Error> {
        let there = self.nomad.delete(outside.config, &receipt.accessor_id).await?;
        Ok(if there { Revoked::Now } else { Revoked::AlreadyGone })
    }

    async fn undo(
        &self,
        outside: &Outside<'_, Self>,
        name: &CredentialName,
    ) -> Result<Undone, Error> {
        // By the part that is never cut: the limit may have been another when the name was given.
        let accessors = self.nomad.find(outside.config, &name.fit(0)).await?;
        for accessor in &accessors {
            self.nomad.delete(outside.config, accessor).await?;
        }
        Ok(if accessors.is_empty() { Undone::NothingFound } else { Undone::Removed })
    }
}

impl Renew for NomadToken {
    /// Nomad has nothing to renew: the token lives until the lease's end of ends anyway. But a lease
    /// on a token that somebody deleted would be a lie.
    async fn renew(
        &self,
        order: &Extension<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<(), Error> {
        if self.nomad.has(order.config, &receipt.accessor_id).await? {
            return Ok(());
        }
        Err(Error::user("the token is gone from Nomad; revoke the lease"))
    }
}

/// Up to the whole second: what little time has passed since the order is no reason for a lease that
/// is a second shorter than the role says.
fn whole_secs(time: Duration) -> Ttl {
    let rounded = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Ttl::from_secs(rounded.max(1))
}

/// `expires` is what was asked of Nomad; zero if nothing was.
fn issued(made: Made, expires: Ttl) -> Issued<NomadToken> {
    let answer = Token { accessor_id: made.accessor.clone(), secret_id: made.secret };
    let issued = Issued::new(answer, TokenReceipt { accessor_id: made.accessor });
    if expires.is_zero() {
        return issued;
    }
    if made.expires {
        return issued.ends_within(expires);
    }
    // Nomad before 1.4 doesn't know of expiry.
    issued.warn("this Nomad lets no token expire: nothing but its lease ends the token")
}
