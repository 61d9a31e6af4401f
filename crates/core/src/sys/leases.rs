//! `sys/leases`, and the older `sys/renew` and `sys/revoke*`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use strongroom_lease::Kind;
use strongroom_sdk::{DurationSecs, Input};
use strongroom_types::{Fields, LeaseId, Timestamp};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler, keys, not_found};
use crate::error::Error;
use crate::removal::Removal;
use crate::request::{Answer, Envelope};

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "leases/lookup",
        help: "What a lease is and until when.",
        fields: &[LeaseInput::FIELDS],
        handlers: Handlers {
            write: handler!(lookup),
            list: handler!(list_mounts),
            ..Handlers::NONE
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "leases/lookup/{prefix..}",
        help: "The leases and folders of leases under a path.",
        fields: &[],
        handlers: Handlers { list: handler!(list), ..Handlers::NONE },
        access: Access::Policy,
    },
    endpoint("leases/renew", "Extends a lease.", handler!(renew)),
    endpoint("leases/renew/{url_lease_id..}", "Extends a lease.", handler!(renew)),
    endpoint("renew", "Extends a lease.", handler!(renew)),
    endpoint("renew/{url_lease_id..}", "Extends a lease.", handler!(renew)),
    endpoint("leases/revoke", "Ends a lease.", handler!(revoke)),
    endpoint("leases/revoke/{url_lease_id..}", "Ends a lease.", handler!(revoke)),
    endpoint("revoke", "Ends a lease.", handler!(revoke)),
    endpoint("revoke/{url_lease_id..}", "Ends a lease.", handler!(revoke)),
    endpoint("leases/revoke-prefix/{prefix..}", PREFIX, handler!(revoke_prefix)),
    endpoint("revoke-prefix/{prefix..}", PREFIX, handler!(revoke_prefix)),
    endpoint("leases/revoke-force/{prefix..}", FORCE, handler!(revoke_force)),
    endpoint("revoke-force/{prefix..}", FORCE, handler!(revoke_force)),
    Endpoint {
        pattern: "leases/count",
        help: "How many leases could not be revoked, by mount.",
        fields: &[IrrevocableInput::FIELDS],
        handlers: Handlers { read: handler!(count), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "leases",
        help: "Leases that could not be revoked.",
        fields: &[IrrevocableInput::FIELDS],
        handlers: Handlers { read: handler!(irrevocable), ..Handlers::NONE },
        access: Access::Policy,
    },
];

const PREFIX: &str = "Ends all leases under a path.";
const FORCE: &str = "Ends all leases under a path, whatever their engines say. What they stood for \
                     may live on outside.";

const fn endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::Handler>,
) -> Endpoint {
    let handlers = Handlers { read: None, list: None, write, delete: None };
    let access = Access::Policy;
    Endpoint { pattern, help, fields: &[LeaseInput::FIELDS], handlers, access }
}

#[derive(Input)]
struct LeaseInput {
    /// The lease.
    lease_id: String,
    /// The lease, in the path.
    url_lease_id: String,
    /// How long it should live from now; its usual lifetime if not given.
    increment: DurationSecs,
    /// Whether to wait until it is done.
    sync: bool,
}

#[derive(Input)]
struct IrrevocableInput {
    /// `irrevocable`.
    #[field(rename = "type")]
    kind: String,
    /// The most to show.
    #[field(default = "10000")]
    limit: u32,
}

impl LeaseInput {
    fn id(&self) -> Result<LeaseId, Error> {
        let (named, at) = (&self.lease_id, &self.url_lease_id);
        if !named.is_empty() && !at.is_empty() && named != at {
            // Policies judged the path.
            return Err(Error::invalid("the path and lease_id name two different leases"));
        }
        let given = if named.is_empty() { at } else { named };
        if given.is_empty() {
            return Err(Error::invalid("lease_id must be specified"));
        }
        LeaseId::parse(given).map_err(|_| Error::invalid("invalid lease"))
    }
}

#[derive(Serialize)]
struct LeaseStatus<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    issue_time: String,
    expire_time: String,
    last_renewal: Option<String>,
    renewable: bool,
    ttl: u64,
}

async fn lookup(call: &Call) -> Result<Answer, Error> {
    let id = call.input::<LeaseInput>()?.id()?;
    let found = call.open.stores.leases.get(&id).await?;
    let Some(found) = found else { return Err(Error::invalid("invalid lease")) };
    let lease = &*found.lease;
    let path = id.as_str().rsplit_once('/').map(|(path, _)| path);
    let status = LeaseStatus {
        id: id.as_str(),
        path: matches!(lease.kind, Kind::Credential { .. }).then_some(path).flatten(),
        issue_time: lease.issued.to_rfc3339(),
        expire_time: lease.expires.to_rfc3339(),
        last_renewal: lease.last_renewal.map(Timestamp::to_rfc3339),
        renewable: lease.renewable,
        ttl: lease.ttl_left(call.open.clock().now()).as_secs(),
    };
    let object = strongroom_types::RawObject::of(&status);
    Ok(data(object.map_err(|error| Error::internal(error.to_string()))?))
}

