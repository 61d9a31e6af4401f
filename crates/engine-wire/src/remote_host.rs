//! The engine's view of the host's storage and system services, in a plug-in process.

use std::fmt;
use std::sync::RwLock;

use async_trait::async_trait;
use strongroom_engine::{
    ClusterInfo, EntityGroup, EntityInfo, MountLifetimes, Storage, StorageBatch, StorageChange,
    StorageEntry, StorageError, StoragePrecondition, SystemError, SystemView, WrappingToken,
};
use strongroom_plugin_protocol::generated::pb;
use strongroom_plugin_protocol::generated::pb::storage_client::StorageClient;
use strongroom_plugin_protocol::generated::pb::system_view_client::SystemViewClient;
use strongroom_plugin_protocol::generated::strongroom::mount_storage_client::MountStorageClient;
use strongroom_plugin_protocol::generated::strongroom::{self as own, commit_reply, precondition};
use strongroom_plugin_protocol::transport::{AnySize, Channel};
use strongroom_plugin_protocol::values::time;
use strongroom_types::{RawObject, Secret, Timestamp, Ttl};

use crate::call_errors::{storage_call_error, system_call_error};
use crate::convert::storage_error_from_text;
use crate::identity::{entity_from_wire, group_from_wire};
use crate::primitives::{object_to_wire, ttl_from_nanos, ttl_to_nanos};

/// The mount's storage, reached through the plug-in protocol.
pub(crate) struct RemoteStorage {
    vault_storage: StorageClient<Channel>,
    /// Storage with versions and atomic batches; present if the host is Strongroom.
    strongroom_storage: Option<MountStorageClient<Channel>>,
}

impl RemoteStorage {
    pub(crate) fn new(channel: &Channel, is_ours: bool) -> Self {
        Self {
            vault_storage: StorageClient::new(channel.clone()).any_size(),
            strongroom_storage: is_ours
                .then(|| MountStorageClient::new(channel.clone()).any_size()),
        }
    }

