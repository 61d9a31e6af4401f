//! What clients get.

use std::collections::BTreeMap;

use strongroom_sdk::field::{FieldSpec, ObjectWriter};
use strongroom_sdk::{Answer, Given, KeyValues, Timestamp, Ttl, Verbatim};

use super::entry::{Entry, Version};

/// What is known of one version.
#[derive(Clone, Debug)]
pub(crate) struct About {
    number: u64,
    version: Version,
    custom: Given<KeyValues>,
}

impl About {
    /// A version of an entry, if it has it.
    pub(crate) fn of(entry: &Entry, number: u64) -> Option<Self> {
        let custom = custom_of(entry);
        entry.version(number).map(|version| Self { number, version: *version, custom })
    }
}

impl Answer for About {
    const FIELDS: &'static [FieldSpec] = &[];

    fn write(&self, out: &mut ObjectWriter) {
        out.field("created_time", &self.version.created.to_rfc3339());
        out.field("custom_metadata", &self.custom);
        out.field("deletion_time", &time(self.version.deletion));
        out.field("destroyed", &self.version.destroyed);
        out.field("version", &self.number);
    }
}

/// A version, or its outline, with what is known of it.
pub(crate) struct Shown {
    /// `data` or `subkeys`.
    pub(crate) name: &'static str,
    pub(crate) content: Option<Verbatim>,
    pub(crate) about: About,
}

impl Answer for Shown {
    const FIELDS: &'static [FieldSpec] = &[];

    fn write(&self, out: &mut ObjectWriter) {
        out.field(self.name, &Given::from(self.content.clone()));
        out.object("metadata", |out| self.about.write(out));
    }
}

/// What is known of an entry.
pub(crate) struct Metadata(pub(crate) Entry);

impl Answer for Metadata {
    const FIELDS: &'static [FieldSpec] = &[];

    fn write(&self, out: &mut ObjectWriter) {
        let (entry, settings) = (&self.0, &self.0.about.settings);
        out.field("cas_required", &settings.cas_required);
        out.field("created_time", &entry.about.created.to_rfc3339());
        out.field("current_metadata_version", &entry.about.settings_version);
        out.field("current_version", &entry.current());
        out.field("custom_metadata", &custom_of(entry));
        let after = Ttl::from_secs(settings.delete_after_secs);
        out.field("delete_version_after", &after.to_string());
        out.field("max_versions", &settings.max_versions);
        out.field("metadata_cas_required", &settings.metadata_cas_required);
        out.field("oldest_version", &entry.oldest_shown());
        out.field("updated_time", &entry.about.updated.to_rfc3339());
        out.object("versions", |out| {
            for (number, version) in entry.versions() {
                out.object(&number.to_string(), |out| {
                    out.field("created_time", &version.created.to_rfc3339());
                    out.field("deletion_time", &time(version.deletion));
                    out.field("destroyed", &version.destroyed);
                });
            }
        });
    }
}

/// Names, with what is known of those that aren't folders.
pub(crate) struct Detailed {
    pub(crate) keys: Vec<String>,
    pub(crate) entries: BTreeMap<String, Metadata>,
}

impl Answer for Detailed {
    const FIELDS: &'static [FieldSpec] = &[];

    fn write(&self, out: &mut ObjectWriter) {
        out.object("key_info", |out| {
            for key in &self.keys {
                out.object(key, |out| {
                    if let Some(entry) = self.entries.get(key) {
                        entry.write(out);
                    }
                });
            }
        });
        out.field("keys", &strongroom_sdk::CommaList(self.keys.clone()));
    }
}

/// `null` if there is none.
fn custom_of(entry: &Entry) -> Given<KeyValues> {
    let custom = &entry.about.settings.custom;
    Given::from((!custom.is_empty()).then(|| KeyValues(custom.clone())))
}

fn time(at: Option<Timestamp>) -> String {
    at.map(Timestamp::to_rfc3339).unwrap_or_default()
}
