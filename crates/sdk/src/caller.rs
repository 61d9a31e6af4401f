//! [`RequestCaller`]: who sent a request, and the headers that came with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_engine::{ClientCertificates, EngineRequest, Operation};

/// The caller of a request, as far as the host identifies it. The token itself is known to the host
/// only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCaller {
    entity_id: String,
    accessor: String,
    display_name: String,
    address: Option<IpAddr>,
    certificates: Option<Arc<ClientCertificates>>,
    unauthenticated: bool,
}

impl RequestCaller {
    /// The caller of a request; `None` for a renewal or revocation that the host sends by itself.
    pub(crate) fn of_request(request: &EngineRequest) -> Option<Self> {
        let caller = &request.caller;
        let is_of_lease = matches!(request.operation, Operation::Renew | Operation::Revoke);
        let is_nobody = caller.accessor.is_empty() && caller.entity_id.is_empty();
        if is_of_lease && is_nobody {
            return None;
        }
        Some(Self {
            entity_id: caller.entity_id.clone(),
            accessor: caller.accessor.clone(),
            display_name: caller.display_name.clone(),
            address: request.connection.as_ref().map(|connection| connection.address),
            certificates: request.connection.as_ref().and_then(|it| it.certificates.clone()),
            unauthenticated: caller.unauthenticated,
        })
    }

    /// The id of the entity that the token belongs to; `None` if it belongs to none, as always under
    /// Strongroom, which has no entities yet.
    pub fn entity_id(&self) -> Option<&str> {
        non_empty(&self.entity_id)
    }

    /// The accessor of the token; `None` on unauthenticated paths.
    pub fn accessor(&self) -> Option<&str> {
        non_empty(&self.accessor)
    }

    /// The display name of the token, such as `token-ci`; empty on unauthenticated paths. Whoever
    /// creates a token chooses it, so it identifies nobody.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// The client's IP address; `None` if the request did not come over the network, or the host
    /// doesn't say. It is that of a proxy unless the host's listener is configured to resolve it.
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The certificates that the client showed in the TLS handshake of its connection; `None` if it
    /// showed none, or if a proxy is in between. The handshake has proven that the client has the key
    /// of the first one; nothing else about them was checked.
    pub fn certificates(&self) -> Option<&ClientCertificates> {
        self.certificates.as_deref()
    }

    /// Whether the path can be called without a token. The host then ignores a token that is sent
    /// along.
    pub fn is_unauthenticated(&self) -> bool {
        self.unauthenticated
    }
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The request headers that the mount passes through. Names are in lower case.
#[derive(Clone, Default)]
pub(crate) struct PassedHeaders(pub(crate) BTreeMap<String, Vec<String>>);

impl fmt::Debug for PassedHeaders {
    /// Prints only the names: a mount may pass `authorization` through.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
