//! [`Conditions`]: what a rule asks of a request beside a capability, its fields and its wrapping.
//! Documented at <https://developer.hashicorp.com/vault/docs/concepts/policies>.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Number, Value};
use strongroom_types::{Fields, Ttl};

use crate::capability::{Capabilities, Capability};

/// What a rule grants, and on which conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// What may be done.
    pub capabilities: Capabilities,
    /// None for a rule that has no conditions, which is nearly every rule.
    pub conditions: Option<Box<Conditions>>,
}

/// The conditions of one rule, or of all rules for one pattern. Names of fields are in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
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

const ANY: &str = "*";

impl Grant {
    /// Grants capabilities without conditions.
    pub fn plain(capabilities: Capabilities) -> Self {
        Self { capabilities, conditions: None }
    }

    /// Adds what another rule for the same pattern says. A denial leaves nothing but itself.
    pub fn add(&mut self, other: &Self) {
        self.capabilities = self.capabilities.union(other.capabilities);
        if self.capabilities.denies() {
            self.conditions = None;
            return;
        }
        match (&mut self.conditions, &other.conditions) {
            (Some(own), Some(other)) => own.add(other),
            (own @ None, Some(other)) => *own = Some(other.clone()),
            (_, None) => {}
        }
    }

    /// Whether a request with this capability may be made: these are its fields, and this is how
    /// long the wrapped answer is to live, if it is to be wrapped.
    pub fn permits(&self, capability: Capability, fields: &Fields, wrap: Option<Ttl>) -> bool {
        let conditions = self.conditions.as_deref();
        self.capabilities.allows(capability)
            && conditions.is_none_or(|it| it.wrapping_fits(wrap) && it.fit(capability, fields))
    }
}

impl Conditions {
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
    fn add(&mut self, other: &Self) {
        add_parameters(&mut self.allowed, &other.allowed);
        add_parameters(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
        self.min_wrapping = self.min_wrapping.or(other.min_wrapping).capped_by(other.min_wrapping);
        self.max_wrapping = self.max_wrapping.or(other.max_wrapping).capped_by(other.max_wrapping);
    }

    /// An answer that isn't wrapped fits no bound.
    fn wrapping_fits(&self, wrap: Option<Ttl>) -> bool {
        if self.min_wrapping.is_zero() && self.max_wrapping.is_zero() {
            return true;
        }
        let Some(wrap) = wrap else { return false };
        wrap >= self.min_wrapping && wrap <= wrap.capped_by(self.max_wrapping)
    }

    /// Only requests that hand fields on are looked at.
    fn fit(&self, capability: Capability, fields: &Fields) -> bool {
        use Capability::{Create, Patch, Read, Update};
        if !matches!(capability, Create | Read | Update | Patch) {
            return true;
        }
        self.required.iter().all(|name| fields.contains(name))
            && (fields.is_empty() || (self.none_denied(fields) && self.all_allowed(fields)))
    }

    fn none_denied(&self, fields: &Fields) -> bool {
        if self.denied.is_empty() {
            return true;
        }
        let denied = |(name, value): (&str, &RawValue)| {
            let values = self.denied.get(&name.to_lowercase());
            values.is_some_and(|values| values.is_empty() || is_among(value, values, is_denied_by))
        };
        !self.denied.contains_key(ANY) && !fields.iter().any(denied)
    }

    fn all_allowed(&self, fields: &Fields) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        let any = self.allowed.get(ANY);
        fields.iter().all(|(name, value)| {
            let values = self.allowed.get(&name.to_lowercase()).or(any);
            values.is_some_and(|values| values.is_empty() || is_among(value, values, is_allowed_by))
        })
    }
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

fn is_among(raw: &RawValue, values: &[Value], by: fn(&Value, &Value) -> bool) -> bool {
    // What came through `Fields` is JSON, and bounded in depth.
    let value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    values.iter().any(|wanted| by(wanted, &value))
}

/// Texts with globs, everything else as it is.
fn is_allowed_by(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::String(glob), Value::String(text)) => glob_matches(glob, text),
        _ => same(wanted, value),
    }
}

/// A denial looks through the forms in which engines take one value: without quotes, in quotes, as
/// an entry of a list. Or it could be walked around with a pair of brackets.
fn is_denied_by(wanted: &Value, value: &Value) -> bool {
    if is_allowed_by(wanted, value) || *wanted == Value::String(ANY.to_owned()) {
        return true;
    }
    match (wanted, value) {
        (_, Value::Array(entries)) => entries.iter().any(|entry| is_denied_by(wanted, entry)),
        (Value::String(glob), Value::Number(_) | Value::Bool(_)) => {
            glob_matches(glob, &value.to_string())
        }
        (Value::Number(_) | Value::Bool(_), Value::String(text)) => {
            serde_json::from_str(text.trim()).is_ok_and(|value: Value| same(wanted, &value))
        }
        _ => false,
    }
}

/// `*` in front, at the end or both; a lone one stands for itself.
fn glob_matches(glob: &str, text: &str) -> bool {
    if glob.len() < 2 {
        return glob == text;
    }
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => glob == text,
    }
}

/// Equal all the way down, numbers by their worth: a policy's `5` is JSON's `5.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let found = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(found)
        }
        _ => a == b,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    let fractions = || a.as_f64().partial_cmp(&b.as_f64()) == Some(Ordering::Equal);
    a == b || ((a.is_f64() || b.is_f64()) && fractions())
}
