//! Legacy names of a document's fields: how a write under one is merged, and when a read shows it.
//!
//! A document that is shown with a legacy name is stored with it, beside the current name. Only
//! the current name counts when the document is read.

use std::iter;

use strongroom_schema::field::FieldSpec;
use strongroom_types::{Fields, RawObject};

/// The legacy names under which fields of one document are shown, beside their current names.
#[derive(Clone, Debug, Default)]
pub(crate) struct EchoedNames(Vec<&'static FieldSpec>);

impl EchoedNames {
    /// The legacy names that a stored document contains, if they are declared with `echo`.
    pub(crate) fn of_stored(specs: &'static [FieldSpec], stored: &Fields) -> Self {
        Self(specs.iter().filter(|spec| is_echoed(spec) && stored.contains(spec.name)).collect())
    }

    /// The object with each of these names added, with the value of the current name. A field that
    /// the object leaves out is left out under both names.
    pub(crate) fn add_to(&self, object: RawObject) -> RawObject {
        if self.0.is_empty() {
            return object;
        }
        let mut fields = object.fields();
        for spec in &self.0 {
            let current = spec.legacy_name_of().and_then(|current| fields.get(current));
            if let Some(value) = current.map(ToOwned::to_owned) {
                fields.set_raw(spec.name, value);
            }
        }
        fields.to_object()
    }
}

/// Removes from a stored document the fields that a write which replaces the document doesn't keep.
/// Those that it keeps stay under each of their names.
pub(crate) fn remove_replaced_fields(specs: &'static [FieldSpec], stored: &mut Fields) {
    let is_kept = |name: &str| specs.iter().any(|it| it.name == name && (it.keep || it.internal));
    let names = stored.iter().map(|(name, _)| name.to_owned());
    let replaced: Vec<String> = names.filter(|name| !is_kept(name)).collect();
    for name in replaced {
        stored.remove(&name);
    }
}

/// Merges the fields that a client sent into those of a stored document, and returns the legacy
/// names that the result is shown with. Fields that aren't declared or are internal are ignored, and
/// `null` counts as not sent. A value stays under the name it was sent with, so that an error about
/// it has the name that the client knows.
pub(crate) fn merge_sent_fields(
    specs: &'static [FieldSpec],
    stored: &mut Fields,
    sent: &Fields,
) -> EchoedNames {
    let value = |name: &str| sent.get(name).filter(|raw| raw.get() != "null");
    let mut echoed = EchoedNames::of_stored(specs, stored);
    for spec in specs.iter().filter(|spec| spec.legacy.is_none() && !spec.internal) {
        let current = spec.name;
        let legacy = || specs.iter().filter(move |it| it.legacy_name_of() == Some(current));
        let names = || iter::once(current).chain(legacy().map(|it| it.name));
        let Some((name, value_sent)) = names().find_map(|name| Some((name, value(name)?))) else {
            continue;
        };
        for name in names() {
            stored.remove(name);
        }
        echoed.0.retain(|it| it.legacy_name_of() != Some(current));
        echoed.0.extend(legacy().filter(|it| is_echoed(it) && value(it.name).is_some()));
        stored.set_raw(name, value_sent.to_owned());
    }
    echoed
}

/// Removes fields from those of a stored document, under all of their names, so that they get the
/// values of a new document. Returns the legacy names that the result is shown with.
pub(crate) fn reset_fields(
    specs: &'static [FieldSpec],
    stored: &mut Fields,
    names: &[&str],
) -> EchoedNames {
    let current = |spec: &'static FieldSpec| spec.legacy_name_of().unwrap_or(spec.name);
    let named = specs.iter().filter(|spec| names.contains(&spec.name)).map(current);
    let named: Vec<&str> = named.collect();
    for spec in specs.iter().filter(|spec| !spec.internal && named.contains(&current(spec))) {
        stored.remove(spec.name);
    }
    EchoedNames::of_stored(specs, stored)
}

fn is_echoed(spec: &FieldSpec) -> bool {
    !spec.secret && spec.legacy.is_some_and(|legacy| legacy.echo)
}
