//! [`EntityInfo`]: an entity of the host's identity store, as an engine may see it.

use std::collections::BTreeMap;

/// An entity: a person or machine, which may log in through several auth methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityInfo {
    /// The id of the entity, as in the caller of a request.
    pub id: String,
    /// The entity's name in the identity store.
    pub name: String,
    /// The metadata that operators gave the entity.
    pub metadata: BTreeMap<String, String>,
    /// The names under which the entity logs in, one for each auth method.
    pub aliases: Vec<EntityAlias>,
    /// Whether the entity is disabled, so that its tokens are refused.
    pub is_disabled: bool,
}

/// A name under which an entity logs in through one auth method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityAlias {
    /// The user's name in the auth method.
    pub name: String,
    /// The accessor of the auth method's mount.
    pub mount_accessor: String,
    /// The type of the auth method, such as `userpass`.
    pub mount_type: String,
    /// The metadata that the auth method gave the user at the last login.
    pub metadata: BTreeMap<String, String>,
    /// The metadata that operators gave the alias.
    pub custom_metadata: BTreeMap<String, String>,
}

/// A group of the identity store that an entity belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityGroup {
    /// The id of the group, which a new name doesn't change.
    pub id: String,
    /// The group's name in the identity store.
    pub name: String,
    /// The metadata that operators gave the group.
    pub metadata: BTreeMap<String, String>,
}
