//! A login becomes a token. One batch writes the token, the lease that ends it and what the method is
//! to be asked with at a renewal. A process that dies before that leaves nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_sdk::engine::{Auth, TokenType};
use strongroom_token::{Cidr, NewToken};
use strongroom_types::path::is_printable;
use strongroom_types::{ErrorKind, PolicyName};

use super::record::LoginRecord;
use crate::auth_token::{auth_answer, write_login};
use crate::error::{Error, shown_warnings};
use crate::headers;
use crate::leases::lifetimes::{Bounds, Granted, at_issue, of_period};
use crate::mounts::handle::Visit;
use crate::mounts::{Class, MountEntry, Mounted, TokenKind};
use crate::request::{Answer, Issued};
use crate::unsealed::Unsealed;

/// Somebody an auth method has let in.
pub(crate) struct LoggedIn<'a> {
    /// The method.
    pub(crate) mounted: &'a Arc<Mounted>,
    /// The request's whole path.
    pub(crate) path: &'a str,
    /// The path below the mount.
    pub(crate) below: &'a str,
    /// Whether the path needs no token: others are no logins.
    pub(crate) open_to_all: bool,
    /// Whom the request comes from; none on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// What the method says.
    pub(crate) auth: Auth,
    /// The request's stay in the method. The removal of a mount waits for it, and ends what was
    /// written until then.
    pub(crate) inside: Visit,
}

/// The longest display name that is kept, in characters.
const NAME_CHARS: usize = 512;

impl Unsealed {
    /// Makes the token of a login.
    ///
    /// Cancel safety: the token is written with its lease, or not at all.
    pub(crate) async fn log_in(self: &Arc<Self>, login: LoggedIn<'_>) -> Result<Answer, Error> {
        let LoggedIn { mounted, path, below, open_to_all, address, auth, inside } = login;
        let entry = &mounted.entry;
        if entry.class != Class::Auth || !open_to_all {
            let text = "the engine answered with a login where none can be";
            return Err(Error::internal(text));
        }
        let batch = is_batch(entry, &auth);
        check(&auth, batch)?;
        let bound_cidrs = networks(&auth)?;
        let inside_them = |address| bound_cidrs.iter().any(|cidr| cidr.contains(address));
        if !bound_cidrs.is_empty() && !address.is_some_and(inside_them) {
            return Err(Error::no_token());
        }
        let policies = policies(&auth)?;
        let Granted { ttl, mut warnings } = self.lifetime(entry, &auth);
        let path = path.trim_end_matches('/').to_owned();
        let new = NewToken {
            id: None,
            parent: None,
            policies,
            path,
            display_name: display_name(entry, &auth.display_name),
            meta: (!auth.metadata.is_empty()).then(|| auth.metadata.clone()),
            ttl,
            renewable: auth.renewable && !batch,
            period: auth.period,
            explicit_max_ttl: auth.explicit_max_ttl,
            num_uses: auth.num_uses,
            role: None,
            bound_cidrs,
        };
        let record = LoginRecord::new(entry.uuid.clone(), below.to_owned(), &new.policies, &auth);
        let record = record.to_json().map_err(|error| Error::internal(error.to_string()))?;
        let open = self.clone();
        let writing = async move {
            let _inside = inside;
            if batch {
                return Ok(open.stores.tokens.seal_batch(new, open.clock().now())?);
            }
            write_login(&open, new, Some(record)).await
        };
        let created = self.to_the_end(writing).await?;
        warnings.extend(shown_warnings(&auth.data.warnings));
        let id = created.id.expose_secret();
        let mut answer = auth_answer(id, &created.token, ttl.as_secs(), warnings)?;
        if let Answer::Envelope(envelope) = &mut answer {
            let data = auth.data.object;
            envelope.data = (data.as_bytes() != b"null").then_some(data);
            envelope.headers = headers::allowed(&entry.config, auth.data.headers);
        }
        // Of a batch token nothing is kept that could be taken back.
        Ok(if batch { answer } else { answer.issuing(Issued::Token(created.key)) })
    }

    fn lifetime(&self, entry: &MountEntry, auth: &Auth) -> Granted {
        let mount = entry.lifetimes(self.server.lifetimes);
        if !auth.period.is_zero() {
            return of_period(auth.period, mount, auth.explicit_max_ttl);
        }
        let explicit_max = auth.explicit_max_ttl;
        at_issue(auth.ttl, Bounds { mount, max: auth.max_ttl, explicit_max })
    }
}

/// Whether the token is to be one that isn't stored.
fn is_batch(entry: &MountEntry, auth: &Auth) -> bool {
    match entry.config.token_type {
        TokenKind::Service => false,
        TokenKind::Batch => true,
        TokenKind::DefaultService => {
            matches!(auth.token_type, TokenType::Batch | TokenType::DefaultBatch)
        }
        TokenKind::DefaultBatch => !matches!(auth.token_type, TokenType::Service),
    }
}

/// Where the token may be used from. What isn't a network can't be kept to, so nobody gets in.
fn networks(auth: &Auth) -> Result<Vec<Cidr>, Error> {
    let read = |text: &String| {
        Cidr::parse(text)
            .ok_or_else(|| Error::internal("the auth method bound a token to what is no network"))
    };
    auth.bound_cidrs.iter().map(read).collect()
}

/// Refuses terms that can't be kept.
fn check(auth: &Auth, batch: bool) -> Result<(), Error> {
    if batch && auth.num_uses > 0 {
        return Err(Error::invalid("batch tokens cannot have \"num_uses\" set"));
    }
    if auth.alias.as_ref().is_some_and(|alias| alias.name.is_empty()) {
        return Err(Error::internal("the auth method gave an alias without a name"));
    }
    Ok(())
}

/// Sorted, each once, in the one spelling names have. Never `root`.
fn policies(auth: &Auth) -> Result<Vec<PolicyName>, Error> {
    let mut all = BTreeSet::new();
    for text in auth.policies.iter().filter(|text| !text.trim().is_empty()) {
        let name = PolicyName::parse(text);
        all.insert(name.map_err(|_| {
            Error::plain(ErrorKind::Internal, "the auth method named an invalid policy")
        })?);
    }
    if all.iter().any(PolicyName::is_root) {
        return Err(Error::invalid("auth methods cannot create root tokens"));
    }
    if all.iter().any(PolicyName::is_response_wrapping) {
        return Err(Error::invalid("auth methods cannot create wrapping tokens"));
    }
    if !auth.no_default_policy {
        all.insert(PolicyName::default_policy());
    }
    Ok(all.into_iter().collect())
}

/// The mount's name and the method's: `userpass-bob`.
fn display_name(entry: &MountEntry, name: &str) -> String {
    let mount = entry.path.trim_end_matches('/').replace('/', "-");
    let whole = if name.is_empty() { mount } else { format!("{mount}-{name}") };
    whole.chars().filter(|c| is_printable(*c)).take(NAME_CHARS).collect()
}
