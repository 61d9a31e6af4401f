//! The envelope of the API, for people and for machines.

use strongroom_client::{Auth, SecretAnswer, WrapInfo};
use strongroom_types::Fields;

use super::table::key_value;
use super::text::{duration, is_duration};
use super::value::Value;

/// The answer as a document, in the order that Vault's tools print it in.
pub(crate) fn document(answer: &SecretAnswer) -> Value {
    let mut pairs = vec![
        ("request_id", Value::text(&answer.request_id)),
        ("lease_id", Value::text(&answer.lease_id)),
        ("lease_duration", Value::number(answer.lease_duration)),
        ("renewable", Value::Bool(answer.renewable)),
        ("data", answer.data.as_ref().map_or(Value::Null, Value::fields)),
        ("warnings", Value::texts(answer.warnings.as_deref())),
    ];
    pairs.extend(answer.auth.as_ref().map(|auth| ("auth", auth_document(auth))));
    pairs.extend(answer.wrap_info.as_ref().map(|wrap| ("wrap_info", wrap_document(wrap))));
    object(pairs)
}

fn auth_document(auth: &Auth) -> Value {
    let metadata = auth.metadata.as_ref().map_or(Value::Null, |metadata| {
        let pairs = metadata.iter().map(|(key, value)| (key.clone(), Value::text(value)));
        Value::Object(pairs.collect())
    });
    let mfa = auth.mfa_requirement.as_ref().map_or(Value::Null, |raw| Value::parse(raw.get()));
    object(vec![
        ("client_token", Value::text(auth.client_token.expose_secret())),
        ("accessor", Value::text(&auth.accessor)),
        ("policies", Value::texts(auth.policies.as_deref())),
        ("token_policies", Value::texts(auth.token_policies.as_deref())),
        ("identity_policies", Value::texts(auth.identity_policies.as_deref())),
        ("metadata", metadata),
        ("orphan", Value::Bool(auth.orphan)),
        ("entity_id", Value::text(&auth.entity_id)),
        ("lease_duration", Value::number(auth.lease_duration)),
        ("renewable", Value::Bool(auth.renewable)),
        ("mfa_requirement", mfa),
    ])
}

fn wrap_document(wrap: &WrapInfo) -> Value {
    object(vec![
        ("token", Value::text(wrap.token.expose_secret())),
        ("accessor", Value::text(&wrap.accessor)),
        ("ttl", Value::number(wrap.ttl)),
        ("creation_time", Value::text(&wrap.creation_time)),
        ("creation_path", Value::text(&wrap.creation_path)),
        ("wrapped_accessor", Value::text(&wrap.wrapped_accessor)),
    ])
}

fn object(pairs: Vec<(&str, Value)>) -> Value {
    Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The answer as a table; none if there is nothing to show.
pub(crate) fn secret_table(answer: &SecretAnswer) -> Option<String> {
    let mut rows = Rows::default();
    if answer.lease_duration > 0 {
        if answer.lease_id.is_empty() {
            rows.add("refresh_interval", duration(answer.lease_duration));
        } else {
            rows.add("lease_id", &answer.lease_id);
            rows.add("lease_duration", duration(answer.lease_duration));
            rows.add("lease_renewable", answer.renewable.to_string());
        }
    }
    if let Some(auth) = &answer.auth {
        rows.auth(auth);
    }
    if let Some(wrap) = &answer.wrap_info {
        rows.wrap(wrap);
    }
    if let Some(data) = &answer.data {
        rows.data(data);
    }
    rows.table()
}

/// A map of values as a table; none if it is empty.
pub(crate) fn map_table(map: &Value) -> Option<String> {
    let mut rows = Rows::default();
    if let Value::Object(pairs) = map.sorted() {
        for (key, value) in pairs {
            rows.value(&key, &value);
        }
    }
    rows.table()
}

#[derive(Default)]
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    fn value(&mut self, key: &str, value: &Value) {
        let seconds = match value {
            Value::Number(digits) if is_duration(key) => digits.parse().ok(),
            _ => None,
        };
        self.add(key, seconds.map_or_else(|| value.to_string(), duration));
    }

    fn data(&mut self, data: &Fields) {
        for (key, raw) in data.iter() {
            self.value(key, &Value::parse(raw.get()));
        }
    }

    fn auth(&mut self, auth: &Auth) {
        if let Some(requirement) = &auth.mfa_requirement {
            self.mfa(&Value::parse(requirement.get()));
            return;
        }
        self.add("token", auth.client_token.expose_secret());
        self.add("token_accessor", &auth.accessor);
        let lasts = match auth.lease_duration {
            0 => "∞".to_owned(),
            seconds => duration(seconds),
        };
        self.add("token_duration", lasts);
        self.add("token_renewable", auth.renewable.to_string());
        self.add("token_policies", quoted(auth.token_policies.as_deref()));
        self.add("identity_policies", quoted(auth.identity_policies.as_deref()));
        self.add("policies", quoted(auth.policies.as_deref()));
        for (key, value) in auth.metadata.iter().flatten() {
            self.add(&format!("token_meta_{key}"), value);
        }
    }

    /// What is still needed before there is a token.
    fn mfa(&mut self, requirement: &Value) {
        let id = requirement.get("mfa_request_id").map(ToString::to_string);
        self.add("mfa_request_id", id.unwrap_or_default());
        let Some(Value::Object(constraints)) = requirement.get("mfa_constraints") else { return };
        for (name, constraint) in constraints {
            let Some(Value::List(methods)) = constraint.get("any") else { continue };
            for method in methods {
                let field = |field| method.get(field).map(ToString::to_string).unwrap_or_default();
                let prefix = format!("mfa_constraint_{name}_{}", field("type"));
                self.add(&format!("{prefix}_id"), field("id"));
                let passcode = method.get("uses_passcode") == Some(&Value::Bool(true));
                self.add(&format!("{prefix}_uses_passcode"), passcode.to_string());
                if !field("name").is_empty() {
                    self.add(&format!("{prefix}_name"), field("name"));
                }
            }
        }
    }

    fn wrap(&mut self, wrap: &WrapInfo) {
        self.add("wrapping_token:", wrap.token.expose_secret());
        self.add("wrapping_accessor:", &wrap.accessor);
        self.add("wrapping_token_ttl:", duration(wrap.ttl));
        self.add("wrapping_token_creation_time:", moment(&wrap.creation_time));
        self.add("wrapping_token_creation_path:", &wrap.creation_path);
        if !wrap.wrapped_accessor.is_empty() {
            self.add("wrapped_accessor:", &wrap.wrapped_accessor);
        }
    }

    fn table(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| key_value(&self.0))
    }
}