/// The first folders that leases lie in.
async fn list_mounts(call: &Call) -> Result<Answer, Error> {
    const MOST: usize = 1_000_000;
    keys(&call.open.stores.leases.children("", MOST).await?)
}

async fn list(call: &Call) -> Result<Answer, Error> {
    const MOST: usize = 1_000_000;
    let prefix = format!("{}/", call.captured().trim_end_matches('/'));
    keys(&call.open.stores.leases.children(&prefix, MOST).await?)
}

async fn renew(call: &Call) -> Result<Answer, Error> {
    let input: LeaseInput = call.input()?;
    let renewed = call.open.renew_lease(&input.id()?, input.increment.0).await?;
    Ok(Answer::Envelope(Box::new(Envelope {
        lease_id: renewed.lease.id.to_string(),
        renewable: renewed.lease.renewable,
        lease_duration: renewed.lease.ttl,
        warnings: renewed.warnings,
        ..Envelope::default()
    })))
}

/// The attempt is made before the answer: most of the time, "no content" means that it is gone. A
/// failure is tried again by itself; only who asked for `sync` hears of it.
async fn revoke(call: &Call) -> Result<Answer, Error> {
    let input: LeaseInput = call.input()?;
    let id = input.id()?;
    let revoked = call.open.keeper.revoke(&id);
    let clock = call.open.clock();
    let patience = clock.sleep(PATIENCE);
    let outcome = tokio::select! {
        outcome = revoked => outcome?,
        () = patience, if !input.sync => Ok(()),
    };
    match outcome {
        Err(error) if input.sync => {
            Err(Error::internal(format!("failed to revoke entry: {error}")))
        }
        _ => Ok(Answer::Nothing),
    }
}

/// How long a caller who didn't ask to wait is kept waiting for a revocation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
const PAGE: usize = 256;

async fn revoke_prefix(call: &Call) -> Result<Answer, Error> {
    let input: LeaseInput = call.input()?;
    let prefix = prefix_of(call)?;
    let open = &call.open;
    let mut after: Option<LeaseId> = None;
    loop {
        let ids = open.stores.leases.under(&prefix, after.as_ref(), PAGE).await?;
        if ids.is_empty() {
            break;
        }
        after = ids.last().cloned();
        open.keeper.order_all(&ids).await?;
        if input.sync {
            for id in &ids {
                let outcome = open.keeper.revoke(id).await?;
                outcome.map_err(|error| {
                    Error::internal(format!("failed to revoke {:?}: {error}", id.as_str()))
                })?;
            }
        }
    }
    Ok(Answer::Nothing)
}

async fn revoke_force(call: &Call) -> Result<Answer, Error> {
    let prefix = prefix_of(call)?;
    call.open.force_leases(&prefix).await?;
    // A mount that can't go because its engine can't undo something: that is forced as well.
    let table = call.open.mounts.table();
    for mounted in table.all().filter(|it| it.entry.tainted && it.info.path.starts_with(&prefix)) {
        let left = Removal { open: &call.open, entry: &mounted.entry }.give_up().await?;
        tracing::warn!(
            mount = mounted.info.path,
            left,
            "credentials are given up without undoing them"
        );
    }
    Ok(Answer::Nothing)
}

/// The prefix as a folder, so that `team` doesn't reach `team-b`; a whole lease id stays as it is.
fn prefix_of(call: &Call) -> Result<String, Error> {
    let captured = call.captured();
    if captured.ends_with('/') {
        return Err(Error::invalid("cannot write to a path ending in '/'"));
    }
    Ok(format!("{captured}/"))
}

async fn irrevocable(call: &Call) -> Result<Answer, Error> {
    let input: IrrevocableInput = call.input()?;
    if input.kind != "irrevocable" {
        return Err(Error::invalid("the only lease type to list is \"irrevocable\""));
    }
    let limit = usize::try_from(input.limit).unwrap_or(usize::MAX);
    let found = call.open.stores.leases.irrevocable_with_errors(limit).await?;
    let leases: Vec<_> = found
        .into_iter()
        .map(|lease| Irrevocable { lease_id: lease.id.to_string(), error: lease.error })
        .collect();
    let mut answer = Fields::new();
    answer.set("lease_count", &leases.len());
    answer.set("leases", &leases);
    Ok(data(answer.to_object()))
}

async fn count(call: &Call) -> Result<Answer, Error> {
    let input: IrrevocableInput = call.input()?;
    if input.kind != "irrevocable" {
        return Err(not_found());
    }
    let table = call.open.mounts.table();
    let (mut counts, mut all) = (BTreeMap::<String, usize>::new(), 0);
    let mut after: Option<LeaseId> = None;
    loop {
        let ids = call.open.stores.leases.irrevocable(after.as_ref(), PAGE).await?;
        all += ids.len();
        for id in &ids {
            if let Some((mounted, _)) = table.route(id.as_str()) {
                *counts.entry(mounted.entry.route()).or_default() += 1;
            }
        }
        after = ids.last().cloned();
        if after.is_none() {
            break;
        }
    }
    let mut answer = Fields::new();
    answer.set("lease_count", &all);
    answer.set("counts", &counts);
    Ok(data(answer.to_object()))
}

#[derive(Serialize)]
struct Irrevocable {
    lease_id: String,
    error: String,
}
