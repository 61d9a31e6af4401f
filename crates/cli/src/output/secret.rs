//! The envelope of API responses, in formats for people and machines.

use strongroom_client::{SecretAuth, SecretResponse, SecretWrapInfo};
use strongroom_types::Fields;

use super::table::key_value_table;
use super::text::{format_duration, is_duration_field};
use super::value::OutputValue;

/// The response as a document with the field order of Vault's tools.
pub(crate) fn response_document(answer: &SecretResponse) -> OutputValue {
    let mut pairs = vec![
        ("request_id", OutputValue::from_text(&answer.request_id)),
        ("lease_id", OutputValue::from_text(&answer.lease_id)),
        ("lease_duration", OutputValue::from_number(answer.lease_duration)),
        ("renewable", OutputValue::Bool(answer.renewable)),
        ("data", answer.data.as_ref().map_or(OutputValue::Null, OutputValue::from_fields)),
        ("warnings", OutputValue::from_texts(answer.warnings.as_deref())),
    ];
    pairs.extend(answer.auth.as_ref().map(|auth| ("auth", auth_document(auth))));
    pairs.extend(answer.wrap_info.as_ref().map(|wrap| ("wrap_info", wrap_document(wrap))));
    to_object(pairs)
}

fn auth_document(auth: &SecretAuth) -> OutputValue {
    let metadata = auth.metadata.as_ref().map_or(OutputValue::Null, |metadata| {
        let pairs =
            metadata.iter().map(|(key, value)| (key.clone(), OutputValue::from_text(value)));
        OutputValue::Object(pairs.collect())
    });
    let mfa = auth
        .mfa_requirement
        .as_ref()
        .map_or(OutputValue::Null, |raw| OutputValue::parse(raw.get()));
    to_object(vec![
        ("client_token", OutputValue::from_text(auth.client_token.expose_secret())),
        ("accessor", OutputValue::from_text(&auth.accessor)),
        ("policies", OutputValue::from_texts(auth.policies.as_deref())),
        ("token_policies", OutputValue::from_texts(auth.token_policies.as_deref())),
        ("identity_policies", OutputValue::from_texts(auth.identity_policies.as_deref())),
        ("metadata", metadata),
        ("orphan", OutputValue::Bool(auth.orphan)),
        ("entity_id", OutputValue::from_text(&auth.entity_id)),
        ("lease_duration", OutputValue::from_number(auth.lease_duration)),
        ("renewable", OutputValue::Bool(auth.renewable)),
        ("mfa_requirement", mfa),
    ])
}

fn wrap_document(wrap: &SecretWrapInfo) -> OutputValue {
    to_object(vec![
        ("token", OutputValue::from_text(wrap.token.expose_secret())),
        ("accessor", OutputValue::from_text(&wrap.accessor)),
        ("ttl", OutputValue::from_number(wrap.ttl)),
        ("creation_time", OutputValue::from_text(&wrap.creation_time)),
        ("creation_path", OutputValue::from_text(&wrap.creation_path)),
        ("wrapped_accessor", OutputValue::from_text(&wrap.wrapped_accessor)),
    ])
}

