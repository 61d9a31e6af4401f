//! [`RequestConditions`]: what a rule requires of a request beside a capability: its fields and its
//! response wrapping.
//! Documented at <https://developer.hashicorp.com/vault/docs/concepts/policies>.

mod matching;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use strongroom_types::{Fields, Ttl};

use crate::capability::{Capabilities, Capability};
use crate::field_reading::{DerivedField, FieldReading, FieldReadings};

/// What a rule grants, and under which conditions. The default grants nothing and has no
/// conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathGrant {
    /// The capabilities granted on the paths of the rule.
    pub capabilities: Capabilities,
    /// The conditions of the rule; `None` for most rules, which have none.
    pub conditions: Option<Box<RequestConditions>>,
}

/// The conditions of one rule, or of all rules for one pattern. Field names are in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestConditions {
    /// `allowed_parameters`: if there are any, a request may have no other fields.
    pub(crate) allowed: Parameters,
    /// `denied_parameters`: fields or values a request may not have.
    pub(crate) denied: Parameters,
    /// `required_parameters`: fields a request must have.
    pub(crate) required: BTreeSet<String>,
    /// `min_wrapping_ttl`: the response must be wrapped with at least this TTL; zero for no limit.
    pub(crate) min_wrapping: Ttl,
    /// `max_wrapping_ttl`: the response must be wrapped with at most this TTL; zero for no limit.
    pub(crate) max_wrapping: Ttl,
}

/// Values by field name, where the name `*` means any field and no values mean any value.
pub(crate) type Parameters = BTreeMap<String, Vec<Value>>;

const ANY_FIELD: &str = "*";

impl PathGrant {
    /// A grant of capabilities without conditions.
    pub fn unconditional(capabilities: Capabilities) -> Self {
        Self { capabilities, conditions: None }
    }

    /// Merges the grant of another rule for the same pattern. If either denies, the result only
    /// denies.
    pub fn merge_grant(&mut self, other: &Self) {
        self.capabilities = self.capabilities.union(other.capabilities);
        if self.capabilities.is_denied() {
            self.conditions = None;
            return;
        }
        match (&mut self.conditions, &other.conditions) {
            (Some(own), Some(other)) => own.merge_conditions(other),
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
    }

    /// Whether the rule has conditions on the fields of a request.
    pub(crate) fn has_conditions_on_fields(&self) -> bool {
        self.conditions.as_deref().is_some_and(RequestConditions::has_conditions_on_fields)
    }

    /// Whether a request with this capability, these fields and this wrapping TTL (if any) is
    /// granted. `readings` returns how the handler reads the fields; it is called only if there are
    /// conditions on fields.
    pub fn permits_request(
        &self,
        capability: Capability,
        fields: &Fields,
        readings: &dyn Fn() -> FieldReadings,
        wrap: Option<Ttl>,
    ) -> bool {
        let conditions = self.conditions.as_deref();
        self.capabilities.allows(capability)
            && conditions.is_none_or(|it| {
                it.matches_wrapping(wrap) && it.matches_fields(capability, fields, readings)
            })
    }
}

impl RequestConditions {
    /// Whether there are no conditions.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the wrapping limits contradict each other, which can result from merging.
    pub(crate) fn wrapping_is_impossible(&self) -> bool {
        !self.max_wrapping.is_zero() && self.max_wrapping < self.min_wrapping
    }

