//! Tests of conditions, with tables and against a model written from the documentation.

use std::sync::Arc;

use strongroom_types::fields::JsonLimits;

use super::matching::glob_matches;
use super::*;
use crate::acl::{Acl, AclRequest, PathCase};
use crate::field_reading::{FieldDeclaration, FieldReading};
use crate::language::Policy;

/// Whether a rule with these conditions lets a write with this body through.
fn allows_write(conditions: &str, body: &str) -> bool {
    allows_request(&[conditions], Capability::Update, body, None)
}

fn allows_request(rules: &[&str], needed: Capability, body: &str, wrap: Option<Ttl>) -> bool {
    allows_request_read_as(rules, needed, body, wrap, &FieldReadings::unknown)
}

fn allows_request_read_as(
    rules: &[&str],
    capability: Capability,
    body: &str,
    wrap: Option<Ttl>,
    readings: &dyn Fn() -> FieldReadings,
) -> bool {
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list"]"#;
    let policies = rules
        .iter()
        .map(|rule| Arc::new(Policy::parse(&format!("path \"a\" {{ {all}\n {rule} }}")).unwrap()));
    let fields = Fields::parse(body.as_bytes(), &JsonLimits::default()).unwrap();
    let (case, sudo) = (PathCase::Distinct, false);
    let asked = AclRequest {
        path: "a",
        case,
        capability,
        sudo,
        fields: &fields,
        has_raw_body: false,
        readings,
        wrap,
    };
    Acl::new(policies).permits_request(&asked)
}

/// Whether a rule permits a write whose handler reads the field `f` in this way.
fn allows_write_read_as(reading: FieldReading, conditions: &str, value: &str) -> bool {
    let readings = || {
        FieldReadings::from_declarations([FieldDeclaration {
            name: "f".into(),
            reading,
            legacy_name_of: None,
        }])
    };
    let body = format!("{{\"f\":{value}}}");
    allows_request_read_as(&[conditions], Capability::Update, &body, None, &readings)
}

/// Spellings that the handler of a token's policies reads as a list containing `admin`.
const SPELLINGS_OF_ADMIN: [&str; 12] = [
    r#""admin""#,
    r#""dev,admin""#,
    r#"" admin""#,
    r#""ADMIN""#,
    r#""dev, Admin ""#,
    r#"["admin"]"#,
    r#"["Admin"]"#,
    r#"["dev","admin"]"#,
    r#"["dev"," ADMIN "]"#,
    r#"["dev,x","\tadmin"]"#,
    r#""admin,""#,
    r#"",,admin""#,
];

