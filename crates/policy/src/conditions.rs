//! [`RequestConditions`]: what a rule asks of a request beside a capability, its fields and its wrapping.
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

/// What a rule grants, and on which conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathGrant {
    /// What may be done.
    pub capabilities: Capabilities,
    /// None for a rule that has no conditions, which is nearly every rule.
    pub conditions: Option<Box<RequestConditions>>,
}

/// The conditions of one rule, or of all rules for one pattern. Names of fields are in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestConditions {
    /// Where there are any, a request may have no other fields.
    pub(crate) allowed: Parameters,
    /// A request may not have these.
    pub(crate) denied: Parameters,
    /// A request must have these.
    pub(crate) required: BTreeSet<String>,
    /// The answer must be wrapped for at least this; zero for no bound.
    pub(crate) min_wrapping: Ttl,
    /// The answer must be wrapped for at most this; zero for no bound.
    pub(crate) max_wrapping: Ttl,
}

/// Names of fields, or `*` for any, and the values meant; none for every value.
pub(crate) type Parameters = BTreeMap<String, Vec<Value>>;

const ANY_FIELD: &str = "*";

impl PathGrant {
    /// Grants capabilities without conditions.
    pub fn unconditional(capabilities: Capabilities) -> Self {
        Self { capabilities, conditions: None }
    }

    /// Adds what another rule for the same pattern says. A denial leaves nothing but itself.
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

    /// Whether a request with this capability may be made: these are its fields and how its handler
    /// reads them, and this is how long the wrapped answer is to live, if it is to be wrapped.
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
    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the bounds on wrapping contradict each other. Merging may come to that.
    pub(crate) fn wrapping_is_impossible(&self) -> bool {
        !self.max_wrapping.is_zero() && self.max_wrapping < self.min_wrapping
    }

    /// The same pattern in another rule: values are joined, and no values at all stand for every
    /// value; of two bounds on wrapping the shorter one counts.
    fn merge_conditions(&mut self, other: &Self) {
        add_parameters(&mut self.allowed, &other.allowed);
        add_parameters(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        self.min_wrapping =
            self.min_wrapping.nonzero_or(other.min_wrapping).capped_by(other.min_wrapping);
        self.max_wrapping =
            self.max_wrapping.nonzero_or(other.max_wrapping).capped_by(other.max_wrapping);
    }

    /// An answer that isn't wrapped fits no bound.
    fn matches_wrapping(&self, wrap: Option<Ttl>) -> bool {
        if self.min_wrapping.is_zero() && self.max_wrapping.is_zero() {
            return true;
        }
        let Some(wrap) = wrap else { return false };
        wrap >= self.min_wrapping && wrap <= wrap.capped_by(self.max_wrapping)
    }

    /// Only requests that hand fields on are looked at.
    fn matches_fields(
        &self,
        capability: Capability,
        fields: &Fields,
        readings: &dyn Fn() -> FieldReadings,
    ) -> bool {
        use Capability::{Create, Patch, Read, Update};
        let asks = !(self.required.is_empty() && self.denied.is_empty() && self.allowed.is_empty());
        if !asks || !matches!(capability, Create | Read | Update | Patch) {
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

    /// A field must be allowed under the name it has. What is said of another of its names bounds its
    /// values as well.
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
        // What is made of another field is allowed with that, within what is said of it elsewhere.
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

/// Whether the handler gets a value for this field, be it under its legacy name.
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

/// What came through `Fields` is JSON, and bounded in depth.
fn parse_value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or(Value::Null)
}

/// The same with each number as the text that was sent: a handler that takes it for text gets its
/// digits, such as `1.10`, and not its worth.
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