    /// Applies the changes one after the other, for hosts without atomic batches.
    async fn apply_one_by_one(&self, batch: StorageBatch) -> Result<(), StorageError> {
        if !batch.preconditions.is_empty() {
            return Err(StorageError::Unsupported);
        }
        for change in batch.changes {
            let err = match change {
                StorageChange::Put { key, value, seal_wrap } => {
                    let entry = Some(pb::StorageEntry { key, value, seal_wrap });
                    let args = pb::StoragePutArgs { entry, txn: String::new() };
                    self.vault_storage
                        .clone()
                        .put(args)
                        .await
                        .map_err(|status| storage_call_error(&status))?
                        .into_inner()
                        .err
                }
                StorageChange::Delete { key } => {
                    let args = pb::StorageDeleteArgs { key, txn: String::new() };
                    self.vault_storage
                        .clone()
                        .delete(args)
                        .await
                        .map_err(|status| storage_call_error(&status))?
                        .into_inner()
                        .err
                }
            };
            check_error_text(err)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for RemoteStorage {
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError> {
        let key = key.to_owned();
        if let Some(own) = &self.strongroom_storage {
            let reply = own
                .clone()
                .get_versioned(own::GetRequest { key })
                .await
                .map_err(|status| storage_call_error(&status))?;
            let reply = reply.into_inner();
            check_error_text(reply.err)?;
            return Ok(reply.entry.map(|entry| StorageEntry {
                value: entry.value,
                version: entry.version,
                seal_wrap: entry.seal_wrap,
            }));
        }
        let args = pb::StorageGetArgs { key, txn: String::new() };
        let reply = self
            .vault_storage
            .clone()
            .get(args)
            .await
            .map_err(|status| storage_call_error(&status))?
            .into_inner();
        check_error_text(reply.err)?;
        Ok(reply.entry.map(|entry| StorageEntry {
            value: entry.value,
            version: 0,
            seal_wrap: entry.seal_wrap,
        }))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        if self.strongroom_storage.is_some() {
            let args = pb::StorageListPageArgs {
                prefix: prefix.to_owned(),
                after: after.unwrap_or_default().to_owned(),
                limit: i32::try_from(limit).unwrap_or(i32::MAX),
                txn: String::new(),
            };
            let reply = self
                .vault_storage
                .clone()
                .list_page(args)
                .await
                .map_err(|status| storage_call_error(&status))?
                .into_inner();
            check_error_text(reply.err)?;
            return Ok(reply.keys);
        }
        let args = pb::StorageListArgs { prefix: prefix.to_owned(), txn: String::new() };
        let reply = self
            .vault_storage
            .clone()
            .list(args)
            .await
            .map_err(|status| storage_call_error(&status))?
            .into_inner();
        check_error_text(reply.err)?;
        let mut keys = reply.keys;
        keys.retain(|key| after.is_none_or(|after| key.as_str() > after));
        keys.truncate(limit);
        Ok(keys)
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        let Some(own) = &self.strongroom_storage else { return self.apply_one_by_one(batch).await };
        let reply = own
            .clone()
            .commit(batch_to_wire(batch))
            .await
            .map_err(|status| storage_call_error(&status))?
            .into_inner();
        match reply.outcome {
            Some(commit_reply::Outcome::Committed(_)) => Ok(()),
            Some(commit_reply::Outcome::Failed(failed)) => {
                Err(StorageError::Precondition(failed.key))
            }
            Some(commit_reply::Outcome::Err(text)) => Err(storage_error_from_text(text)),
            None => Err(StorageError::Failed("the host gave no outcome".to_owned())),
        }
    }

    fn is_atomic(&self) -> bool {
        self.strongroom_storage.is_some()
    }
}

fn batch_to_wire(batch: StorageBatch) -> own::CommitRequest {
    use precondition::Requirement;
    let mut request = own::CommitRequest::default();
    for condition in batch.preconditions {
        let (key, requirement) = match condition {
            StoragePrecondition::Exists(key) => (key, Requirement::Exists(own::Exists {})),
            StoragePrecondition::Absent(key) => (key, Requirement::Absent(own::Absent {})),
            StoragePrecondition::Unchanged(key, version) => {
                (key, Requirement::Unchanged(own::Unchanged { version }))
            }
        };
        request.preconditions.push(own::Precondition { key, requirement: Some(requirement) });
    }
    for change in batch.changes {
        match change {
            StorageChange::Put { key, value, seal_wrap } => {
                request.puts.push(own::Put { key, value, seal_wrap });
            }
            StorageChange::Delete { key } => request.deletes.push(key),
        }
    }
    request
}

fn check_error_text(err: String) -> Result<(), StorageError> {
    if err.is_empty() { Ok(()) } else { Err(storage_error_from_text(err)) }
}

impl fmt::Debug for RemoteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStorage")
            .field("atomic", &self.strongroom_storage.is_some())
            .finish_non_exhaustive()
    }
}

/// The system view, reached through the plug-in protocol.
pub(crate) struct RemoteSystem {
    client: SystemViewClient<Channel>,
    /// The lifetimes that the host sent with the last request, if it sends them.
    announced_lifetimes: RwLock<Option<MountLifetimes>>,
}

impl RemoteSystem {
    pub(crate) fn new(channel: &Channel) -> Self {
        let client = SystemViewClient::new(channel.clone()).any_size();
        Self { client, announced_lifetimes: RwLock::new(None) }
    }

