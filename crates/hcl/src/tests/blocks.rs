use super::{append_text, error_of, parse_to_text};
use crate::{HclBody, HclValue};

/// Label and body of each block with one label.
fn labelled_blocks(body: &HclBody, name: &str) -> Vec<String> {
    let shown = body.blocks(name).unwrap().into_iter().map(|block| {
        let [label] = block.labels;
        format!("{} {{{}}}", label.text, append_text(block.body))
    });
    shown.collect()
}

#[test]
fn one_labelled_block_in_every_way_to_write_it() {
    for text in [
        "path \"secret/*\" { capabilities = [\"read\"] }",
        "path = { \"secret/*\" = { capabilities = [\"read\"] } }",
        "path = { \"secret/*\" { capabilities = [\"read\"] } }",
        r#"{"path": {"secret/*": {"capabilities": ["read"]}}}"#,
        r#"{"path": [{"secret/*": {"capabilities": ["read"]}}]}"#,
        r#"{"path": {"secret/*": [{"capabilities": ["read"]}]}}"#,
    ] {
        let found = labelled_blocks(&parse_to_text(text), "path");
        assert_eq!(found, ["secret/* {capabilities:[\"read\"]}"], "{text}");
    }
}

#[test]
fn a_block_and_its_labels_know_their_places() {
    for (text, name, label) in [
        ("\n path \"a\" {}", "2:2", "2:7"),
        ("{\n\"path\": {\n \"a\": {}}}", "2:1", "3:2"),
        ("{\n\"path\": [{\n \"a\": {}}]}", "2:1", "3:2"),
    ] {
        let body = parse_to_text(text);
        let block = body.blocks::<1>("path").unwrap()[0];
        assert_eq!(block.position.to_string(), name, "{text}");
        assert_eq!(block.labels[0].position.to_string(), label, "{text}");
    }
}

#[test]
fn repeated_blocks_in_every_way_to_write_them() {
    for text in [
        "listener \"tcp\" { a = 1 }\nlistener \"unix\" { a = 2 } listener \"tcp\" {}",
        r#"{"listener": [{"tcp": {"a": 1}}, {"unix": {"a": 2}}, {"tcp": {}}]}"#,
        r#"{"listener": {"tcp": {"a": 1}, "unix": {"a": 2}, "tcp": {}}}"#,
        r#"{"listener": {"tcp": {"a": 1}}, "listener": {"unix": {"a": 2}, "tcp": [{}]}}"#,
    ] {
        let found = labelled_blocks(&parse_to_text(text), "listener");
        assert_eq!(found, ["tcp {a:1}", "unix {a:2}", "tcp {}"], "{text}");
    }
}

#[test]
fn any_number_of_labels() {
    for text in [
        "audit \"file\" \"main\" { options { path = \"x\" } }",
        r#"{"audit": {"file": {"main": {"options": {"path": "x"}}}}}"#,
    ] {
        let body = parse_to_text(text);
        let blocks = body.blocks("audit").unwrap();
        let [block] = blocks.as_slice() else { panic!("{}", blocks.len()) };
        let [kind, name] = block.labels;
        assert_eq!((kind.text.as_str(), name.text.as_str()), ("file", "main"));
        let [options] = block.body.blocks::<0>("options").unwrap()[..] else { panic!() };
        assert_eq!(options.body.read("path", HclValue::as_str), Ok(Some("x")));
        assert!(body.blocks::<0>("seal").unwrap().is_empty());
    }
}

#[test]
fn a_label_too_many_is_an_unknown_key() {
    let body = parse_to_text("path \"a\" \"b\" { capabilities = [] }");
    let blocks = body.blocks::<1>("path").unwrap();
    let unknown: Vec<_> = blocks[0].body.unknown_items(&["capabilities"]).collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].key.text, "b");
    assert_eq!(unknown[0].key.position.to_string(), "1:10");
}

