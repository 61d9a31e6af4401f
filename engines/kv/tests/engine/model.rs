//! Version 2 against a naive model of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use strongroom_engine_kv::versioned_blueprint;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{Harness, Host, Way, json};

/// What a client does to the one secret.
#[derive(Clone, Debug)]
enum Step {
    Write { large: bool, cas: Option<u64> },
    Patch,
    DeleteLatest,
    Delete(Vec<u64>),
    Undelete(Vec<u64>),
    Destroy(Vec<u64>),
    Keep(u64),
    After(u64),
    Wait(u64),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = || proptest::collection::vec(0_u64..8, 1..3);
    prop_oneof![
        4 => (any::<bool>(), proptest::option::of(0_u64..6))
            .prop_map(|(large, cas)| Step::Write { large, cas }),
        2 => Just(Step::Patch),
        1 => Just(Step::DeleteLatest),
        1 => numbers().prop_map(Step::Delete),
        1 => numbers().prop_map(Step::Undelete),
        1 => numbers().prop_map(Step::Destroy),
        1 => (0_u64..4).prop_map(Step::Keep),
        1 => (0_u64..30).prop_map(Step::After),
        1 => (1_u64..20).prop_map(Step::Wait),
        1 => Just(Step::Remove),
    ]
}

/// The secret, kept in the plainest way.
#[derive(Default)]
struct Model {
    now: u64,
    exists: bool,
    versions: BTreeMap<u64, Known>,
    last: u64,
    keep: u64,
    after: u64,
}

struct Known {
    data: serde_json::Value,
    ends: Option<u64>,
    destroyed: bool,
}

impl Model {
    fn add(&mut self, data: serde_json::Value) {
        self.exists = true;
        self.last += 1;
        let ends = (self.after > 0).then(|| self.now + self.after);
        self.versions.insert(self.last, Known { data, ends, destroyed: false });
        let keep = if self.keep == 0 { 10 } else { self.keep };
        let last = self.last;
        self.versions.retain(|number, _| number + keep > last);
    }

    fn shown(&self, number: u64) -> Option<&serde_json::Value> {
        let known = self.versions.get(&number)?;
        let shown = !known.destroyed && known.ends.is_none_or(|ends| ends > self.now);
        shown.then_some(&known.data)
    }

    /// Whether the server is to accept the step; what it changes.
    fn take(&mut self, step: &Step, n: usize) -> bool {
        match step {
            Step::Write { large, cas } => {
                if cas.is_some_and(|cas| cas != self.last) {
                    return false;
                }
                self.add(content(n, *large));
            }
            Step::Patch => {
                let Some(mut data) = self.shown(self.last).cloned() else { return true };
                data["patched"] = json!(n);
                self.add(data);
            }
            Step::DeleteLatest => self.hide(self.last),
            Step::Delete(numbers) => numbers.iter().for_each(|number| self.hide(*number)),
            Step::Undelete(numbers) => {
                for number in numbers {
                    if let Some(known) = self.versions.get_mut(number).filter(|it| !it.destroyed) {
                        known.ends = None;
                    }
                }
            }
            Step::Destroy(numbers) => {
                for number in numbers {
                    if let Some(known) = self.versions.get_mut(number) {
                        known.destroyed = true;
                    }
                }
            }
            Step::Keep(keep) => (self.keep, self.exists) = (*keep, true),
            Step::After(secs) => (self.after, self.exists) = (*secs, true),
            Step::Wait(secs) => self.now += secs,
            Step::Remove => *self = Self { now: self.now, ..Self::default() },
        }
        true
    }

    fn hide(&mut self, number: u64) {
        if self.shown(number).is_some() {
            let now = self.now;
            if let Some(known) = self.versions.get_mut(&number) {
                known.ends = Some(now);
            }
        }
    }
}

fn content(n: usize, large: bool) -> serde_json::Value {
    json!({ "n": n, "x": "y".repeat(if large { 20_000 } else { 3 }) })
}

async fn send(host: &Host, step: &Step, n: usize) -> bool {
    let outcome = match step {
        Step::Write { large, cas } => {
            let mut body = json!({ "data": content(n, *large) });
            if let Some(cas) = cas {
                body["options"] = json!({ "cas": cas });
            }
            host.write("data/a", body).await
        }
        // What isn't there or is deleted is "not found", which is no refusal here.
        Step::Patch => {
            let _ = host.patch("data/a", json!({ "data": { "patched": n } })).await;
            return true;
        }
        Step::DeleteLatest => host.delete("data/a").await,
        Step::Delete(numbers) => host.write("delete/a", json!({ "versions": numbers })).await,
        Step::Undelete(numbers) => host.write("undelete/a", json!({ "versions": numbers })).await,
        Step::Destroy(numbers) => host.write("destroy/a", json!({ "versions": numbers })).await,
        Step::Keep(keep) => host.write("metadata/a", json!({ "max_versions": keep })).await,
        Step::After(secs) => {
            host.write("metadata/a", json!({ "delete_version_after": secs })).await
        }
        Step::Wait(secs) => {
            host.clock().advance(Duration::from_secs(*secs));
            return true;
        }
        Step::Remove => host.delete("metadata/a").await,
    };
    outcome.is_ok()
}

async fn agrees(host: &Host, model: &Model) {
    for number in 1..=model.last + 1 {
        let got = host.send(Operation::Read, "data/a", json!({ "version": number })).await;
        match (got, model.shown(number)) {
            (Ok(got), Some(data)) => {
                let shown: serde_json::Value = serde_json::from_str(got.json("data")).unwrap();
                assert_eq!(&shown, data);
            }
            (Err(gone), None) => {
                assert_eq!(!gone.data.is_empty(), model.versions.contains_key(&number));
            }
            (got, wanted) => panic!("version {number}: {got:?}, not {wanted:?}"),
        }
    }
    match host.read("metadata/a").await {
        Ok(got) => {
            assert!(model.exists);
            assert_eq!(got.json("current_version"), model.last.to_string());
            let versions: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(got.json("versions")).unwrap();
            let numbers: Vec<u64> = model.versions.keys().copied().collect();
            let mut shown: Vec<u64> = versions.keys().map(|key| key.parse().unwrap()).collect();
            shown.sort_unstable();
            assert_eq!(shown, numbers);
        }
        Err(_) => assert!(!model.exists),
    }
    // As many records as there is data, and no more: nothing is left behind.
    let there = model.versions.values().filter(|known| !known.destroyed).count();
    assert!(host.stored_keys().len() <= there + 1, "{:?}", host.stored_keys());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Harness::run_one(versioned_blueprint(), Way::Linked, async |host: Host| {
            let mut model = Model::default();
            for (n, step) in steps.iter().enumerate() {
                assert_eq!(send(&host, step, n).await, model.take(step, n), "{step:?}");
                agrees(&host, &model).await;
            }
        }));
    }
}
