//! Version 2 compared with a simple model of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use strongroom_engine_kv::versioned_blueprint;
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{Harness, TestHost, Transport, json};

/// A request of a client for the only secret.
#[derive(Clone, Debug)]
enum KvModelStep {
    Write { large: bool, cas: Option<u64> },
    Patch,
    DeleteLatest,
    Delete(Vec<u64>),
    Undelete(Vec<u64>),
    Destroy(Vec<u64>),
    SetMaxVersions(u64),
    SetDeleteVersionAfter(u64),
    AdvanceClock(u64),
    DeleteMetadata,
}

fn any_step() -> impl Strategy<Value = KvModelStep> {
    let numbers = || proptest::collection::vec(0_u64..8, 1..3);
    prop_oneof![
        4 => (any::<bool>(), proptest::option::of(0_u64..6))
            .prop_map(|(large, cas)| KvModelStep::Write { large, cas }),
        2 => Just(KvModelStep::Patch),
        1 => Just(KvModelStep::DeleteLatest),
        1 => numbers().prop_map(KvModelStep::Delete),
        1 => numbers().prop_map(KvModelStep::Undelete),
        1 => numbers().prop_map(KvModelStep::Destroy),
        1 => (0_u64..4).prop_map(KvModelStep::SetMaxVersions),
        1 => (0_u64..30).prop_map(KvModelStep::SetDeleteVersionAfter),
        1 => (1_u64..20).prop_map(KvModelStep::AdvanceClock),
        1 => Just(KvModelStep::DeleteMetadata),
    ]
}

/// The secret, in the simplest representation.
#[derive(Default)]
struct KvModel {
    now: u64,
    exists: bool,
    versions: BTreeMap<u64, KvModelVersion>,
    last: u64,
    keep: u64,
    after: u64,
}

struct KvModelVersion {
    data: serde_json::Value,
    deleted_at: Option<u64>,
    destroyed: bool,
}

impl KvModel {
    fn add_version(&mut self, data: serde_json::Value) {
        self.exists = true;
        self.last += 1;
        let ends = (self.after > 0).then(|| self.now + self.after);
        self.versions
            .insert(self.last, KvModelVersion { data, deleted_at: ends, destroyed: false });
        let keep = if self.keep == 0 { 10 } else { self.keep };
        let last = self.last;
        self.versions.retain(|number, _| number + keep > last);
    }

    fn readable_data(&self, number: u64) -> Option<&serde_json::Value> {
        let known = self.versions.get(&number)?;
        let shown = !known.destroyed && known.deleted_at.is_none_or(|ends| ends > self.now);
        shown.then_some(&known.data)
    }

    /// Applies a step; returns whether the server has to accept it.
    fn apply_step(&mut self, step: &KvModelStep, n: usize) -> bool {
        match step {
            KvModelStep::Write { large, cas } => {
                if cas.is_some_and(|cas| cas != self.last) {
                    return false;
                }
                self.add_version(secret_data(n, *large));
            }
            KvModelStep::Patch => {
                let Some(mut data) = self.readable_data(self.last).cloned() else { return true };
                data["patched"] = json!(n);
                self.add_version(data);
            }
            KvModelStep::DeleteLatest => self.delete_version(self.last),
            KvModelStep::Delete(numbers) => {
                numbers.iter().for_each(|number| self.delete_version(*number));
            }
            KvModelStep::Undelete(numbers) => {
                for number in numbers {
                    if let Some(known) = self.versions.get_mut(number).filter(|it| !it.destroyed) {
                        known.deleted_at = None;
                    }
                }
            }
            KvModelStep::Destroy(numbers) => {
                for number in numbers {
                    if let Some(known) = self.versions.get_mut(number) {
                        known.destroyed = true;
                    }
                }
            }
            KvModelStep::SetMaxVersions(keep) => (self.keep, self.exists) = (*keep, true),
            KvModelStep::SetDeleteVersionAfter(secs) => (self.after, self.exists) = (*secs, true),
            KvModelStep::AdvanceClock(secs) => self.now += secs,
            KvModelStep::DeleteMetadata => *self = Self { now: self.now, ..Self::default() },
        }
        true
    }

    fn delete_version(&mut self, number: u64) {
        if self.readable_data(number).is_some() {
            let now = self.now;
            if let Some(known) = self.versions.get_mut(&number) {
                known.deleted_at = Some(now);
            }
        }
    }
}

fn secret_data(n: usize, large: bool) -> serde_json::Value {
    json!({ "n": n, "x": "y".repeat(if large { 20_000 } else { 3 }) })
}

async fn send_step(host: &TestHost, step: &KvModelStep, n: usize) -> bool {
    let outcome = match step {
        KvModelStep::Write { large, cas } => {
            let mut body = json!({ "data": secret_data(n, *large) });
            if let Some(cas) = cas {
                body["options"] = json!({ "cas": cas });
            }
            host.write("data/a", body).await
        }
        // For a missing or deleted secret the response is "not found", which counts as accepted.
        KvModelStep::Patch => {
            let _ = host.patch("data/a", json!({ "data": { "patched": n } })).await;
            return true;
        }
        KvModelStep::DeleteLatest => host.delete("data/a").await,
        KvModelStep::Delete(numbers) => {
            host.write("delete/a", json!({ "versions": numbers })).await
        }
        KvModelStep::Undelete(numbers) => {
            host.write("undelete/a", json!({ "versions": numbers })).await
        }
        KvModelStep::Destroy(numbers) => {
            host.write("destroy/a", json!({ "versions": numbers })).await
        }
        KvModelStep::SetMaxVersions(keep) => {
            host.write("metadata/a", json!({ "max_versions": keep })).await
        }
        KvModelStep::SetDeleteVersionAfter(secs) => {
            host.write("metadata/a", json!({ "delete_version_after": secs })).await
        }
        KvModelStep::AdvanceClock(secs) => {
            host.clock().advance(Duration::from_secs(*secs));
            return true;
        }
        KvModelStep::DeleteMetadata => host.delete("metadata/a").await,
    };
    outcome.is_ok()
}

async fn assert_agrees(host: &TestHost, model: &KvModel) {
    for number in 1..=model.last + 1 {
        let got = host.send(Operation::Read, "data/a", json!({ "version": number })).await;
        match (got, model.readable_data(number)) {
            (Ok(got), Some(data)) => {
                let shown: serde_json::Value =
                    serde_json::from_str(got.field_json("data")).unwrap();
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
            assert_eq!(got.field_json("current_version"), model.last.to_string());
            let versions: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(got.field_json("versions")).unwrap();
            let numbers: Vec<u64> = model.versions.keys().copied().collect();
            let mut shown: Vec<u64> = versions.keys().map(|key| key.parse().unwrap()).collect();
            shown.sort_unstable();
            assert_eq!(shown, numbers);
        }
        Err(_) => assert!(!model.exists),
    }
    // There are exactly as many records as there is data: nothing is left behind.
    let there = model.versions.values().filter(|known| !known.destroyed).count();
    assert!(host.stored_keys().len() <= there + 1, "{:?}", host.stored_keys());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(steps in proptest::collection::vec(any_step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Harness::run_one(versioned_blueprint(), Transport::Linked, async |host: TestHost| {
            let mut model = KvModel::default();
            for (n, step) in steps.iter().enumerate() {
                assert_eq!(send_step(&host, step, n).await, model.apply_step(step, n), "{step:?}");
                assert_agrees(&host, &model).await;
            }
        }));
    }
}