#[test]
fn a_label_too_few_is_refused_and_keys_never_pass_for_labels() {
    for text in [
        "path {}",
        "path { capabilities = [\"read\"] }",
        "path { allowed_parameters { a = [] } }",
        "path { allowed_parameters = { a = [] } }",
    ] {
        let error = parse_to_text(text).blocks::<1>("path").unwrap_err();
        let expected = "1:1: \"path\" needs a label in quotes between its name and the brace";
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let error = parse_to_text("audit \"file\" { options {} }").blocks::<2>("audit").unwrap_err();
    assert!(error.to_string().contains("needs a label"), "{error}");
    let error = parse_to_text("a = { b { c = {} } }").blocks::<2>("a").unwrap_err();
    assert!(error.to_string().contains("needs a label"), "{error}");
}

#[test]
fn what_is_no_block_is_refused_with_its_place() {
    let cases = [
        ("path = \"x\"", "1:8: \"path\" must be a block, not a string"),
        ("path = [{}, 1]", "1:13: \"path\" must be a block, not a number"),
        ("path = [[]]", "1:9: \"path\" must be a block, not a list"),
        ("{\"path\": {\"a\": true}}", "1:16: \"a\" must be a block, not a boolean"),
        ("{\"path\": null}", "1:10: \"path\" must be a block, not null"),
        ("path \"a\" {}\npath = { b = 1 }", "2:14: \"b\" must be a block, not a number"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            parse_to_text(text).blocks::<1>("path").unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn empty_json_holds_no_labelled_block() {
    for text in ["{\"path\": {}}", "{\"path\": []}", "{\"path\": [{}]}", "path = {}", "{}"] {
        assert!(parse_to_text(text).blocks::<1>("path").unwrap().is_empty(), "{text}");
    }
}

#[test]
fn unknown_keys_come_in_order_and_with_their_place() {
    let body = parse_to_text("name = 1\nfoo = 2\npath \"a\" {}\n  \"b a r\" {}\nfoo = 3");
    let unknown = body.unknown_items(&["path", "name"]);
    let unknown: Vec<_> = unknown.map(|item| (item.key.text.as_str(), item.key.position)).collect();
    let shown: Vec<_> = unknown.iter().map(|(key, at)| format!("{key} {at}")).collect();
    assert_eq!(shown, ["foo 2:1", "b a r 4:3", "foo 5:1"]);
    // Keys are case-sensitive.
    assert_eq!(parse_to_text("PATH \"a\" {}").unknown_items(&["path"]).count(), 1);
}

#[test]
fn duplicates_are_reported_and_the_last_one_is_read() {
    let body = parse_to_text("a = 1\na = 2\nb { c = 1 c = 2 }\n\"a\" = 3 d = [{ e = 1, e = 1 }]");
    let found: Vec<_> = body
        .duplicate_keys()
        .iter()
        .map(|twice| format!("{} {} {}", twice.key, twice.first, twice.again))
        .collect();
    assert_eq!(found, ["a 1:1 2:1", "c 3:5 3:11", "a 1:1 4:1", "e 4:16 4:23"]);
    assert_eq!(body.read("a", HclValue::as_int), Ok(Some(3)));

    let json = parse_to_text("{\"a\": 1, \"p\": {\"b\": 1, \"b\": 2}, \"a\": 2}");
    assert_eq!(json.duplicate_keys().iter().map(|twice| twice.key).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn blocks_repeat_without_being_duplicates() {
    for text in ["a {} a {}", "a \"x\" {} a \"x\" {}", "a = {} a {}", "a = 1 b { a = 1 } A = 1"] {
        assert!(parse_to_text(text).duplicate_keys().is_empty(), "{text}");
    }
    assert_eq!(parse_to_text("a = {} a {} a = {}").duplicate_keys().len(), 1);
}

#[test]
fn a_policy_reads_the_same_in_both_syntaxes() {
    let native = r#"
        name = "dev"   # optional
        path "secret/data/+/app/*" {
          capabilities = ["create", "read"]
          allowed_parameters  = { "ttl" = ["1h", "2*"], "*" = [] }
          min_wrapping_ttl = "1m"   max_wrapping_ttl = 300
          control_group { ttl = "4h"  factor "ops" { identity { approvals=1 } } }
        }"#;
    let json = r#"{"name": "dev", "path": {"secret/data/+/app/*": {
        "capabilities": ["create", "read"],
        "allowed_parameters": {"ttl": ["1h", "2*"], "*": []},
        "min_wrapping_ttl": "1m", "max_wrapping_ttl": 300,
        "control_group": {"ttl": "4h", "factor": {"ops": {"identity": {"approvals": 1}}}}}}}"#;
    for text in [native, json] {
        let policy = parse_to_text(text);
        assert_eq!(policy.read("name", HclValue::as_str), Ok(Some("dev")));
        assert_eq!(policy.unknown_items(&["name", "path"]).count(), 0);
        let paths = policy.blocks::<1>("path").unwrap();
        let rule = paths[0].body;
        assert_eq!(
            rule.read("capabilities", HclValue::as_str_list),
            Ok(Some(vec!["create", "read"]))
        );
        let allowed = rule.read("allowed_parameters", HclValue::as_map).unwrap().unwrap();
        assert_eq!(append_text(allowed), "ttl:[\"1h\" \"2*\"] *:[]");
        assert_eq!(rule.read("min_wrapping_ttl", HclValue::as_text), Ok(Some("1m")));
        assert_eq!(rule.read("max_wrapping_ttl", HclValue::as_text), Ok(Some("300")));
        let groups = rule.blocks::<0>("control_group").unwrap();
        let factors = groups[0].body.blocks("factor").unwrap();
        let [factor] = factors[0].labels;
        assert_eq!(factor.text, "ops");
    }
    assert!(error_of("path \"a\" capabilities = []").position().is_some());
}
