//! [`EngineRequest`]: one operation on one path below a mount.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_types::{Fields, Namespace, RawObject, RequestId, Timestamp, Ttl};

use super::auth::EngineAuth;

/// The operation that a request performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Write an object that doesn't exist yet.
    Create,
    /// Write an object that exists, or one on a path without an existence check.
    Update,
    /// Merge the body into the existing object (JSON merge patch, RFC 7396).
    Patch,
    /// Read the object at the path.
    Read,
    /// List the names in a folder.
    List,
    /// Delete the object at the path.
    Delete,
    /// Return the help text and the OpenAPI description of the path.
    Help,
    /// Renew a lease: extend the credential or the login. Sent by the core only.
    Renew,
    /// Revoke a leased credential. Sent by the core only.
    Revoke,
    /// Return the alias that a login request claims, without deciding on the login. Sent by the
    /// core only, to auth methods; the response is an
    /// [`EngineResponse::Auth`](super::EngineResponse::Auth) with nothing but the alias.
    AliasLookahead,
    /// Return the role of a login request in the field `role`. Sent by the core only, to auth
    /// methods.
    ResolveRole,
}

impl Operation {
    /// The operation's name in policies, in audit entries and on the plug-in wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Help => "help",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::AliasLookahead => "alias-lookahead",
            Self::ResolveRole => "resolve-role",
        }
    }

    /// Whether the operation returns data, so that a response without data means "not found".
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::List | Self::Help)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request, as an engine receives it. It carries neither the token, which only the core has,
/// nor the storage, which belongs to the instance.
#[derive(Clone)]
pub struct EngineRequest {
    /// The request id, the same as in the client's response and in the log.
    pub id: RequestId,
    /// The operation to perform; a client's write arrives as create or update.
    pub operation: Operation,
    /// The path below the mount, without a leading slash.
    pub path: String,
    /// The fields of the body for writes and patches, of the query string for other operations. On
    /// [`Operation::Renew`] and [`Operation::Revoke`], the client's data of the credential if it is
    /// stored with the lease (see [`LeasedResponse::keep_data`](super::LeasedResponse::keep_data)).
    pub fields: Fields,
    /// The body of a write, unparsed. Present only on the paths that the engine declares in
    /// [`SpecialPaths::binary`](super::SpecialPaths::binary); `fields` then has those of the query.
    pub raw_body: Option<Box<RawRequestBody>>,
    /// The mount that the request was routed to.
    pub mount: Arc<MountInfo>,
    /// The caller, as far as an engine may identify it.
    pub caller: CallerInfo,
    /// The client's address and port, if known.
    pub connection: Option<ConnectionInfo>,
    /// Request headers that the mount passes through; names in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The TTL of the wrapping token, if the client asked for response wrapping.
    pub wrap_ttl: Option<Ttl>,
    /// The lease; present on [`Operation::Renew`] and [`Operation::Revoke`].
    pub lease: Option<LeaseContext>,
    /// The login to renew, when a token's lease and not a credential's is renewed.
    pub auth: Option<Box<EngineAuth>>,
    /// The namespace that the request acts in.
    pub namespace: Namespace,
    /// When the caller stops waiting for the response.
    pub deadline: Timestamp,
}

impl fmt::Debug for EngineRequest {
    /// Prints only the names of headers: a mount may pass `authorization` through.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRequest")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("path", &self.path)
            .field("fields", &self.fields)
            .field("raw_body", &self.raw_body)
            .field("mount", &self.mount)
            .field("caller", &self.caller)
            .field("connection", &self.connection)
            .field("headers", &self.headers.keys())
            .field("wrap_ttl", &self.wrap_ttl)
            .field("lease", &self.lease)
            .field("auth", &self.auth)
            .field("namespace", &self.namespace)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// The body of a request as the client sent it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawRequestBody {
    /// The `Content-Type` of the request; empty if it has none. The client chooses it, so it proves
    /// nothing about the bytes.
    pub content_type: String,
    /// The bytes of the body; may be empty. They may be a secret.
    pub bytes: Bytes,
}

impl fmt::Debug for RawRequestBody {
    /// Prints only the size of the body, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequestBody").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What an engine may know about its mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// The mount's path with a trailing slash: `custom/`.
    pub path: String,
    /// The mount's type, which is the plug-in's name: `kv`.
    pub mount_type: String,
    /// The mount's accessor, which stays the same when the mount is moved.
    pub accessor: String,
}

