//! Types of responses.

use std::collections::BTreeMap;

use strongroom_sdk::action::{WithSecrets, WithoutSecrets};
use strongroom_sdk::field::{FieldSpec, ObjectWriter};
use strongroom_sdk::{KeyValues, NullableField, ResponseData, Timestamp, Ttl, Verbatim};

use super::entry::{KvEntry, KvVersion};

/// The metadata of one version.
#[derive(Clone, Debug)]
pub(crate) struct VersionMetadata {
    number: u64,
    version: KvVersion,
    custom_metadata: NullableField<KeyValues>,
}

impl VersionMetadata {
    /// The metadata of a version, if the entry has that version.
    pub(crate) fn from_entry(entry: &KvEntry, number: u64) -> Option<Self> {
        let custom = custom_metadata_of(entry);
        entry.version(number).map(|version| Self {
            number,
            version: *version,
            custom_metadata: custom,
        })
    }
}

impl ResponseData for VersionMetadata {
    const FIELDS: &'static [FieldSpec] = &[];

    type Secrecy = WithoutSecrets;

    fn write(&self, out: &mut ObjectWriter) {
        out.field("created_time", &self.version.created.to_rfc3339());
        out.field("custom_metadata", &self.custom_metadata);
        out.field("deletion_time", &rfc3339_or_empty(self.version.deletion));
        out.field("destroyed", &self.version.destroyed);
        out.field("version", &self.number);
    }
}

/// A version's data, or its subkeys, with its metadata.
pub(crate) struct VersionResponse {
    /// The name of the first field, `data` or `subkeys`.
    pub(crate) field_name: &'static str,
    pub(crate) content: Option<Verbatim>,
    pub(crate) metadata: VersionMetadata,
}

impl ResponseData for VersionResponse {
    const FIELDS: &'static [FieldSpec] = &[];

    type Secrecy = WithSecrets;

    fn write(&self, out: &mut ObjectWriter) {
        out.field(self.field_name, &NullableField::from(self.content.clone()));
        out.write_object("metadata", |out| self.metadata.write(out));
    }
}

/// The metadata of an entry.
pub(crate) struct MetadataResponse(pub(crate) KvEntry);

impl ResponseData for MetadataResponse {
    const FIELDS: &'static [FieldSpec] = &[];

    type Secrecy = WithoutSecrets;

    fn write(&self, out: &mut ObjectWriter) {
        let (entry, settings) = (&self.0, &self.0.metadata.settings);
        out.field("cas_required", &settings.cas_required);
        out.field("created_time", &entry.metadata.created.to_rfc3339());
        out.field("current_metadata_version", &entry.metadata.settings_version);
        out.field("current_version", &entry.current_version());
        out.field("custom_metadata", &custom_metadata_of(entry));
        let after = Ttl::from_secs(settings.delete_after_secs);
        out.field("delete_version_after", &after.to_string());
        out.field("max_versions", &settings.max_versions);
        out.field("metadata_cas_required", &settings.metadata_cas_required);
        out.field("oldest_version", &entry.oldest_version());
        out.field("updated_time", &entry.metadata.updated.to_rfc3339());
        out.write_object("versions", |out| {
            for (number, version) in entry.versions() {
                out.write_object(&number.to_string(), |out| {
                    out.field("created_time", &version.created.to_rfc3339());
                    out.field("deletion_time", &rfc3339_or_empty(version.deletion));
                    out.field("destroyed", &version.destroyed);
                });
            }
        });
    }
}

/// A list of names, with the metadata of those that aren't folders.
pub(crate) struct DetailedMetadataResponse {
    pub(crate) keys: Vec<String>,
    pub(crate) entries: BTreeMap<String, MetadataResponse>,
}

impl ResponseData for DetailedMetadataResponse {
    const FIELDS: &'static [FieldSpec] = &[];

    type Secrecy = WithoutSecrets;

    fn write(&self, out: &mut ObjectWriter) {
        out.write_object("key_info", |out| {
            for key in &self.keys {
                out.write_object(key, |out| {
                    if let Some(entry) = self.entries.get(key) {
                        entry.write(out);
                    }
                });
            }
        });
        out.field("keys", &strongroom_sdk::CommaList(self.keys.clone()));
    }
}

/// The custom metadata; `null` if there is none.
fn custom_metadata_of(entry: &KvEntry) -> NullableField<KeyValues> {
    let custom = &entry.metadata.settings.custom_metadata;
    NullableField::from((!custom.is_empty()).then(|| KeyValues(custom.clone())))
}

fn rfc3339_or_empty(at: Option<Timestamp>) -> String {
    at.map(Timestamp::to_rfc3339).unwrap_or_default()
}
