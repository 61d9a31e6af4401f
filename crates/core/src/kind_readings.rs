//! How the declared kind of a field is compared in policies with parameter conditions.

use strongroom_policy::FieldReading;
use strongroom_schema::field::FieldKind;

/// The reading of a field of this kind.
pub fn reading_for_kind(kind: FieldKind) -> FieldReading {
    match kind {
        FieldKind::String => FieldReading::Text,
        FieldKind::LowerCaseString => FieldReading::FoldedText,
        FieldKind::Integer => FieldReading::Integer,
        FieldKind::Float => FieldReading::Float,
        FieldKind::Boolean => FieldReading::Boolean,
        FieldKind::Duration => FieldReading::Duration,
        FieldKind::Time => FieldReading::Time,
        FieldKind::CommaList | FieldKind::IntegerList => FieldReading::List,
        FieldKind::PolicyNames => FieldReading::PolicyNames,
        FieldKind::KeyValues => FieldReading::Pairs,
        FieldKind::Object => FieldReading::AsSent,
        // These have several forms; conditions apply to each of them.
        FieldKind::Json | FieldKind::Headers => FieldReading::Unknown,
        _ => FieldReading::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_compares_what_the_field_kind_makes_of_a_value() {
        for (kind, reading) in [
            (FieldKind::LowerCaseString, FieldReading::FoldedText),
            (FieldKind::PolicyNames, FieldReading::PolicyNames),
            (FieldKind::IntegerList, FieldReading::List),
            (FieldKind::Float, FieldReading::Float),
            (FieldKind::Time, FieldReading::Time),
            (FieldKind::Json, FieldReading::Unknown),
            (FieldKind::Headers, FieldReading::Unknown),
        ] {
            assert_eq!(reading_for_kind(kind), reading, "{kind:?}");
        }
    }
}