/// What an engine may know about the caller. It never includes the token itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallerInfo {
    /// The token's accessor; empty on unauthenticated paths.
    pub accessor: String,
    /// The token's display name, such as `token-ci`.
    pub display_name: String,
    /// The id of the entity that the token belongs to; empty if there is none.
    pub entity_id: String,
    /// A keyed hash of the token, different for each mount. Present only for engines that [request
    /// it](super::EngineDescription::wants_token_hash).
    pub token_hash: Option<String>,
    /// Whether the path can be called without a token.
    pub unauthenticated: bool,
}

impl fmt::Debug for CallerInfo {
    /// Prints only whether the hash is present: data looked up by it would be accessible to its
    /// holder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerInfo")
            .field("accessor", &self.accessor)
            .field("display_name", &self.display_name)
            .field("entity_id", &self.entity_id)
            .field("token_hash", &self.token_hash.is_some())
            .field("unauthenticated", &self.unauthenticated)
            .finish()
    }
}

/// The client's end of the network connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The IP address of the client.
    pub address: IpAddr,
    /// The TCP port of the connection, on the client's side.
    pub port: u16,
    /// The certificates that the client showed in the TLS handshake; `None` if it showed none.
    pub certificates: Option<Arc<ClientCertificates>>,
}

impl ConnectionInfo {
    /// Describes a client that showed no certificate in the TLS handshake, or uses no TLS.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self { address, port, certificates: None }
    }
}

/// The certificates of a client, which it showed in the TLS handshake.
///
/// The handshake has proven that the client has the private key of the first one. Nothing else was
/// checked, unless the listener is configured with authorities: who issued it, whether it has
/// expired, and what it may be used for are for the engine to decide.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The client's own certificate first, then those of authorities that it sent with it; in DER.
    pub chain: Vec<Bytes>,
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates").field("count", &self.chain.len()).finish()
    }
}

/// The lease of a credential that is being renewed or revoked.
#[derive(Clone, Debug)]
pub struct LeaseContext {
    /// The data that the engine stored with the lease.
    pub internal: RawObject,
    /// When the credential was issued.
    pub issued: Timestamp,
    /// The lifetime that the lease has now, before this operation.
    pub ttl: Ttl,
    /// The maximum lifetime that the engine set when issuing; zero if it set none.
    pub max_ttl: Ttl,
    /// Whether the engine declared the credential renewable.
    pub renewable: bool,
    /// The extension that the client requests; zero if it requests none in particular.
    pub increment: Ttl,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_what_may_be_a_secret() {
        let mut fields = Fields::new();
        fields.set("password", &"hunter2");
        let mount = MountInfo {
            path: "custom/".to_owned(),
            mount_type: "t".to_owned(),
            accessor: "t_1".to_owned(),
        };
        let request = EngineRequest {
            id: RequestId::parse("r1").unwrap(),
            operation: Operation::Update,
            path: "config".to_owned(),
            fields,
            raw_body: Some(Box::new(RawRequestBody {
                content_type: "text/plain".to_owned(),
                bytes: Bytes::from_static(b"hunter2"),
            })),
            mount: Arc::new(mount),
            caller: CallerInfo { token_hash: Some("hunter2".to_owned()), ..CallerInfo::default() },
            connection: None,
            headers: [("authorization".to_owned(), vec!["hunter2".to_owned()])].into(),
            wrap_ttl: None,
            lease: Some(LeaseContext {
                internal: RawObject::from_own_json(r#"{"key":"hunter2"}"#),
                issued: Timestamp::EPOCH,
                ttl: Ttl::ZERO,
                max_ttl: Ttl::ZERO,
                renewable: false,
                increment: Ttl::ZERO,
            }),
            auth: None,
            namespace: Namespace::Root,
            deadline: Timestamp::EPOCH,
        };
        let printed = format!("{request:?}");
        let bytes = format!("{:?}", b"hunter2");
        assert!(!printed.contains("hunter2") && !printed.contains(&bytes), "{printed}");
        assert!(printed.contains("password") && printed.contains("authorization"), "{printed}");
    }
}