fn to_object(pairs: Vec<(&str, OutputValue)>) -> OutputValue {
    OutputValue::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The response as a table; `None` if there is nothing to show.
pub(crate) fn response_table(answer: &SecretResponse) -> Option<String> {
    let mut rows = KeyValueRows::default();
    if answer.lease_duration > 0 {
        if answer.lease_id.is_empty() {
            rows.add_row("refresh_interval", format_duration(answer.lease_duration));
        } else {
            rows.add_row("lease_id", &answer.lease_id);
            rows.add_row("lease_duration", format_duration(answer.lease_duration));
            rows.add_row("lease_renewable", answer.renewable.to_string());
        }
    }
    if let Some(auth) = &answer.auth {
        rows.add_auth(auth);
    }
    if let Some(wrap) = &answer.wrap_info {
        rows.add_wrap_info(wrap);
    }
    if let Some(data) = &answer.data {
        rows.add_data(data);
    }
    rows.to_table()
}

/// A map of values as a table; `None` if it is empty.
pub(crate) fn map_table(map: &OutputValue) -> Option<String> {
    let mut rows = KeyValueRows::default();
    if let OutputValue::Object(pairs) = map.sorted() {
        for (key, value) in pairs {
            rows.add_value(&key, &value);
        }
    }
    rows.to_table()
}

#[derive(Default)]
struct KeyValueRows(Vec<(String, String)>);

impl KeyValueRows {
    fn add_row(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    fn add_value(&mut self, key: &str, value: &OutputValue) {
        let seconds = match value {
            OutputValue::Number(digits) if is_duration_field(key) => digits.parse().ok(),
            _ => None,
        };
        self.add_row(key, seconds.map_or_else(|| value.to_string(), format_duration));
    }

    fn add_data(&mut self, data: &Fields) {
        for (key, raw) in data.iter() {
            self.add_value(key, &OutputValue::parse(raw.get()));
        }
    }

    fn add_auth(&mut self, auth: &SecretAuth) {
        if let Some(requirement) = &auth.mfa_requirement {
            self.add_mfa_requirement(&OutputValue::parse(requirement.get()));
            return;
        }
        self.add_row("token", auth.client_token.expose_secret());
        self.add_row("token_accessor", &auth.accessor);
        let lasts = match auth.lease_duration {
            0 => "∞".to_owned(),
            seconds => format_duration(seconds),
        };
        self.add_row("token_duration", lasts);
        self.add_row("token_renewable", auth.renewable.to_string());
        self.add_row("token_policies", quote_list(auth.token_policies.as_deref()));
        self.add_row("identity_policies", quote_list(auth.identity_policies.as_deref()));
        self.add_row("policies", quote_list(auth.policies.as_deref()));
        for (key, value) in auth.metadata.iter().flatten() {
            self.add_row(&format!("token_meta_{key}"), value);
        }
    }

    /// Adds the second factors that are required before a token is issued.
    fn add_mfa_requirement(&mut self, requirement: &OutputValue) {
        let id = requirement.get("mfa_request_id").map(ToString::to_string);
        self.add_row("mfa_request_id", id.unwrap_or_default());
        let Some(OutputValue::Object(constraints)) = requirement.get("mfa_constraints") else {
            return;
        };
        for (name, constraint) in constraints {
            let Some(OutputValue::List(methods)) = constraint.get("any") else { continue };
            for method in methods {
                let field = |field| method.get(field).map(ToString::to_string).unwrap_or_default();
                let prefix = format!("mfa_constraint_{name}_{}", field("type"));
                self.add_row(&format!("{prefix}_id"), field("id"));
                let passcode = method.get("uses_passcode") == Some(&OutputValue::Bool(true));
                self.add_row(&format!("{prefix}_uses_passcode"), passcode.to_string());
                if !field("name").is_empty() {
                    self.add_row(&format!("{prefix}_name"), field("name"));
                }
            }
        }
    }

    fn add_wrap_info(&mut self, wrap: &SecretWrapInfo) {
        self.add_row("wrapping_token:", wrap.token.expose_secret());
        self.add_row("wrapping_accessor:", &wrap.accessor);
        self.add_row("wrapping_token_ttl:", format_duration(wrap.ttl));
        self.add_row("wrapping_token_creation_time:", format_go_time(&wrap.creation_time));
        self.add_row("wrapping_token_creation_path:", &wrap.creation_path);
        if !wrap.wrapped_accessor.is_empty() {
            self.add_row("wrapped_accessor:", &wrap.wrapped_accessor);
        }
    }

    fn to_table(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| key_value_table(&self.0))
    }
}

/// Formats a list as `["a" "b"]`, the way Go quotes it.
fn quote_list(texts: Option<&[String]>) -> String {
    let texts = texts.unwrap_or_default().iter().map(|text| format!("{text:?}"));
    format!("[{}]", texts.collect::<Vec<_>>().join(" "))
}

/// Formats a time the way Go prints it.
fn format_go_time(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Whether the response was created by the request, so that it can't be requested again.
pub(crate) fn is_unrepeatable(answer: &SecretResponse) -> bool {
    answer.auth.is_some() || answer.wrap_info.is_some() || !answer.lease_id.is_empty()
}

/// A field of the response, by its name in the table or in the data.
pub(crate) fn response_field(answer: &SecretResponse, name: &str) -> Option<OutputValue> {
    let of_data = || {
        let raw = answer.data.as_ref()?.get(name)?;
        Some(OutputValue::parse(raw.get()))
    };
    let list = |texts: &Option<Vec<String>>| {
        OutputValue::from_texts(Some(texts.as_deref().unwrap_or_default()))
    };
    if let Some(auth) = &answer.auth {
        return match name {
            "token" => Some(OutputValue::from_text(auth.client_token.expose_secret())),
            "token_accessor" => Some(OutputValue::from_text(&auth.accessor)),
            "token_duration" => Some(OutputValue::from_number(auth.lease_duration)),
            "token_renewable" => Some(OutputValue::Bool(auth.renewable)),
            "token_policies" => Some(list(&auth.token_policies)),
            "identity_policies" => Some(list(&auth.identity_policies)),
            "policies" => Some(list(&auth.policies)),
            _ => of_data(),
        };
    }
    if let Some(wrap) = &answer.wrap_info {
        return match name {
            "wrapping_token" => Some(OutputValue::from_text(wrap.token.expose_secret())),
            "wrapping_accessor" => Some(OutputValue::from_text(&wrap.accessor)),
            "wrapping_token_ttl" => Some(OutputValue::from_number(wrap.ttl)),
            "wrapping_token_creation_time" => Some(OutputValue::from_text(&wrap.creation_time)),
            "wrapping_token_creation_path" => Some(OutputValue::from_text(&wrap.creation_path)),
            "wrapped_accessor" => Some(OutputValue::from_text(&wrap.wrapped_accessor)),
            _ => of_data(),
        };
    }
    match name {
        "lease_duration" | "refresh_interval" => {
            Some(OutputValue::from_number(answer.lease_duration))
        }
        "lease_id" => Some(OutputValue::from_text(&answer.lease_id)),
        "request_id" => Some(OutputValue::from_text(&answer.request_id)),
        "renewable" => Some(OutputValue::Bool(answer.renewable)),
        "data" => of_data().or_else(|| answer.data.as_ref().map(OutputValue::from_fields)),
        _ => of_data(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_types::Secret;

    use super::super::testing::test_printer;
    use super::super::{OutputFormat, json};
    use super::*;

    fn parse_fields(json: &str) -> Fields {
        Fields::from_trusted(json.as_bytes()).unwrap()
    }

    fn token_response() -> SecretResponse {
        let policies = Some(vec!["default".to_owned(), "p1".to_owned()]);
        let auth = SecretAuth {
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
        SecretResponse { auth: Some(auth), ..SecretResponse::default() }
    }

    #[test]
    fn a_lease_comes_before_its_data() {
        let answer = SecretResponse {
            lease_id: "custom/creds/developer/x".to_owned(),
            lease_duration: 5400,
            renewable: true,
            data: Some(parse_fields(r#"{"b":null,"a":1.10,"max_ttl":3600}"#)),
            ..SecretResponse::default()
        };
        let expected = "Key                Value
---                -----
lease_id           custom/creds/developer/x
lease_duration     1h30m
lease_renewable    true
a                  1.10
b                  <nil>
max_ttl            1h";
        assert_eq!(response_table(&answer).unwrap(), expected);
        let kv = SecretResponse { lease_duration: 2_764_800, ..SecretResponse::default() };
        assert!(response_table(&kv).unwrap().ends_with("refresh_interval    768h"));
        assert!(response_table(&SecretResponse::default()).is_none());
    }

    #[test]
    fn token_table_matches_vaults() {
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
        assert_eq!(response_table(&token_response()).unwrap(), expected);
        let mut root = token_response();
        root.auth.as_mut().unwrap().lease_duration = 0;
        assert!(response_table(&root).unwrap().contains("token_duration       ∞"));
    }

    #[test]
    fn wrapping_table_matches_vaults() {
        let wrap = SecretWrapInfo {
            token: Secret::from_text("s.wrap"),
            accessor: "acc".to_owned(),
            ttl: 300,
            creation_time: "2026-11-21T23:21:14.5500Z".to_owned(),
            creation_path: "secret/a".to_owned(),
            wrapped_accessor: String::new(),
        };
        let answer = SecretResponse { wrap_info: Some(wrap), ..SecretResponse::default() };
        let table = response_table(&answer).unwrap();
        assert!(table.contains("wrapping_token_ttl:              5m"), "{table}");
        assert!(table.contains("2026-11-21 23:21:14.55 +0000 UTC"), "{table}");
        assert_eq!(response_field(&answer, "wrapping_token").unwrap().to_string(), "s.wrap");
    }

    #[test]
    fn json_fields_keep_vaults_order() {
        let answer = SecretResponse {
            data: Some(parse_fields(r#"{"z":1,"a":{"y":1,"b":2}}"#)),
            ..token_response()
        };
        let text = json::to_pretty_json(&response_document(&answer));
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
        let (mut printer, out, err) = test_printer(OutputFormat::Table);
        let answer = SecretResponse {
            data: Some(parse_fields(r#"{"n":12345678901234567890,"nothing":null}"#)),
            warnings: Some(vec!["beware".to_owned()]),
            ..SecretResponse::default()
        };
        printer.print_response_or_field(&answer, Some("n")).unwrap();
        assert_eq!(out.text(), "12345678901234567890");
        assert!(err.text().contains("  * beware\n"));
        for missing in ["nothing", "other"] {
            let failure = printer.print_response_or_field(&answer, Some(missing)).unwrap_err();
            assert_eq!(failure.code, 1);
            let text = format!("there is no field \"{missing}\"; there are: n, nothing");
            assert_eq!(failure.text.unwrap(), text);
        }
        printer.format = OutputFormat::Json;
        printer.print_response_or_field(&token_response(), Some("token")).unwrap();
        assert!(out.text().ends_with("\"s.tok\""));
    }

    /// Otherwise the token or lease would stay valid without anyone knowing it.
    #[test]
    fn unrepeatable_response_is_printed_if_the_field_is_missing() {
        let leased =
            SecretResponse { lease_id: "custom/creds/x/1".to_owned(), ..Default::default() };
        for (answer, expected) in [(token_response(), "s.tok"), (leased, "custom/creds/x/1")] {
            let (mut printer, out, _) = test_printer(OutputFormat::Json);
            let failure = printer.print_response_or_field(&answer, Some("nope")).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(out.text().contains(expected), "{}", out.text());
        }
    }
}
