//! `sys/leases`, and the older `sys/renew` and `sys/revoke*`: looking up, listing, renewing and
//! revoking leases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::leases::LeaseService;
use strongroom_core::request::{CoreResponse, ResponseEnvelope};
use strongroom_core::unmount::Unmount;
use strongroom_core::unmount::UnmountService;
use strongroom_lease::LeaseKind;
use strongroom_mounts::MountRegistry;
use strongroom_schema::{DurationSecs, Input};
use strongroom_types::{Fields, LeaseId, Timestamp};

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler, keys_response,
    not_found,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "leases/lookup",
        help: "Returns the properties of a lease.",
        fields: &[LeaseInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(lookup_lease, leases),
            list: handler!(list_top_folders, leases),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "leases/lookup/{prefix..}",
        help: "Lists the leases and lease folders below a path.",
        fields: &[],
        handlers: VerbHandlers { list: handler!(list_leases, leases), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    lease_endpoint("leases/renew", "Renews a lease.", handler!(renew_lease, leases)),
    lease_endpoint(
        "leases/renew/{url_lease_id..}",
        "Renews a lease.",
        handler!(renew_lease, leases),
    ),
    lease_endpoint("renew", "Renews a lease.", handler!(renew_lease, leases)),
    lease_endpoint("renew/{url_lease_id..}", "Renews a lease.", handler!(renew_lease, leases)),
    lease_endpoint("leases/revoke", "Revokes a lease.", handler!(revoke_lease, leases)),
    lease_endpoint(
        "leases/revoke/{url_lease_id..}",
        "Revokes a lease.",
        handler!(revoke_lease, leases),
    ),
    lease_endpoint("revoke", "Revokes a lease.", handler!(revoke_lease, leases)),
    lease_endpoint("revoke/{url_lease_id..}", "Revokes a lease.", handler!(revoke_lease, leases)),
    lease_endpoint(
        "leases/revoke-prefix/{prefix..}",
        REVOKE_PREFIX_HELP,
        handler!(revoke_prefix, leases),
    ),
    lease_endpoint("revoke-prefix/{prefix..}", REVOKE_PREFIX_HELP, handler!(revoke_prefix, leases)),
    lease_endpoint(
        "leases/revoke-force/{prefix..}",
        REVOKE_FORCE_HELP,
        handler!(revoke_force, mounts, leases, unmounts),
    ),
    lease_endpoint(
        "revoke-force/{prefix..}",
        REVOKE_FORCE_HELP,
        handler!(revoke_force, mounts, leases, unmounts),
    ),
    ApiEndpoint {
        pattern: "leases/count",
        help: "Counts, by mount, the leases whose revocation is no longer attempted.",
        fields: &[IrrevocableInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(count_irrevocable_leases, mounts, leases),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "leases",
        help: "Lists the leases whose revocation is no longer attempted.",
        fields: &[IrrevocableInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(list_irrevocable_leases, leases),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
];

const REVOKE_PREFIX_HELP: &str = "Revokes all leases with a path prefix.";
const REVOKE_FORCE_HELP: &str = "Removes all leases with a path prefix, even if \
     revoking them fails. Their credentials may remain valid in the external systems.";

const fn lease_endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::EndpointHandler>,
) -> ApiEndpoint {
    let handlers = VerbHandlers { read: None, list: None, write, delete: None };
    let access = EndpointAccess::Policy;
    ApiEndpoint { pattern, help, fields: &[LeaseInput::FIELDS], handlers, access }
}

#[derive(Input)]
struct LeaseInput {
    /// The id of the lease.
    lease_id: String,
    /// The id of the lease, in the path.
    url_lease_id: String,
    /// The TTL to request; the lease's usual TTL if not given.
    increment: DurationSecs,
    /// Whether to wait for the revocation, and to report its failure.
    sync: bool,
}

#[derive(Input)]
struct IrrevocableInput {
    /// Must be `irrevocable`.
    #[field(rename = "type")]
    kind: String,
    /// The maximum number of leases to return.
    #[field(default = "10000")]
    limit: u32,
}

impl LeaseInput {
    fn parse_id(&self) -> Result<LeaseId, Error> {
        let (named, at) = (&self.lease_id, &self.url_lease_id);
        if !named.is_empty() && !at.is_empty() && named != at {
            // The ACL was evaluated on the path, so a different lease in the body must not be used.
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
struct LeaseLookupResponse<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    issue_time: String,
    expire_time: String,
    last_renewal: Option<String>,
    renewable: bool,
    ttl: u64,
}

async fn lookup_lease(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let id = call.parse_input::<LeaseInput>()?.parse_id()?;
    let found = leases.store.get(&id).await?;
    let Some(found) = found else { return Err(Error::invalid("invalid lease")) };
    let lease = &*found.lease;
    let path = id.as_str().rsplit_once('/').map(|(path, _)| path);
    let status = LeaseLookupResponse {
        id: id.as_str(),
        path: matches!(lease.kind, LeaseKind::Credential { .. }).then_some(path).flatten(),
        issue_time: lease.issued.to_rfc3339(),
        expire_time: lease.expires.to_rfc3339(),
        last_renewal: lease.last_renewal.map(Timestamp::to_rfc3339),
        renewable: lease.renewable,
        ttl: lease.ttl_left(call.clock.now()).as_secs(),
    };
    let object = strongroom_types::RawObject::from_serialize(&status);
    Ok(data_response(object.map_err(Error::unencodable)?))
}

/// Lists the top-level folders of lease ids.
async fn list_top_folders(
    _: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    const MAX_LISTED_KEYS: usize = 1_000_000;
    keys_response(&leases.store.list_children("", MAX_LISTED_KEYS).await?)
}

async fn list_leases(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    const MAX_LISTED_KEYS: usize = 1_000_000;
    let prefix = format!("{}/", call.first_capture().trim_end_matches('/'));
    keys_response(&leases.store.list_children(&prefix, MAX_LISTED_KEYS).await?)
}

async fn renew_lease(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let input: LeaseInput = call.parse_input()?;
    let renewed = leases.renew(&input.parse_id()?, input.increment.0).await?;
    Ok(CoreResponse::Envelope(Box::new(ResponseEnvelope {
        lease_id: renewed.lease.id.to_string(),
        renewable: renewed.lease.renewable,
        lease_duration: renewed.lease.ttl,
        warnings: renewed.warnings,
        ..ResponseEnvelope::default()
    })))
}

/// Revokes one lease. Waits for the first attempt, up to [`REVOKE_WAIT`] unless `sync` is set. A
/// failed attempt is retried in the background and is reported to the client only with `sync`.
async fn revoke_lease(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let input: LeaseInput = call.parse_input()?;
    let id = input.parse_id()?;
    let revoked = leases.expiration.revoke(&id);
    let clock = &call.clock;
    let patience = clock.sleep(REVOKE_WAIT);
    let outcome = tokio::select! {
        outcome = revoked => outcome?,
        () = patience, if !input.sync => Ok(()),
    };
    match outcome {
        Err(error) if input.sync => {
            let text = format!("failed to revoke entry: {error}");
            Err(Error::internal(text).caused_by(error))
        }
        _ => Ok(CoreResponse::Nothing),
    }
}

/// How long a revocation request without `sync` waits for the revocation before it returns.
pub(crate) const REVOKE_WAIT: Duration = Duration::from_secs(5);

async fn revoke_prefix(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let input: LeaseInput = call.parse_input()?;
    let prefix = captured_prefix(call)?;
    let mut pages = leases.store.id_pages(&prefix);
    while let Some(ids) = pages.next_page().await? {
        leases.expiration.mark_all_for_revocation(&ids).await?;
        if input.sync {
            for id in &ids {
                let outcome = leases.expiration.revoke(id).await?;
                outcome.map_err(|error| {
                    let text = format!("failed to revoke {:?}: {error}", id.as_str());
                    Error::internal(text).caused_by(error)
                })?;
            }
        }
    }
    Ok(CoreResponse::Nothing)
}

async fn revoke_force(
    call: &EndpointCall,
    mounts: &MountRegistry,
    leases: &Arc<LeaseService>,
    unmounts: &UnmountService,
) -> Result<CoreResponse, Error> {
    let prefix = captured_prefix(call)?;
    leases.revoke_force_prefix(&prefix).await?;
    // Also lets pending unmounts finish: abandon the intents that block the removal of a tainted
    // mount below the prefix.
    let table = mounts.table();
    for mounted in
        table.all_mounts().filter(|it| it.entry.tainted && it.info.path.starts_with(&prefix))
    {
        let left = Unmount { unmounts, entry: &mounted.entry }.abandon_intents().await?;
        tracing::warn!(
            mount = mounted.info.path,
            left,
            "credentials are abandoned without being revoked"
        );
    }
    Ok(CoreResponse::Nothing)
}

/// The captured prefix with a slash at its end, so that `team` doesn't match `team-b`.
fn captured_prefix(call: &EndpointCall) -> Result<String, Error> {
    let captured = call.first_capture();
    if captured.ends_with('/') {
        return Err(Error::invalid("cannot write to a path ending in '/'"));
    }
    Ok(format!("{captured}/"))
}

async fn list_irrevocable_leases(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let input: IrrevocableInput = call.parse_input()?;
    if input.kind != "irrevocable" {
        return Err(Error::invalid("the only lease type to list is \"irrevocable\""));
    }
    let limit = usize::try_from(input.limit).unwrap_or(usize::MAX);
    let found = leases.store.irrevocable_leases(limit).await?;
    let leases: Vec<_> = found
        .into_iter()
        .map(|lease| IrrevocableLeaseResponse {
            lease_id: lease.id.to_string(),
            error: lease.error,
        })
        .collect();
    let mut answer = Fields::new();
    answer.set("lease_count", &leases.len());
    answer.set("leases", &leases);
    Ok(data_response(answer.to_object()))
}

async fn count_irrevocable_leases(
    call: &EndpointCall,
    mounts: &MountRegistry,
    leases: &Arc<LeaseService>,
) -> Result<CoreResponse, Error> {
    let input: IrrevocableInput = call.parse_input()?;
    if input.kind != "irrevocable" {
        return Err(not_found());
    }
    let table = mounts.table();
    let (mut counts, mut all) = (BTreeMap::<String, usize>::new(), 0);
    let mut pages = leases.store.irrevocable_id_pages();
    while let Some(ids) = pages.next_page().await? {
        all += ids.len();
        for id in &ids {
            if let Some((mounted, _)) = table.longest_match(id.as_str()) {
                *counts.entry(mounted.entry.route()).or_default() += 1;
            }
        }
    }
    let mut answer = Fields::new();
    answer.set("lease_count", &all);
    answer.set("counts", &counts);
    Ok(data_response(answer.to_object()))
}

#[derive(Serialize)]
struct IrrevocableLeaseResponse {
    lease_id: String,
    error: String,
}
