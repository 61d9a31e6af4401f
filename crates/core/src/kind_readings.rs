//! How the declared kind of a field is compared in policies with parameter conditions.

use strongroom_policy::FieldReading;
use strongroom_schema::field::FieldKind;

/// The reading of a field of this kind.
pub fn reading_for_kind(kind: FieldKind) -> FieldReading {
    match kind {
        FieldKind::String => FieldReading::Text,
        FieldKind::LowerCaseString => FieldReading::FoldedText,
        FieldKind::Integer => FieldReading::Integer,
        FieldKind::Boolean => FieldReading::Boolean,
        FieldKind::Duration => FieldReading::Duration,
        FieldKind::CommaList => FieldReading::List,
        FieldKind::PolicyNames => FieldReading::PolicyNames,
        FieldKind::KeyValues => FieldReading::Pairs,
        FieldKind::Object => FieldReading::AsSent,
        _ => FieldReading::Unknown,
    }
}