    /// Merges the conditions of another rule for the same pattern: the lists of values are joined,
    /// where an empty list means any value, and the smaller of two wrapping limits applies.
    fn merge_conditions(&mut self, other: &Self) {
        add_parameters(&mut self.allowed, &other.allowed);
        add_parameters(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        self.min_wrapping =
            self.min_wrapping.nonzero_or(other.min_wrapping).capped_by(other.min_wrapping);
        self.max_wrapping =
            self.max_wrapping.nonzero_or(other.max_wrapping).capped_by(other.max_wrapping);
    }

    /// A response that isn't wrapped satisfies no wrapping limit.
    fn matches_wrapping(&self, wrap: Option<Ttl>) -> bool {
        if self.min_wrapping.is_zero() && self.max_wrapping.is_zero() {
            return true;
        }
        let Some(wrap) = wrap else { return false };
        wrap >= self.min_wrapping && wrap <= wrap.capped_by(self.max_wrapping)
    }

    fn has_conditions_on_fields(&self) -> bool {
        !(self.required.is_empty() && self.denied.is_empty() && self.allowed.is_empty())
    }

    /// Field conditions apply only to operations that pass fields to the handler.
    fn matches_fields(
        &self,
        capability: Capability,
        fields: &Fields,
        readings: &dyn Fn() -> FieldReadings,
    ) -> bool {
        use Capability::{Create, Patch, Read, Update};
        if !self.has_conditions_on_fields() || !matches!(capability, Create | Read | Update | Patch)
        {
            return true;
        }
        let readings = readings();
        self.required.iter().all(|name| has_value(name, fields, &readings))
            && (fields.is_empty()
                || (self.no_field_denied(fields, &readings)
                    && self.all_fields_allowed(fields, &readings)))
    }

    /// A field is denied under each of its names.
    fn no_field_denied(&self, fields: &Fields, readings: &FieldReadings) -> bool {
        if self.denied.is_empty() {
            return true;
        }
        let derived = readings.derived_fields(fields);
        let derived = derived.iter().map(|it| (it.name, &*it.value, it.reading));
        let sent = fields.iter().map(|(name, value)| (name, value, readings.reading_of(name)));
        let denied = |(name, value, reading): (&str, &RawValue, FieldReading)| {
            let folded = name.to_lowercase();
            let current = readings.current_name(&folded);
            let mut named = self
                .denied
                .iter()
                .filter(|(known, _)| **known == folded || readings.current_name(known) == current);
            named.any(|(_, values)| {
                values.is_empty()
                    || matching::is_denied(values, &parse_value(value), reading)
                    || matching::is_denied(values, &parse_numbers_as_text(value), reading)
            })
        };
        !self.denied.contains_key(ANY_FIELD) && !sent.chain(derived).any(denied)
    }

    /// A field must be allowed under the name it was sent with. Values listed for its other names
    /// restrict it as well.
    fn all_fields_allowed(&self, fields: &Fields, readings: &FieldReadings) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        let any = self.allowed.get(ANY_FIELD);
        let fits_as = |reading: FieldReading, value: &RawValue, values: &Vec<Value>| {
            values.is_empty()
                || (matching::is_allowed(values, &parse_value(value), reading)
                    && (!reading.converts_entries_to_text()
                        || matching::is_allowed(values, &parse_numbers_as_text(value), reading)))
        };
        let fits = |name: &str, value: &RawValue, values: &Vec<Value>| {
            fits_as(readings.reading_of(name), value, values)
        };
        // A derived field needs no allowance of its own, but must satisfy the values listed for its
        // names.
        let derived = readings.derived_fields(fields);
        let mut derived = derived.iter().filter(|it| !it.is_synonym);
        let derived_fits = |it: &DerivedField| {
            let mut said = readings.all_names(it.name).filter_map(|name| self.allowed.get(name));
            said.all(|values| fits_as(it.reading, &it.value, values))
        };
        derived.all(derived_fits)
            && fields.iter().all(|(name, value)| {
                let folded = name.to_lowercase();
                match self.allowed.get(&folded) {
                    Some(values) => fits(name, value, values),
                    None => {
                        any.is_some_and(|values| fits(name, value, values))
                            && readings
                                .all_names(&folded)
                                .filter_map(|name| self.allowed.get(name))
                                .all(|values| fits(name, value, values))
                    }
                }
            })
    }
}

/// Whether the handler gets a value for this field, also under a legacy name.
fn has_value(name: &str, fields: &Fields, readings: &FieldReadings) -> bool {
    let has = |name: &str| {
        let given = fields.get(name);
        given.is_some_and(|raw| raw.get() != "null" || !readings.null_means_absent(name))
    };
    has(name) || readings.all_names(name).any(has)
}

fn add_parameters(own: &mut Parameters, other: &Parameters) {
    for (name, values) in other {
        match own.entry(name.clone()) {
            Entry::Vacant(entry) => _ = entry.insert(values.clone()),
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.is_empty() || values.is_empty() {
                    known.clear();
                } else {
                    known.extend(
                        values
                            .iter()
                            .filter(|value| !known.contains(value))
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                }
            }
        }
    }
}

/// Parses a field, which is valid JSON of limited depth because it comes from `Fields`.
fn parse_value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or(Value::Null)
}

/// Parses a field with each number replaced by its text as sent, because a handler that reads a
/// number as text gets its digits (`1.10`) and not its value.
fn parse_numbers_as_text(raw: &RawValue) -> Value {
    let mut quoted = String::with_capacity(raw.get().len() + 2);
    let (mut in_text, mut escaped, mut in_number) = (false, false, false);
    for c in raw.get().chars() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            let is_number =
                matches!(c, '0'..='9' | '-' | '+' | '.') || (in_number && matches!(c, 'e' | 'E'));
            if is_number != in_number {
                quoted.push('"');
            }
            (in_number, in_text) = (is_number, c == '"');
        }
        quoted.push(c);
    }
    if in_number {
        quoted.push('"');
    }
    serde_json::from_str(&quoted).unwrap_or(Value::Null)
}