    /// Parses and keeps `<default>,<maximum>` in seconds.
    pub(crate) fn set_announced_lifetimes(&self, text: &str) {
        let secs = |text: &str| text.parse().ok().map(Ttl::from_secs);
        let Some((default, max)) = text.split_once(',') else { return };
        let (Some(default), Some(max)) = (secs(default), secs(max)) else { return };
        let told = Some(MountLifetimes { default, max });
        let known =
            *self.announced_lifetimes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known != told {
            *self.announced_lifetimes.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
                told;
        }
    }
}

#[async_trait]
impl SystemView for RemoteSystem {
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
        let told =
            *self.announced_lifetimes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(told) = told {
            return Ok(told);
        }
        let ttl = |reply: pb::TtlReply| Ttl::rounded_up(time::duration_from_wire(reply.ttl));
        let (mut one, mut other) = (self.client.clone(), self.client.clone());
        let asked =
            tokio::join!(one.default_lease_ttl(pb::Empty {}), other.max_lease_ttl(pb::Empty {}));
        let (default, max) = (
            asked.0.map_err(|status| system_call_error(&status))?,
            asked.1.map_err(|status| system_call_error(&status))?,
        );
        Ok(MountLifetimes { default: ttl(default.into_inner()), max: ttl(max.into_inner()) })
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        let reply = self
            .client
            .clone()
            .tainted(pb::Empty {})
            .await
            .map_err(|status| system_call_error(&status))?;
        Ok(reply.into_inner().tainted)
    }

    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
        let reply = self
            .client
            .clone()
            .cluster_info(pb::Empty {})
            .await
            .map_err(|status| system_call_error(&status))?;
        let reply = reply.into_inner();
        check_system_error(reply.err)?;
        Ok(ClusterInfo { name: reply.cluster_name, id: reply.cluster_id })
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        let reply = self
            .client
            .clone()
            .plugin_env(pb::Empty {})
            .await
            .map_err(|status| system_call_error(&status))?;
        let environment = reply.into_inner().plugin_environment.unwrap_or_default();
        Ok(environment.vault_version)
    }

    async fn generate_password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        let request = pb::GeneratePasswordFromPolicyRequest { policy_name: policy.to_owned() };
        let reply = self
            .client
            .clone()
            .generate_password_from_policy(request)
            .await
            .map_err(|status| system_call_error(&status))?;
        Ok(Secret::new(reply.into_inner().password))
    }

    async fn entity(&self, id: &str) -> Result<Option<EntityInfo>, SystemError> {
        let args = pb::EntityInfoArgs { entity_id: id.to_owned() };
        let reply = self
            .client
            .clone()
            .entity_info(args)
            .await
            .map_err(|status| system_call_error(&status))?
            .into_inner();
        check_system_error(reply.err)?;
        Ok(reply.entity.map(entity_from_wire))
    }

    async fn entity_groups(&self, id: &str) -> Result<Vec<EntityGroup>, SystemError> {
        let args = pb::EntityInfoArgs { entity_id: id.to_owned() };
        let reply = self
            .client
            .clone()
            .groups_for_entity(args)
            .await
            .map_err(|status| system_call_error(&status))?
            .into_inner();
        check_system_error(reply.err)?;
        Ok(reply.groups.into_iter().map(group_from_wire).collect())
    }

    async fn wrap_data(&self, data: RawObject, ttl: Ttl) -> Result<WrappingToken, SystemError> {
        if ttl.is_zero() {
            return Err(SystemError("a wrapping token needs a lifetime".to_owned()));
        }
        let args = pb::ResponseWrapDataArgs {
            data: object_to_wire(data),
            ttl: ttl_to_nanos(ttl),
            jwt: false,
        };
        let reply = self
            .client
            .clone()
            .response_wrap_data(args)
            .await
            .map_err(|status| system_call_error(&status))?
            .into_inner();
        check_system_error(reply.err)?;
        let info = reply.wrap_info.filter(|info| !info.token.is_empty());
        let info = info.ok_or_else(|| SystemError("the host gave no wrapping token".to_owned()))?;
        let created = time::from_wire(info.creation_time.as_ref()).ok().flatten();
        Ok(WrappingToken {
            token: Secret::new(info.token),
            accessor: info.accessor,
            ttl: ttl_from_nanos(info.ttl),
            creation_time: created.unwrap_or(Timestamp::EPOCH),
            creation_path: info.creation_path,
        })
    }
}

fn check_system_error(err: String) -> Result<(), SystemError> {
    if err.is_empty() { Ok(()) } else { Err(SystemError(err)) }
}

impl fmt::Debug for RemoteSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteSystem")
    }
}