#[test]
fn vault_1_21_and_vault_2_1_2_denied_values_are_found_in_every_spelling_that_handlers_take() {
    let rule = r#"denied_parameters = { "f" = ["admin"] }"#;
    let glob = r#"denied_parameters = { "f" = ["adm*"] }"#;
    for spelling in SPELLINGS_OF_ADMIN {
        for rule in [rule, glob] {
            for reading in [FieldReading::PolicyNames, FieldReading::Unknown] {
                assert!(!allows_write_read_as(reading, rule, spelling), "{reading:?} {spelling}");
            }
        }
    }
    for harmless in [r#""dev""#, r#"["dev","ops"]"#, r#""dev,ops""#, r#""administer""#, "[]"] {
        for reading in [FieldReading::PolicyNames, FieldReading::Unknown] {
            assert!(allows_write_read_as(reading, rule, harmless), "{reading:?} {harmless}");
        }
    }
    // Forms that only an undeclared handler of a plug-in might take apart.
    for spelling in
        [r#"{"a":"admin"}"#, r#"{"a":["x",{"b":"Admin"}]}"#, r#""a=admin""#, r#""[\"admin\"]""#]
    {
        assert!(!allows_write_read_as(FieldReading::Unknown, rule, spelling), "{spelling}");
    }
}

#[test]
fn vault_1_21_an_allowed_glob_must_match_every_entry() {
    let rule = r#"allowed_parameters = { "f" = ["team-*", "dev"] }"#;
    for reading in [FieldReading::List, FieldReading::PolicyNames, FieldReading::Unknown] {
        for passes in [r#""team-a""#, r#"["team-a","dev"]"#, r#"["dev"]"#] {
            assert!(allows_write_read_as(reading, rule, passes), "{reading:?} {passes}");
        }
        for fails in [
            r#""team-a,admin""#,
            r#""admin,team-a""#,
            r#"["team-a","admin"]"#,
            r#"[" admin"]"#,
            r#"["team-a",["admin"]]"#,
            r#"{"team-a":"team-a"}"#,
            "[]",
            r#""""#,
            "null",
        ] {
            assert!(!allows_write_read_as(reading, rule, fails), "{reading:?} {fails}");
        }
    }
    for reading in [FieldReading::List, FieldReading::PolicyNames] {
        assert!(allows_write_read_as(reading, rule, r#""team-a, dev""#), "each entry is allowed");
    }
    assert!(!allows_write_read_as(FieldReading::Unknown, rule, r#""team-a,team-b""#));
    assert!(allows_write_read_as(FieldReading::PolicyNames, rule, r#"["TEAM-A "]"#));
    assert!(!allows_write_read_as(FieldReading::List, rule, r#"["TEAM-A"]"#), "grants stay exact");
}

#[test]
fn values_are_compared_as_their_kind_is_read() {
    use FieldReading::{Boolean, Duration, Float, Integer, Pairs, PolicyName, Text, Time};
    for (reading, denied, sent) in [
        (Duration, r#""24h""#, r#""1d""#),
        (Duration, r#""24h""#, "86400"),
        (Duration, r#""24h""#, r#"" 1440m ""#),
        (Duration, "86400", r#""24h0m0.5s""#),
        (Integer, "5", r#"" 5 ""#),
        (Integer, r#""5""#, "5"),
        (Integer, "5", r#""+5""#),
        (Float, "1.5", r#"" 1.50 ""#),
        (Float, r#""1500""#, "1.5e3"),
        (Time, r#""2023-11-14T22:13:20Z""#, "1700000000"),
        (Time, r#""2023-11-14T22:13:20Z""#, r#"" 2023-11-15T00:13:20+02:00""#),
        (Time, "1700000000", r#""2023-11-14T22:13:20.000Z""#),
        (Boolean, "true", r#""t""#),
        (Boolean, "true", "1"),
        (Boolean, r#""false""#, r#""F""#),
        (Pairs, r#"{ env = "prod" }"#, r#""env=prod""#),
        (Pairs, r#"{ env = "prod" }"#, r#"["env=prod"]"#),
        (Pairs, r#""prod""#, r#"{"env":"prod"}"#),
        (Pairs, r#""env=*""#, r#"{"env":"x","a":"b"}"#),
        (PolicyName, r#""admin""#, r#"" Admin""#),
        (Text, r#""admin""#, r#"" admin ""#),
        (Text, r#""5""#, "5"),
    ] {
        let rule = format!("denied_parameters = {{ \"f\" = [{denied}] }}");
        assert!(!allows_write_read_as(reading, &rule, sent), "{reading:?} {denied} {sent}");
    }
    for (reading, allowed, sent) in [
        (Duration, r#""5m""#, "300"),
        (Duration, "300", r#""5m""#),
        (Integer, "5", r#""5""#),
        (Float, "1.5", r#""1.50""#),
        (Time, "1700000000", r#""2023-11-14T22:13:20Z""#),
        (Boolean, "true", r#""TRUE""#),
        (Pairs, r#""env=*""#, r#"{"env":"prod"}"#),
        (Pairs, r#"{ env = "prod" }"#, r#""env=prod""#),
    ] {
        let rule = format!("allowed_parameters = {{ \"f\" = [{allowed}] }}");
        assert!(allows_write_read_as(reading, &rule, sent), "{reading:?} {allowed} {sent}");
    }
    for (reading, allowed, sent) in [
        (Duration, r#""5m""#, r#""5m0.5s""#),
        (Duration, r#""0""#, r#""""#),
        (Integer, "5", "6"),
        (Float, "1.5", "1.6"),
        (Time, "1700000000", r#""2023-11-14T22:13:21Z""#),
        (Time, "1700000000", r#""yesterday""#),
        (Pairs, r#""env=*""#, r#"{"env":"prod","admin":"yes"}"#),
        (Text, r#""a""#, r#""a ""#),
        (Text, r#""a""#, r#"["a"]"#),
    ] {
        let rule = format!("allowed_parameters = {{ \"f\" = [{allowed}] }}");
        assert!(!allows_write_read_as(reading, &rule, sent), "{reading:?} {allowed} {sent}");
    }
    let text = r#"denied_parameters = { "f" = ["admin"] }"#;
    assert!(allows_write_read_as(Text, text, r#""dev,admin""#), "one text is one value");
}

#[test]
fn a_declared_field_of_many_forms_is_missing_if_it_is_null() {
    let readings = || {
        let (name, reading) = ("f".into(), FieldReading::Unknown);
        FieldReadings::from_declarations([FieldDeclaration { name, reading, legacy_name_of: None }])
    };
    let rule = r#"required_parameters = ["f"]"#;
    let writes = |body| allows_request_read_as(&[rule], Capability::Update, body, None, &readings);
    assert!(writes(r#"{"f":{}}"#));
    assert!(!writes(r#"{"f":null}"#));
}

#[test]
fn a_field_is_judged_under_each_of_its_names() {
    let readings = || {
        let field = |name: &'static str, legacy_name_of| FieldDeclaration {
            name: name.into(),
            reading: FieldReading::Duration,
            legacy_name_of,
        };
        FieldReadings::from_declarations([field("ttl", None), field("lease", Some("ttl"))])
    };
    let writes = |rule: &str, body: &str| {
        allows_request_read_as(&[rule], Capability::Update, body, None, &readings)
    };
    for (named, sent) in [("ttl", "lease"), ("lease", "ttl"), ("ttl", "ttl"), ("lease", "lease")] {
        let denied = format!("denied_parameters = {{ \"{named}\" = [\"24h\"] }}");
        assert!(!writes(&denied, &format!("{{\"{sent}\":86400}}")), "{named} {sent}");
        assert!(writes(&denied, &format!("{{\"{sent}\":\"23h\"}}")), "{named} {sent}");
        let never = format!("denied_parameters = {{ \"{named}\" = [] }}");
        assert!(!writes(&never, &format!("{{\"{sent}\":1}}")), "{named} {sent}");
        let allowed = format!("allowed_parameters = {{ \"*\" = [], \"{named}\" = [\"1h\"] }}");
        assert!(writes(&allowed, &format!("{{\"{sent}\":\"60m\"}}")), "{named} {sent}");
        assert!(!writes(&allowed, &format!("{{\"{sent}\":\"2h\"}}")), "{named} {sent}");
        let required = format!("required_parameters = [\"{named}\"]");
        assert!(writes(&required, &format!("{{\"{sent}\":1}}")), "{named} {sent}");
        assert!(!writes(&required, &format!("{{\"{sent}\":null}}")), "a null gives nothing");
    }
    let only = r#"allowed_parameters = { "ttl" = [] }"#;
    assert!(!writes(only, r#"{"lease":1}"#), "a grant is for the name it has");
}

proptest::proptest! {
    /// In a list as the handler reads it, a denied entry is found in every spelling, and a value
    /// that passes an allowed glob is allowed entry by entry.
    #[test]
    fn vault_1_21_what_the_handler_reads_is_what_is_judged(
        parts in proptest::collection::vec("[ \\t]{0,2}[abAB]{0,3}[ \\t]{0,2}", 0..4),
        as_list in proptest::bool::ANY,
        wanted in "[ab]{1,2}\\*?",
        names in proptest::bool::ANY,
    ) {
        let sent = if as_list { serde_json::json!(parts) } else { serde_json::json!(parts.join(",")) };
        let read: Vec<String> = parts
            .iter()
            .map(|part| part.trim().to_owned())
            .map(|part| if names { part.to_lowercase() } else { part })
            .filter(|part| !part.is_empty())
            .collect();
        let is = |have: &String| match wanted.strip_suffix('*') {
            Some(start) => have.starts_with(start),
            None => *have == wanted,
        };
        let reading = if names { FieldReading::PolicyNames } else { FieldReading::List };
        let denied = format!("denied_parameters = {{ \"f\" = [\"{wanted}\"] }}");
        if read.iter().any(is) {
            proptest::prop_assert!(!allows_write_read_as(reading, &denied, &sent.to_string()));
            proptest::prop_assert!(!allows_write_read_as(FieldReading::Unknown, &denied, &sent.to_string()));
        }
        let allowed = format!("allowed_parameters = {{ \"f\" = [\"{wanted}\"] }}");
        let passes = allows_write_read_as(reading, &allowed, &sent.to_string());
        proptest::prop_assert_eq!(passes, !read.is_empty() && read.iter().all(is), "{}", sent);
    }
}

#[test]
fn allowed_parameters_leave_no_others() {
    let rule = r#"allowed_parameters = {
        "Ttl" = ["1h", "2*", "*x"], "n" = [5, true], "l" = [["a", "b"]], "any" = []
    }"#;
    let passes = [
        r#"{"ttl":"1h"}"#,
        r#"{"TTL":"2h"}"#,
        r#"{"ttl":["1h","2h"]}"#,
        r#"{"ttl":"ax"}"#,
        r#"{"n":5}"#,
        r#"{"n":5.0}"#,
        r#"{"n":true}"#,
        r#"{"l":["a","b"]}"#,
        r#"{"any":{"z":1},"ttl":"2"}"#,
        r#"{"any":null}"#,
        "{}",
    ];
    let fails = [
        r#"{"ttl":"3h"}"#,
        r#"{"ttl":null}"#,
        r#"{"ttl":["1h","3h"]}"#,
        r#"{"ttl":"1h,3h"}"#,
        r#"{"ttl":"2h,3h"}"#,
        r#"{"n":"5"}"#,
        r#"{"n":"true"}"#,
        r#"{"n":6}"#,
        r#"{"l":"a"}"#,
        r#"{"l":["b","a"]}"#,
        r#"{"other":1}"#,
        r#"{"any":1,"other":1}"#,
        r#"{"ttl":"1h","TTL":"9h"}"#,
    ];
    for body in passes {
        assert!(allows_write(rule, body), "{body}");
    }
    for body in fails {
        assert!(!allows_write(rule, body), "{body}");
    }
    assert!(allows_write("allowed_parameters = {}", r#"{"x":1}"#), "none are set");
}

#[test]
fn a_star_allows_all_other_fields() {
    let rule = r#"allowed_parameters = { "*" = [], "x" = ["1"] }"#;
    assert!(allows_write(rule, r#"{"x":"1","y":2}"#));
    assert!(!allows_write(rule, r#"{"x":"2","y":2}"#));
    let rule = r#"allowed_parameters = { "*" = ["v"] }"#;
    assert!(allows_write(rule, r#"{"y":"v"}"#));
    assert!(!allows_write(rule, r#"{"y":"w"}"#));
}

#[test]
fn denied_parameters_come_first() {
    let rule = r#"
        allowed_parameters = { "*" = [] }
        denied_parameters = { "root" = [], "n" = [5, "6"], "s" = ["bad*"], "o" = [{ a = 1 }] }"#;
    for body in [r#"{"ok":1}"#, r#"{"n":7}"#, r#"{"s":"good"}"#, r#"{"o":{"a":2}}"#, "{}"] {
        assert!(allows_write(rule, body), "{body}");
    }
    for body in [r#"{"root":1}"#, r#"{"ROOT":null}"#, r#"{"s":"badly"}"#, r#"{"o":{"a":1}}"#] {
        assert!(!allows_write(rule, body), "{body}");
    }
    assert!(!allows_write(r#"denied_parameters = { "*" = ["v"] }"#, r#"{"x":1}"#));
    assert!(allows_write(r#"denied_parameters = { "*" = [] }"#, "{}"));
}

#[test]
fn a_denial_cannot_be_bypassed_with_quotes_or_brackets() {
    let rule = r#"denied_parameters = { "n" = [5, "6"], "b" = [true], "s" = ["bad*"] }"#;
    for value in ["5", "5.0", "\"5\"", "6", "\"6\"", "[6]", "[[5]]", "[1, \"5\"]"] {
        assert!(!allows_write(rule, &format!("{{\"n\":{value}}}")), "{value}");
    }
    assert!(!allows_write(rule, r#"{"b":"true"}"#) && allows_write(rule, r#"{"b":"7"}"#));
    for value in ["7", "\"7\"", "[]", "{}", "null", "\"\"", "\"five\""] {
        assert!(allows_write(rule, &format!("{{\"n\":{value}}}")), "{value}");
    }
    assert!(!allows_write(rule, r#"{"s":["good","badly"]}"#));
    assert!(!allows_write(r#"denied_parameters = { "s" = ["*"] }"#, r#"{"s":"x"}"#));
}

#[test]
fn required_parameters_are_asked_of_whatever_hands_fields_on() {
    let rule = r#"required_parameters = ["Reason"]"#;
    let ask = |needed, body| allows_request(&[rule], needed, body, None);
    for needed in [Capability::Create, Capability::Read, Capability::Update, Capability::Patch] {
        assert!(ask(needed, r#"{"reason":""}"#));
        assert!(!ask(needed, "{}") && !ask(needed, r#"{"x":1}"#), "{needed:?}");
    }
    assert!(ask(Capability::Delete, "{}") && ask(Capability::List, "{}"));
}

#[test]
fn bounds_on_wrapping_refuse_what_is_not_wrapped() {
    let rule = r#"min_wrapping_ttl = "1m" max_wrapping_ttl = 300"#;
    for needed in [Capability::Read, Capability::List, Capability::Delete, Capability::Update] {
        let ask = |wrap: Option<u64>| allows_request(&[rule], needed, "", wrap.map(Ttl::from_secs));
        assert!(ask(Some(60)) && ask(Some(300)));
        assert!(!ask(None) && !ask(Some(59)) && !ask(Some(301)) && !ask(Some(0)), "{needed:?}");
    }
    let merged = [r#"max_wrapping_ttl = "1m""#, r#"min_wrapping_ttl = "2m""#];
    for secs in [30, 60, 90, 120, 180] {
        let wrap = Some(Ttl::from_secs(secs));
        assert!(!allows_request(&merged, Capability::Read, "", wrap), "nothing fits {secs}");
    }
}

#[test]
fn the_same_pattern_in_several_policies_is_merged() {
    let ask = |rules: &[&str], body| allows_request(rules, Capability::Update, body, None);
    let first = r#"allowed_parameters = { "a" = ["1"], "b" = ["1"] }"#;
    let second = r#"allowed_parameters = { "a" = [], "b" = ["2"] } required_parameters = ["b"]"#;
    for rules in [[first, second], [second, first]] {
        assert!(ask(&rules, r#"{"a":"9","b":"1"}"#) && ask(&rules, r#"{"b":"2"}"#));
        assert!(!ask(&rules, r#"{"a":"2"}"#) && !ask(&rules, r#"{"b":"3"}"#));
    }
    // A rule without conditions doesn't remove those of another rule for the same pattern.
    for rules in [[first, ""], ["", first]] {
        assert!(ask(&rules, r#"{"a":"1"}"#) && !ask(&rules, r#"{"c":"1"}"#));
    }
    let (one, other) =
        (r#"denied_parameters = { "a" = ["1"] }"#, r#"denied_parameters = { "a" = ["2"] }"#);
    assert!(!ask(&[one, other], r#"{"a":"1"}"#) && !ask(&[one, other], r#"{"a":"2"}"#));
    assert!(ask(&[one, other], r#"{"a":"3"}"#));
    let wraps = [r#"max_wrapping_ttl = "5m""#, r#"max_wrapping_ttl = "1m""#];
    assert!(!allows_request(&wraps, Capability::Read, "", Some(Ttl::from_secs(90))));
    assert!(allows_request(&wraps, Capability::Read, "", Some(Ttl::from_secs(60))));
}

#[test]
fn globs_stand_at_the_ends_only() {
    for (glob, text, fits) in [
        ("*b*", "abc", true),
        ("**", "", true),
        ("a*c", "abc", false),
        ("a*c", "a*c", true),
        ("*", "x", false),
        ("*", "*", true),
        ("", "", true),
    ] {
        assert_eq!(glob_matches(glob, text), fits, "{glob} {text}");
    }
}

proptest::proptest! {
    /// A second implementation of the conditions, from the documentation.
    #[test]
    fn agrees_with_a_naive_model(
        allowed in proptest::collection::btree_map("[ab*]", proptest::collection::vec("[xy]\\*?", 0..2), 0..3),
        denied in proptest::collection::btree_map("[ab*]", proptest::collection::vec("[xy]\\*?", 0..2), 0..2),
        required in proptest::collection::vec("[ab]", 0..2),
        body in proptest::collection::btree_map("[abcAB]", "[xyz]{0,2}", 0..3),
    ) {
        let rule = format!(
            "allowed_parameters = {}\n denied_parameters = {}\n required_parameters = {}",
            to_hcl(&allowed), to_hcl(&denied), serde_json::to_string(&required).unwrap(),
        );
        let sent = serde_json::to_string(&body).unwrap();
        let is = |want: &str, have: &str| match want.strip_suffix('*') {
            Some(start) => have.starts_with(start),
            None => want == have,
        };
        let listed = |list: &Vec<String>, value: &str| list.is_empty() || list.iter().any(|w| is(w, value));
        let mut expected = required.iter().all(|name| body.contains_key(name));
        for (name, value) in &body {
            let name = name.to_lowercase();
            if denied.contains_key("*") || denied.get(&name).is_some_and(|l| listed(l, value)) {
                expected = false;
            }
            let rule = allowed.get(&name).or(allowed.get("*"));
            if !allowed.is_empty() && !rule.is_some_and(|l| listed(l, value)) {
                expected = false;
            }
        }
        proptest::prop_assert_eq!(allows_write(&rule, &sent), expected, "{} {}", rule, sent);
    }
}

fn to_hcl(parameters: &BTreeMap<String, Vec<String>>) -> String {
    let lines = parameters
        .iter()
        .map(|(name, values)| format!("\"{name}\" = {}", serde_json::to_string(values).unwrap()));
    format!("{{ {} }}", lines.collect::<Vec<_>>().join(", "))
}

#[test]
fn a_number_is_judged_by_its_digits_where_the_handler_takes_it_for_text() {
    let huge = "123456789012345678901234567890";
    for (wanted, sent) in [("1.10", "1.10"), ("1e2", "1e2"), ("-0", "-0"), (huge, huge)] {
        let denied = format!("denied_parameters = {{ \"f\" = [\"{wanted}\", \"n={wanted}\"] }}");
        for reading in [
            FieldReading::Text,
            FieldReading::AsSent,
            FieldReading::Unknown,
            FieldReading::List,
            FieldReading::PolicyNames,
        ] {
            assert!(!allows_write_read_as(reading, &denied, sent), "{reading:?} {sent}");
            assert!(
                !allows_write_read_as(reading, &denied, &format!("[\"a\\\"1\",{sent}]")),
                "{reading:?}"
            );
            assert!(allows_write_read_as(reading, &denied, "[\"a\\\"1\",7.5]"), "{reading:?}");
        }
        assert!(!allows_write_read_as(FieldReading::Pairs, &denied, &format!("{{\"n\":{sent}}}")));
    }
    let allowed = r#"allowed_parameters = { "f" = ["1.1", "n=1.1", "7"] }"#;
    for (value, fits) in [("[1.1]", true), ("[1.10]", false), ("[7, \"1.1\"]", true)] {
        assert_eq!(allows_write_read_as(FieldReading::List, allowed, value), fits, "{value}");
    }
    for (value, fits) in [("{\"n\":1.1}", true), ("{\"n\":1.10}", false)] {
        assert_eq!(allows_write_read_as(FieldReading::Pairs, allowed, value), fits, "{value}");
    }
}

/// Go plug-ins read their fields with weak conversions (`mapstructure.WeakDecode`).
#[test]
fn a_denial_covers_what_a_go_plugin_converts_to_the_denied_value() {
    let denied = |wanted: &str| format!("denied_parameters = {{ \"f\" = [{wanted}] }}");
    let cases: [(&str, &[&str], &[&str]); 8] = [
        (
            "true",
            &["2", "-1", "0.5", "\"1\"", "\"T\"", "[3]", "1e3"],
            &["0", "false", "\"\"", "null"],
        ),
        ("\"true\"", &["2", "true", "1"], &["0", "\"no\""]),
        ("false", &["0", "\"\"", "null", "\"f\"", "0.0"], &["1", "true", "\"x\""]),
        (
            "16",
            &["\"0x10\"", "\"020\"", "\"0b1_0000\"", "16.9", "\"+16\"", "\"0o20\""],
            &["17", "\"0x11\""],
        ),
        ("1", &["true", "\"0x1\""], &["2", "false"]),
        ("0", &["false", "\"\"", "null"], &["true", "1"]),
        ("\"1\"", &["true"], &["2", "false"]),
        ("\"\"", &[], &["0", "false", "\"0\""]),
    ];
    for (wanted, stopped, passed) in cases {
        for value in stopped {
            let writes = allows_write_read_as(FieldReading::Unknown, &denied(wanted), value);
            assert!(!writes, "{wanted} {value}");
        }
        for value in passed {
            let writes = allows_write_read_as(FieldReading::Unknown, &denied(wanted), value);
            assert!(writes, "{wanted} {value}");
        }
    }
}