/// `["a" "b"]`, as Go quotes lists.
fn quoted(texts: Option<&[String]>) -> String {
    let texts = texts.unwrap_or_default().iter().map(|text| format!("{text:?}"));
    format!("[{}]", texts.collect::<Vec<_>>().join(" "))
}

/// A time as Go prints it.
fn moment(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Whether a request made what is answered, so that it can't be asked for again.
pub(crate) fn is_new(answer: &SecretAnswer) -> bool {
    answer.auth.is_some() || answer.wrap_info.is_some() || !answer.lease_id.is_empty()
}

/// One field of the answer, by the name that the table shows or the data has.
pub(crate) fn field(answer: &SecretAnswer, name: &str) -> Option<Value> {
    let of_data = || {
        let raw = answer.data.as_ref()?.get(name)?;
        Some(Value::parse(raw.get()))
    };
    let list =
        |texts: &Option<Vec<String>>| Value::texts(Some(texts.as_deref().unwrap_or_default()));
    if let Some(auth) = &answer.auth {
        return match name {
            "token" => Some(Value::text(auth.client_token.expose_secret())),
            "token_accessor" => Some(Value::text(&auth.accessor)),
            "token_duration" => Some(Value::number(auth.lease_duration)),
            "token_renewable" => Some(Value::Bool(auth.renewable)),
            "token_policies" => Some(list(&auth.token_policies)),
            "identity_policies" => Some(list(&auth.identity_policies)),
            "policies" => Some(list(&auth.policies)),
            _ => of_data(),
        };
    }
    if let Some(wrap) = &answer.wrap_info {
        return match name {
            "wrapping_token" => Some(Value::text(wrap.token.expose_secret())),
            "wrapping_accessor" => Some(Value::text(&wrap.accessor)),
            "wrapping_token_ttl" => Some(Value::number(wrap.ttl)),
            "wrapping_token_creation_time" => Some(Value::text(&wrap.creation_time)),
            "wrapping_token_creation_path" => Some(Value::text(&wrap.creation_path)),
            "wrapped_accessor" => Some(Value::text(&wrap.wrapped_accessor)),
            _ => of_data(),
        };
    }
    match name {
        "lease_duration" | "refresh_interval" => Some(Value::number(answer.lease_duration)),
        "lease_id" => Some(Value::text(&answer.lease_id)),
        "request_id" => Some(Value::text(&answer.request_id)),
        "renewable" => Some(Value::Bool(answer.renewable)),
        "data" => of_data().or_else(|| answer.data.as_ref().map(Value::fields)),
        _ => of_data(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_types::Secret;

    use super::super::testing::printer;
    use super::super::{Format, json};
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::from_trusted(json.as_bytes()).unwrap()
    }

    fn token() -> SecretAnswer {
        let policies = Some(vec!["default".to_owned(), "p1".to_owned()]);
        let auth = Auth {
            client_token: Secret::from_text("s.tok"),
            accessor: "acc".to_owned(),
            policies: policies.clone(),
            token_policies: policies,
            identity_policies: None,
            metadata: Some(BTreeMap::from([("user".to_owned(), "bob".to_owned())])),
            orphan: true,
            entity_id: String::new(),
            lease_duration: 3600,
            renewable: true,
            mfa_requirement: None,
        };
        SecretAnswer { auth: Some(auth), ..SecretAnswer::default() }
    }

    #[test]
    fn a_lease_comes_before_its_data() {
        let answer = SecretAnswer {
            lease_id: "custom/creds/developer/x".to_owned(),
            lease_duration: 5400,
            renewable: true,
            data: Some(fields(r#"{"b":null,"a":1.10,"max_ttl":3600}"#)),
            ..SecretAnswer::default()
        };
        let expected = "Key                Value
---                -----
lease_id           custom/creds/developer/x
lease_duration     1h30m
lease_renewable    true
a                  1.10
b                  <nil>
max_ttl            1h";
        assert_eq!(secret_table(&answer).unwrap(), expected);
        let kv = SecretAnswer { lease_duration: 2_764_800, ..SecretAnswer::default() };
        assert!(secret_table(&kv).unwrap().ends_with("refresh_interval    768h"));
        assert!(secret_table(&SecretAnswer::default()).is_none());
    }

    #[test]
    fn a_token_as_vault_shows_it() {
        let expected = "Key                  Value
---                  -----
token                s.tok
token_accessor       acc
token_duration       1h
token_renewable      true
token_policies       [\"default\" \"p1\"]
identity_policies    []
policies             [\"default\" \"p1\"]
token_meta_user      bob";
        assert_eq!(secret_table(&token()).unwrap(), expected);
        let mut root = token();
        root.auth.as_mut().unwrap().lease_duration = 0;
        assert!(secret_table(&root).unwrap().contains("token_duration       ∞"));
    }

    #[test]
    fn wrapping_as_vault_shows_it() {
        let wrap = WrapInfo {
            token: Secret::from_text("s.wrap"),
            accessor: "acc".to_owned(),
            ttl: 300,
            creation_time: "2026-11-21T23:21:14.5500Z".to_owned(),
            creation_path: "secret/a".to_owned(),
            wrapped_accessor: String::new(),
        };
        let answer = SecretAnswer { wrap_info: Some(wrap), ..SecretAnswer::default() };
        let table = secret_table(&answer).unwrap();
        assert!(table.contains("wrapping_token_ttl:              5m"), "{table}");
        assert!(table.contains("2026-11-21 23:21:14.55 +0000 UTC"), "{table}");
        assert_eq!(field(&answer, "wrapping_token").unwrap().to_string(), "s.wrap");
    }

    #[test]
    fn json_has_vaults_order() {
        let answer = SecretAnswer { data: Some(fields(r#"{"z":1,"a":{"y":1,"b":2}}"#)), ..token() };
        let text = json::pretty(&document(&answer));
        let places: Vec<_> = [
            "request_id",
            "lease_id",
            "lease_duration",
            "renewable",
            "data",
            "\"a\"",
            "\"b\"",
            "\"y\"",
            "\"z\"",
            "warnings",
            "auth",
            "client_token",
            "mfa_requirement",
        ]
        .iter()
        .map(|name| text.find(name).unwrap_or_else(|| panic!("{name} in {text}")))
        .collect();
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains("\"identity_policies\": null"), "{text}");
        assert!(!text.contains("wrap_info"), "{text}");
    }

    #[test]
    fn a_field_is_printed_alone() {
        let (mut printer, out, err) = printer(Format::Table);
        let answer = SecretAnswer {
            data: Some(fields(r#"{"n":12345678901234567890,"nothing":null}"#)),
            warnings: Some(vec!["beware".to_owned()]),
            ..SecretAnswer::default()
        };
        printer.secret_or_field(&answer, Some("n")).unwrap();
        assert_eq!(out.text(), "12345678901234567890");
        assert!(err.text().contains("  * beware\n"));
        for missing in ["nothing", "other"] {
            let failure = printer.secret_or_field(&answer, Some(missing)).unwrap_err();
            assert_eq!(failure.code, 1);
            let text = format!("there is no field \"{missing}\"; there are: n, nothing");
            assert_eq!(failure.text.unwrap(), text);
        }
        printer.format = Format::Json;
        printer.secret_or_field(&token(), Some("token")).unwrap();
        assert!(out.text().ends_with("\"s.tok\""));
    }

    /// The token or the lease would be lost, and would live on.
    #[test]
    fn what_a_request_made_is_shown_even_if_the_field_is_not_in_it() {
        let leased = SecretAnswer { lease_id: "custom/creds/x/1".to_owned(), ..Default::default() };
        for (answer, expected) in [(token(), "s.tok"), (leased, "custom/creds/x/1")] {
            let (mut printer, out, _) = printer(Format::Json);
            let failure = printer.secret_or_field(&answer, Some("nope")).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(out.text().contains(expected), "{}", out.text());
        }
    }
}
