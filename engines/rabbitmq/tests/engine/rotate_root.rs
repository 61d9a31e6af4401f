//! Replacing the administrator's password, and crashes in between.

use strongroom_sdk::testing::json;

use super::with_rabbitmq;

#[tokio::test]
async fn a_crash_at_any_write_of_a_rotation_leaves_a_password_that_the_engine_has() {
    with_rabbitmq(
        "a_crash_at_any_write_of_a_rotation_leaves_a_password_that_the_engine_has",
        |run| async move {
            let (host, rabbit) = (&run.host, run.rabbit);
            let mut own = rabbit.create_administrator(&run.role).await;
            own["verify_connection"] = false.into();
            let first_password = own["password"].as_str().unwrap().to_owned();
            run.write_role(json!({ "tags": "management" })).await.unwrap();
            own["password"] = "wrong".into();
            host.write("config/connection", own.clone()).await.unwrap();
            let error = host.write("config/rotate-root", json!({})).await.unwrap_err();
            assert_eq!(error.message, "rabbitmq: GET /api/users/:user answered 401");
            own["password"] = first_password.clone().into();
            host.write("config/connection", own).await.unwrap();
            for successful_writes in 0.. {
                host.fail_writes_after(successful_writes);
                let outcome = host.write("config/rotate-root", json!({})).await;
                host.repair_storage();
                host.reopen().await;
                host.settle_intents().await;
                let (login, _) = rabbit.get_as(&run.role, &first_password, "whoami").await;
                assert_eq!(login == 401, successful_writes > 0, "after {successful_writes} writes");
                let got = run.issue().await.unwrap();
                host.revoke(&got.lease().id).await.unwrap();
                let (_, user) = rabbit.get(&format!("users/{}", run.role)).await;
                assert_eq!(user["tags"], json!(["administrator", "monitoring"]));
                if outcome.is_ok() {
                    return assert!(
                        successful_writes > 1,
                        "one write is before the call, one after"
                    );
                }
            }
        },
    )
    .await;
}
