//! Generated inputs: the fuzz target's check over its corpus, over mutations of it and over
//! arbitrary text, and generated policies in both syntaxes.

#[path = "../../fuzz/fuzz_targets/check.rs"]
mod check;

use std::fmt::Write;

use check::ValueModel;
use proptest::prelude::*;

use crate::{HclBody, HclValue, ParseLimits, parse, parse_bytes};

#[test]
fn corpus_holds_fuzz_invariants() {
    let corpus = strongroom_fuzzing::read_corpus(env!("CARGO_MANIFEST_DIR"), "parse");
    assert!(corpus.len() > 20, "{}", corpus.len());
    let limits = ParseLimits::default();
    let read = |bytes: &&Vec<u8>| parse_bytes(bytes, &limits).is_ok();
    let accepted = corpus.iter().filter(read).count();
    assert!(accepted > 10 && accepted < corpus.len(), "{accepted}");
    for bytes in &corpus {
        check::any_bytes(bytes);
    }
}

#[test]
fn mutations_hold_fuzz_invariants() {
    const PIECES: &[&[u8]] = &[
        b"{", b"}", b"[", b"]", b"\"", b"\\", b"=", b":", b",", b"\n", b"\r\n", b"${", b"<<E\n",
        b"\nE\n", b"<<-E\n", b"#", b"/*", b"*/", b"0x", b"1e", b"-", b"\0", b"\xff", b"\\u0041",
    ];
    strongroom_fuzzing::run_corpus_and_mutations(
        env!("CARGO_MANIFEST_DIR"),
        "parse",
        PIECES,
        check::any_bytes,
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check::any_bytes(text.as_bytes());
    }

    #[test]
    fn any_text_of_our_characters_is_read_or_refused(
        text in "([{}\\[\\]=:,\"\\\\$<#/*.\n\r -]|true|a|é|0x|1|<<-E\n|\nE\n|\"b\"|a = |a \"b\" \\{){0,24}"
    ) {
        check::any_bytes(text.as_bytes());
        check::any_bytes(format!("{{{text}").as_bytes());
    }

    #[test]
    fn a_tree_prints_and_reads_back(model in any_object()) {
        check::assert_reads_back(&model);
    }

    #[test]
    fn the_depth_bound_holds(model in any_object(), max_depth in 0_usize..8) {
        let limits = ParseLimits { max_depth, ..ParseLimits::default() };
        for text in [model.to_hcl(), model.to_json()] {
            prop_assert_eq!(parse(&text, &limits).is_ok(), depth(&model) <= max_depth + 1);
        }
    }

    #[test]
    fn a_policy_reads_the_same_in_both_syntaxes(rules in prop::collection::vec(any_policy_rule(), 0..5)) {
        let expected: Vec<_> = rules.iter().map(PolicyRule::summary).collect();
        let blocks: String = rules.iter().map(PolicyRule::to_hcl).collect();
        let objects: Vec<_> = rules.iter().map(PolicyRule::to_json).collect();
        let listed: Vec<_> = objects.iter().map(|object| format!("{{{object}}}")).collect();
        for text in [
            blocks,
            format!("path = {{ {} }}", rules.iter().map(PolicyRule::to_hcl_assigned).collect::<String>()),
            format!("{{\"path\":{{{}}}}}", objects.join(",")),
            format!("{{\"path\":[{}]}}", listed.join(",")),
        ] {
            let policy = parse(&text, &ParseLimits::default()).unwrap();
            prop_assert_eq!(&read_policy(&policy), &expected, "{}", text);
        }
    }
}

fn any_scalar() -> impl Strategy<Value = ValueModel> {
    prop_oneof![
        any::<bool>().prop_map(ValueModel::Bool),
        any::<i64>().prop_map(ValueModel::Whole),
        (-1e9..1e9).prop_filter("whole", |f: &f64| f.fract() != 0.0).prop_map(ValueModel::Fraction),
        any_text().prop_map(ValueModel::Text),
    ]
}

/// Any characters but NUL, with a preference for those that are special in one of the syntaxes.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[^\0]{0,8}", "[a-z${}\"\\\\\n\r\t#/é😀*]{0,8}"]
}

