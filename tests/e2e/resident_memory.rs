//! Resident memory of a server that many clients ask for something large each. Linux only.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;
use strongroom_testkit::{Api, ServerProcess, Site};

/// Rules of a large policy.
const RULES: usize = 5_000;
/// Tokens that are used before memory is looked at for the first time, and after that.
const FIRST: usize = 20;
const MORE: usize = 200;
/// Each set of policies once copied all of its rules, and was kept: with these numbers more than
/// 100 MB. A third of that would be noticed.
const GROWTH_KB: u64 = 33_000;

/// Whoever may make tokens with policies of many names makes as many sets of policies as he likes.
#[tokio::test]
async fn sr_2026_08_and_cve_2023_5954_sets_of_policies_leave_resident_memory_flat() {
    let mut site = Site::new("");
    let (server, api) = site.open().await;
    let mut policy = String::new();
    for n in 0..RULES {
        writeln!(policy, "path \"kv/a/rule/{n}/*\" {{ capabilities = [\"read\"] }}").unwrap();
    }
    api.write("sys/policies/acl/large", json!({ "policy": policy })).await.ok();
    let role = json!({ "allowed_policies": ["large"], "allowed_policies_glob": ["x*"] });
    api.write("auth/token/roles/r", role).await.ok();
    use_tokens(&api, 0..FIRST).await;
    let before = resident_kb(&server);
    use_tokens(&api, FIRST..FIRST + MORE).await;
    let after = resident_kb(&server);
    assert!(after < before + GROWTH_KB, "{before} kB, then {after} kB");
    assert_eq!(server.stop().await, Some(0));
}

/// Makes tokens, each with a set of policies of its own, and uses each once.
async fn use_tokens(api: &Api, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let policies = json!({ "policies": ["large", format!("x{n}")] });
        let made = api.write("auth/token/create/r", policies).await.ok();
        let token = api.as_token(&made.text("auth/client_token"));
        token.read("auth/token/lookup-self").await.ok();
    }
}

fn resident_kb(server: &ServerProcess) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
