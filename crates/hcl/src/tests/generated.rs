//! Generated inputs: the fuzz target's check over its corpus, over mutations of it and over
//! arbitrary text, and generated policies in both syntaxes.

#[path = "../../fuzz/fuzz_targets/check.rs"]
mod check;

use std::fmt::Write;

use check::Model;
use proptest::prelude::*;

use crate::{Body, Limits, Value, parse, parse_bytes};

#[test]
fn the_corpus_holds_what_the_fuzz_target_checks() {
    let corpus = strongroom_fuzzing::corpus(env!("CARGO_MANIFEST_DIR"), "parse");
    assert!(corpus.len() > 20, "{}", corpus.len());
    let limits = Limits::default();
    let read = |bytes: &&Vec<u8>| parse_bytes(bytes, &limits).is_ok();
    let accepted = corpus.iter().filter(read).count();
    assert!(accepted > 10 && accepted < corpus.len(), "{accepted}");
    for bytes in &corpus {
        check::any_bytes(bytes);
    }
}

#[test]
fn mutations_of_the_corpus_hold_it_too() {
    const PIECES: &[&[u8]] = &[
        b"{", b"}", b"[", b"]", b"\"", b"\\", b"=", b":", b",", b"\n", b"\r\n", b"${", b"<<E\n",
        b"\nE\n", b"<<-E\n", b"#", b"/*", b"*/", b"0x", b"1e", b"-", b"\0", b"\xff", b"\\u0041",
    ];
    strongroom_fuzzing::smoke(env!("CARGO_MANIFEST_DIR"), "parse", PIECES, check::any_bytes);
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
    fn a_tree_prints_and_reads_back(model in object()) {
        check::reads_back(&model);
    }

    #[test]
    fn the_depth_bound_holds(model in object(), max_depth in 0_usize..8) {
        let limits = Limits { max_depth, ..Limits::default() };
        for text in [model.native(), model.json()] {
            prop_assert_eq!(parse(&text, &limits).is_ok(), depth(&model) <= max_depth + 1);
        }
    }

    #[test]
    fn a_policy_reads_the_same_in_both_syntaxes(rules in prop::collection::vec(rule(), 0..5)) {
        let expected: Vec<_> = rules.iter().map(Rule::shown).collect();
        let blocks: String = rules.iter().map(Rule::native).collect();
        let objects: Vec<_> = rules.iter().map(Rule::json).collect();
        let listed: Vec<_> = objects.iter().map(|object| format!("{{{object}}}")).collect();
        for text in [
            blocks,
            format!("path = {{ {} }}", rules.iter().map(Rule::native_assigned).collect::<String>()),
            format!("{{\"path\":{{{}}}}}", objects.join(",")),
            format!("{{\"path\":[{}]}}", listed.join(",")),
        ] {
            let policy = parse(&text, &Limits::default()).unwrap();
            prop_assert_eq!(&read_policy(&policy), &expected, "{}", text);
        }
    }
}

fn scalar() -> impl Strategy<Value = Model> {
    prop_oneof![
        any::<bool>().prop_map(Model::Bool),
        any::<i64>().prop_map(Model::Whole),
        (-1e9..1e9).prop_filter("whole", |f: &f64| f.fract() != 0.0).prop_map(Model::Fraction),
        text().prop_map(Model::Text),
    ]
}

/// Everything but NUL, and often what has a meaning in one of the syntaxes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[^\0]{0,8}", "[a-z${}\"\\\\\n\r\t#/é😀*]{0,8}"]
}

fn object() -> impl Strategy<Value = Model> {
    let value = scalar().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Model::List),
            prop::collection::vec((text(), inner), 0..4).prop_map(Model::Object),
        ]
    });
    prop::collection::vec((text(), value), 0..4).prop_map(Model::Object)
}

/// Brackets and braces around the innermost value, the root's too.
fn depth(model: &Model) -> usize {
    match model {
        Model::List(entries) => 1 + entries.iter().map(depth).max().unwrap_or(0),
        Model::Object(items) => 1 + items.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// One rule of a policy.
#[derive(Clone, Debug)]
struct Rule {
    path: String,
    capabilities: Vec<String>,
    allowed: Vec<(String, Vec<Model>)>,
    ttl: Option<i64>,
}

fn rule() -> impl Strategy<Value = Rule> {
    let capabilities = prop::collection::vec("[a-z]{1,6}", 0..4);
    let allowed = prop::collection::vec((text(), prop::collection::vec(scalar(), 0..3)), 0..3);
    (text(), capabilities, allowed, any::<Option<i64>>())
        .prop_map(|(path, capabilities, allowed, ttl)| Rule { path, capabilities, allowed, ttl })
}

impl Rule {
    fn model(&self) -> Model {
        let texts = self.capabilities.iter().cloned().map(Model::Text).collect();
        let allowed = self.allowed.iter();
        let allowed = allowed.map(|(key, list)| (key.clone(), Model::List(list.clone())));
        let mut items = vec![
            ("capabilities".to_owned(), Model::List(texts)),
            ("allowed_parameters".to_owned(), Model::Object(allowed.collect())),
        ];
        items.extend(self.ttl.map(|ttl| ("min_wrapping_ttl".to_owned(), Model::Whole(ttl))));
        Model::Object(items)
    }

    /// `"path": { … }`
    fn json(&self) -> String {
        let whole = Model::Object(vec![(self.path.clone(), self.model())]).json();
        whole[1..whole.len() - 1].to_owned()
    }

    /// `"path" = { … }`
    fn native_assigned(&self) -> String {
        Model::Object(vec![(self.path.clone(), self.model())]).native()
    }

    /// `path "path" { … }`
    fn native(&self) -> String {
        let key = Model::Object(vec![(self.path.clone(), Model::Bool(true))]).native();
        let key = key.strip_suffix(" = true\n").unwrap();
        let assigned = self.native_assigned();
        let block = assigned.strip_prefix(key).unwrap().strip_prefix(" =").unwrap();
        format!("path {key}{block}")
    }

    fn shown(&self) -> String {
        let mut text = format!("{:?} {:?}", self.path, self.capabilities);
        for (key, list) in &self.allowed {
            let _ = write!(text, " {key:?}={:?}", Model::List(list.clone()));
        }
        let _ = write!(text, " {:?}", self.ttl);
        text
    }
}

/// Reads a policy as its consumer would, into what [`Rule::shown`] gives.
fn read_policy(policy: &Body) -> Vec<String> {
    let rules = policy.blocks("path").unwrap();
    let shown = rules.iter().map(|block| {
        let [path] = block.labels;
        let rule = block.body;
        let capabilities = rule.read("capabilities", Value::as_str_list).unwrap().unwrap();
        let mut text = format!("{:?} {capabilities:?}", path.text);
        let allowed = rule.read("allowed_parameters", Value::as_map).unwrap().unwrap();
        if let Model::Object(items) = Model::of(allowed) {
            for (key, list) in items {
                let _ = write!(text, " {key:?}={list:?}");
            }
        }
        let _ = write!(text, " {:?}", rule.read("min_wrapping_ttl", Value::as_int).unwrap());
        text
    });
    shown.collect()
}