fn any_object() -> impl Strategy<Value = ValueModel> {
    let value = any_scalar().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(ValueModel::List),
            prop::collection::vec((any_text(), inner), 0..4).prop_map(ValueModel::Object),
        ]
    });
    prop::collection::vec((any_text(), value), 0..4).prop_map(ValueModel::Object)
}

/// The number of brackets and braces around the innermost value, including the root's.
fn depth(model: &ValueModel) -> usize {
    match model {
        ValueModel::List(entries) => 1 + entries.iter().map(depth).max().unwrap_or(0),
        ValueModel::Object(items) => {
            1 + items.iter().map(|(_, value)| depth(value)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// One rule of a policy.
#[derive(Clone, Debug)]
struct PolicyRule {
    path: String,
    capabilities: Vec<String>,
    allowed: Vec<(String, Vec<ValueModel>)>,
    ttl: Option<i64>,
}

fn any_policy_rule() -> impl Strategy<Value = PolicyRule> {
    let capabilities = prop::collection::vec("[a-z]{1,6}", 0..4);
    let allowed =
        prop::collection::vec((any_text(), prop::collection::vec(any_scalar(), 0..3)), 0..3);
    (any_text(), capabilities, allowed, any::<Option<i64>>()).prop_map(
        |(path, capabilities, allowed, ttl)| PolicyRule { path, capabilities, allowed, ttl },
    )
}

impl PolicyRule {
    fn to_model(&self) -> ValueModel {
        let texts = self.capabilities.iter().cloned().map(ValueModel::Text).collect();
        let allowed = self.allowed.iter();
        let allowed = allowed.map(|(key, list)| (key.clone(), ValueModel::List(list.clone())));
        let mut items = vec![
            ("capabilities".to_owned(), ValueModel::List(texts)),
            ("allowed_parameters".to_owned(), ValueModel::Object(allowed.collect())),
        ];
        items.extend(self.ttl.map(|ttl| ("min_wrapping_ttl".to_owned(), ValueModel::Whole(ttl))));
        ValueModel::Object(items)
    }

    /// `"path": { … }`
    fn to_json(&self) -> String {
        let whole = ValueModel::Object(vec![(self.path.clone(), self.to_model())]).to_json();
        whole[1..whole.len() - 1].to_owned()
    }

    /// `"path" = { … }`
    fn to_hcl_assigned(&self) -> String {
        ValueModel::Object(vec![(self.path.clone(), self.to_model())]).to_hcl()
    }

    /// `path "path" { … }`
    fn to_hcl(&self) -> String {
        let key = ValueModel::Object(vec![(self.path.clone(), ValueModel::Bool(true))]).to_hcl();
        let key = key.strip_suffix(" = true\n").unwrap();
        let assigned = self.to_hcl_assigned();
        let block = assigned.strip_prefix(key).unwrap().strip_prefix(" =").unwrap();
        format!("path {key}{block}")
    }

    fn summary(&self) -> String {
        let mut text = format!("{:?} {:?}", self.path, self.capabilities);
        for (key, list) in &self.allowed {
            let _ = write!(text, " {key:?}={:?}", ValueModel::List(list.clone()));
        }
        let _ = write!(text, " {:?}", self.ttl);
        text
    }
}

/// Reads a policy as its consumer would, and renders it like the generated rules.
fn read_policy(policy: &HclBody) -> Vec<String> {
    let rules = policy.blocks("path").unwrap();
    let shown = rules.iter().map(|block| {
        let [path] = block.labels;
        let rule = block.body;
        let capabilities = rule.read("capabilities", HclValue::as_str_list).unwrap().unwrap();
        let mut text = format!("{:?} {capabilities:?}", path.text);
        let allowed = rule.read("allowed_parameters", HclValue::as_map).unwrap().unwrap();
        if let ValueModel::Object(items) = ValueModel::from_body(allowed) {
            for (key, list) in items {
                let _ = write!(text, " {key:?}={list:?}");
            }
        }
        let _ = write!(text, " {:?}", rule.read("min_wrapping_ttl", HclValue::as_int).unwrap());
        text
    });
    shown.collect()
}
