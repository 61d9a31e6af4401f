use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

const FOLDER: &str = "sys/policies/password";
const HCL: &str = "length = 20\nrule \"charset\" { charset = \"abc\" min-chars = 1 }";

fn policy_body(policy: &str) -> String {
    serde_json::json!({ "policy": policy }).to_string()
}

#[tokio::test]
async fn password_policies_are_stored_listed_and_generate_passwords() {
    let mut bench = TestCore::new().await;
    for name in ["a", "b", "UPPER", "team/a"] {
        bench.write(&format!("{FOLDER}/{name}"), &policy_body(HCL)).await;
    }
    bench.restart().await;
    assert_eq!(bench.read(&format!("{FOLDER}/a")).await.text("policy"), HCL);
    assert_eq!(
        bench.succeeds(Verb::List, FOLDER, "").await.json("keys"),
        r#"["UPPER","a","b","team/a"]"#
    );
    for name in ["a", "team/a"] {
        let path = format!("{FOLDER}/{name}/generate");
        let first = bench.read(&path).await.text("password");
        assert!(first.len() == 20 && first.chars().all(|c| "abc".contains(c)), "{first}");
        assert_ne!(first, bench.read(&path).await.text("password"));
    }
    for _ in 0..2 {
        bench.succeeds(Verb::Delete, &format!("{FOLDER}/a"), "").await;
    }
    for path in ["a", "a/generate", "upper"] {
        let error = bench.fails(Verb::Read, &format!("{FOLDER}/{path}"), "").await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.messages(), ["policy does not exist (collected)"]);
    }
}

#[tokio::test]
async fn invalid_password_policies_are_refused_with_the_reference_messages() {
    let bench = TestCore::new().await;
    let path = format!("{FOLDER}/x");
    let cases = [
        (r"{}".to_owned(), "missing policy"),
        (policy_body(""), "missing policy"),
        (
            policy_body("length = 3\nrule \"charset\" { charset = \"abc\" }"),
            "passwords must be between 4 and 100 characters",
        ),
        (
            policy_body("length = 20"),
            "invalid password policy: 1 error occurred:\n\t* no charset specified\n\n",
        ),
    ];
    for (body, text) in cases {
        let error = bench.fails(Verb::Write, &path, &body).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.messages(), [format!("{text} (collected)")]);
    }
    let error = bench.fails(Verb::Read, FOLDER, "").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for verb in [Verb::Write, Verb::Delete] {
        let error = bench.fails(verb, &format!("{FOLDER}/x/generate"), &policy_body(HCL)).await;
        assert_eq!(
            error.kind(),
            ErrorKind::Unsupported,
            "what is asked for passwords is no policy"
        );
    }
    let plain = bench
        .token_with_policy(r#"path "sys/policies/password/x" { capabilities = ["read"] }"#, "")
        .await;
    let error = bench.fails_as(&plain, Verb::Read, &format!("{FOLDER}/x/generate"), "").await;
    assert_eq!(error.kind(), ErrorKind::Denied, "reading a policy isn't asking for a password");
}

#[tokio::test]
async fn engines_can_generate_passwords() {
    let bench = TestCore::new().await;
    bench.write(&format!("{FOLDER}/a"), &policy_body(HCL)).await;
    let core = bench.core.unsealed().unwrap();
    assert_eq!(core.password_policies.generate("a").await.unwrap().expose_secret().len(), 20);
}
