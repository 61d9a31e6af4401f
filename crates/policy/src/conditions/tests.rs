//! Conditions against tables, and against a model written from the documentation.

use strongroom_types::fields::JsonLimits;

use super::*;
use crate::acl::Acl;
use crate::language::Policy;

/// Whether a rule with these conditions lets a write with this body through.
fn writes(conditions: &str, body: &str) -> bool {
    permits(&[conditions], Capability::Update, body, None)
}

fn permits(rules: &[&str], needed: Capability, body: &str, wrap: Option<Ttl>) -> bool {
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list"]"#;
    let policies: Vec<Policy> = rules
        .iter()
        .map(|rule| Policy::parse(&format!("path \"a\" {{ {all}\n {rule} }}")).unwrap())
        .collect();
    let fields = Fields::parse(body.as_bytes(), &JsonLimits::default()).unwrap();
    Acl::new(&policies).permits("a", needed, false, &fields, wrap)
}

#[test]
fn allowed_parameters_leave_no_others() {
    let rule = r#"allowed_parameters = {
        "Ttl" = ["1h", "2*", "*x"], "n" = [5, true], "l" = [["a", "b"]], "any" = []
    }"#;
    let passes = [
        r#"{"ttl":"1h"}"#,
        r#"{"TTL":"2h"}"#,
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
        r#"{"ttl":["1h"]}"#,
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
        assert!(writes(rule, body), "{body}");
    }
    for body in fails {
        assert!(!writes(rule, body), "{body}");
    }
    assert!(writes("allowed_parameters = {}", r#"{"x":1}"#), "none are set");
}

#[test]
fn a_star_allows_the_rest() {
    let rule = r#"allowed_parameters = { "*" = [], "x" = ["1"] }"#;
    assert!(writes(rule, r#"{"x":"1","y":2}"#));
    assert!(!writes(rule, r#"{"x":"2","y":2}"#));
    let rule = r#"allowed_parameters = { "*" = ["v"] }"#;
    assert!(writes(rule, r#"{"y":"v"}"#));
    assert!(!writes(rule, r#"{"y":"w"}"#));
}

#[test]
fn denied_parameters_come_first() {
    let rule = r#"
        allowed_parameters = { "*" = [] }
        denied_parameters = { "root" = [], "n" = [5, "6"], "s" = ["bad*"], "o" = [{ a = 1 }] }"#;
    for body in [r#"{"ok":1}"#, r#"{"n":7}"#, r#"{"s":"good"}"#, r#"{"o":{"a":2}}"#, "{}"] {
        assert!(writes(rule, body), "{body}");
    }
    for body in [r#"{"root":1}"#, r#"{"ROOT":null}"#, r#"{"s":"badly"}"#, r#"{"o":{"a":1}}"#] {
        assert!(!writes(rule, body), "{body}");
    }
    assert!(!writes(r#"denied_parameters = { "*" = ["v"] }"#, r#"{"x":1}"#));
    assert!(writes(r#"denied_parameters = { "*" = [] }"#, "{}"));
}

#[test]
fn a_denial_is_not_walked_around_with_quotes_or_brackets() {
    let rule = r#"denied_parameters = { "n" = [5, "6", true], "s" = ["bad*"] }"#;
    for value in ["5", "5.0", "\"5\"", "6", "\"6\"", "[6]", "[[5]]", "\"true\"", "[1, \"5\"]"] {
        assert!(!writes(rule, &format!("{{\"n\":{value}}}")), "{value}");
    }
    for value in ["7", "\"7\"", "[]", "{}", "null", "\"\"", "\"five\""] {
        assert!(writes(rule, &format!("{{\"n\":{value}}}")), "{value}");
    }
    assert!(!writes(rule, r#"{"s":["good","badly"]}"#));
    assert!(!writes(r#"denied_parameters = { "s" = ["*"] }"#, r#"{"s":"x"}"#));
}

#[test]
fn required_parameters_are_asked_of_whatever_hands_fields_on() {
    let rule = r#"required_parameters = ["Reason"]"#;
    let ask = |needed, body| permits(&[rule], needed, body, None);
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
        let ask = |wrap: Option<u64>| permits(&[rule], needed, "", wrap.map(Ttl::from_secs));
        assert!(ask(Some(60)) && ask(Some(300)));
        assert!(!ask(None) && !ask(Some(59)) && !ask(Some(301)) && !ask(Some(0)), "{needed:?}");
    }
    let merged = [r#"max_wrapping_ttl = "1m""#, r#"min_wrapping_ttl = "2m""#];
    for secs in [30, 60, 90, 120, 180] {
        let wrap = Some(Ttl::from_secs(secs));
        assert!(!permits(&merged, Capability::Read, "", wrap), "nothing fits {secs}");
    }
}

#[test]
fn the_same_pattern_in_several_policies_is_merged() {
    let ask = |rules: &[&str], body| permits(rules, Capability::Update, body, None);
    let first = r#"allowed_parameters = { "a" = ["1"], "b" = ["1"] }"#;
    let second = r#"allowed_parameters = { "a" = [], "b" = ["2"] } required_parameters = ["b"]"#;
    for rules in [[first, second], [second, first]] {
        assert!(ask(&rules, r#"{"a":"9","b":"1"}"#) && ask(&rules, r#"{"b":"2"}"#));
        assert!(!ask(&rules, r#"{"a":"2"}"#) && !ask(&rules, r#"{"b":"3"}"#));
    }
    // A rule without conditions doesn't lift those of another one.
    for rules in [[first, ""], ["", first]] {
        assert!(ask(&rules, r#"{"a":"1"}"#) && !ask(&rules, r#"{"c":"1"}"#));
    }
    let (one, other) =
        (r#"denied_parameters = { "a" = ["1"] }"#, r#"denied_parameters = { "a" = ["2"] }"#);
    assert!(!ask(&[one, other], r#"{"a":"1"}"#) && !ask(&[one, other], r#"{"a":"2"}"#));
    assert!(ask(&[one, other], r#"{"a":"3"}"#));
    let wraps = [r#"max_wrapping_ttl = "5m""#, r#"max_wrapping_ttl = "1m""#];
    assert!(!permits(&wraps, Capability::Read, "", Some(Ttl::from_secs(90))));
    assert!(permits(&wraps, Capability::Read, "", Some(Ttl::from_secs(60))));
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
    /// Written again from the documentation, rule by rule.
    #[test]
    fn agrees_with_a_naive_model(
        allowed in proptest::collection::btree_map("[ab*]", proptest::collection::vec("[xy]\\*?", 0..2), 0..3),
        denied in proptest::collection::btree_map("[ab*]", proptest::collection::vec("[xy]\\*?", 0..2), 0..2),
        required in proptest::collection::vec("[ab]", 0..2),
        body in proptest::collection::btree_map("[abcAB]", "[xyz]{0,2}", 0..3),
    ) {
        let rule = format!(
            "allowed_parameters = {}\n denied_parameters = {}\n required_parameters = {}",
            hcl(&allowed), hcl(&denied), serde_json::to_string(&required).unwrap(),
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
        proptest::prop_assert_eq!(writes(&rule, &sent), expected, "{} {}", rule, sent);
    }
}

fn hcl(parameters: &BTreeMap<String, Vec<String>>) -> String {
    let lines = parameters
        .iter()
        .map(|(name, values)| format!("\"{name}\" = {}", serde_json::to_string(values).unwrap()));
    format!("{{ {} }}", lines.collect::<Vec<_>>().join(", "))
}
