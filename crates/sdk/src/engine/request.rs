//! [`EngineRequest`]: one operation on one path below a mount.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_types::{Fields, Namespace, RawObject, RequestId, Timestamp, Ttl};

use super::auth::EngineAuth;

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Write something that isn't there yet.
    Create,
    /// Write.
    Update,
    /// Merge into what is there (RFC 7396).
    Patch,
    /// Read.
    Read,
    /// List a folder.
    List,
    /// Delete.
    Delete,
    /// Describe the path.
    Help,
    /// Extend a credential. Sent by the core only.
    Renew,
    /// Take a credential back. Sent by the core only.
    Revoke,
}

impl Operation {
    /// The name in policies, audit entries and on the plug-in wire.
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
        }
    }

    /// Whether the operation asks for data, so that no data means "not found".
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::List | Self::Help)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request, as an engine sees it. It carries no token and no storage: the storage belongs to
/// the instance, and the token is the core's business.
#[derive(Clone)]
pub struct EngineRequest {
    /// The same id as in the client's answer and in the log.
    pub id: RequestId,
    /// What is asked.
    pub operation: Operation,
    /// The path below the mount, without a leading slash.
    pub path: String,
    /// The body's fields, or those of the query.
    pub fields: Fields,
    /// The mount it came through.
    pub mount: Arc<MountInfo>,
    /// Who asks.
    pub caller: CallerInfo,
    /// Where from.
    pub connection: Option<ConnectionInfo>,
    /// Request headers the mount lets through, in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The lifetime the client wants its wrapped answer to have.
    pub wrap_ttl: Option<Ttl>,
    /// The lease, on [`Operation::Renew`] and [`Operation::Revoke`].
    pub lease: Option<LeaseContext>,
    /// The login, where it is one that is to be renewed.
    pub auth: Option<Box<EngineAuth>>,
    /// The namespace it acts in.
    pub namespace: Namespace,
    /// When nobody waits for the answer any more.
    pub deadline: Timestamp,
}

impl fmt::Debug for EngineRequest {
    /// Of headers the names only: a mount may let an `authorization` through.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineRequest")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("path", &self.path)
            .field("fields", &self.fields)
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

/// What an engine may know of its mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// The mount's path with its trailing slash: `custom/`.
    pub path: String,
    /// The mount's type, which is the plug-in's name.
    pub mount_type: String,
    /// The mount's accessor.
    pub accessor: String,
}

/// What an engine may know of the caller.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallerInfo {
    /// The token's accessor; empty on unauthenticated paths.
    pub accessor: String,
    /// The token's display name, such as `token-ci`.
    pub display_name: String,
    /// The entity behind the token; empty if none.
    pub entity_id: String,
    /// A keyed hash of the token, different for each mount. Only for engines that
    /// [ask for it](super::EngineDescription::wants_token_hash).
    pub token_hash: Option<String>,
    /// Whether the path needs no token.
    pub unauthenticated: bool,
}

impl fmt::Debug for CallerInfo {
    /// The hash is only said to be there: it is as good as the token to whoever looks one up by it.
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

/// The client's end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub address: IpAddr,
    /// The client's port.
    pub port: u16,
}

/// The lease of a credential that is to be renewed or revoked.
#[derive(Clone, Debug)]
pub struct LeaseContext {
    /// What the engine asked to be kept with the lease.
    pub internal: RawObject,
    /// When the credential was issued.
    pub issued: Timestamp,
    /// The lease's present lifetime.
    pub ttl: Ttl,
    /// The longest lifetime the engine gave it; zero for none.
    pub max_ttl: Ttl,
    /// Whether the engine said it can be renewed.
    pub renewable: bool,
    /// The extension the client asks for; zero if it left that open.
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
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("password") && printed.contains("authorization"), "{printed}");
    }
}
