//! Conversion of entities and groups to and from messages.

use strongroom_engine::{EntityAlias, EntityGroup, EntityInfo};
use strongroom_plugin_protocol::generated::logical;

/// The id of the root namespace in messages.
const ROOT_NAMESPACE: &str = "root";

pub(crate) fn entity_to_wire(entity: EntityInfo) -> logical::Entity {
    let aliases = entity.aliases.into_iter().map(|alias| logical::Alias {
        mount_type: alias.mount_type,
        mount_accessor: alias.mount_accessor,
        name: alias.name,
        metadata: alias.metadata,
        custom_metadata: alias.custom_metadata,
        namespace_id: ROOT_NAMESPACE.to_owned(),
        ..logical::Alias::default()
    });
    logical::Entity {
        id: entity.id,
        name: entity.name,
        aliases: aliases.collect(),
        metadata: entity.metadata,
        disabled: entity.is_disabled,
        namespace_id: ROOT_NAMESPACE.to_owned(),
    }
}

pub(crate) fn entity_from_wire(entity: logical::Entity) -> EntityInfo {
    let aliases = entity.aliases.into_iter().map(|alias| EntityAlias {
        name: alias.name,
        mount_accessor: alias.mount_accessor,
        mount_type: alias.mount_type,
        metadata: alias.metadata,
        custom_metadata: alias.custom_metadata,
    });
    EntityInfo {
        id: entity.id,
        name: entity.name,
        metadata: entity.metadata,
        aliases: aliases.collect(),
        is_disabled: entity.disabled,
    }
}

pub(crate) fn group_to_wire(group: EntityGroup) -> logical::Group {
    logical::Group {
        id: group.id,
        name: group.name,
        metadata: group.metadata,
        namespace_id: ROOT_NAMESPACE.to_owned(),
    }
}

pub(crate) fn group_from_wire(group: logical::Group) -> EntityGroup {
    EntityGroup { id: group.id, name: group.name, metadata: group.metadata }
}
