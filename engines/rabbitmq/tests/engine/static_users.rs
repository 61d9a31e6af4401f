//! Users that exist already, and whose passwords the engine rotates.

use std::time::Duration;

use strongroom_sdk::testing::json;

use super::with_rabbitmq;

#[tokio::test]
async fn the_password_of_an_existing_user_is_rotated() {
    with_rabbitmq("the_password_of_an_existing_user_is_rotated", |run| async move {
        let (host, rabbit) = (&run.host, run.rabbit);
        let user = rabbit.create_administrator(&run.role).await;
        let login = async |password: &str| rabbit.get_as(&run.role, password, "whoami").await.0;
        let read = async || host.read("static-creds/app").await.unwrap().text("password");
        let role = json!({ "username": run.role, "rotation_period": "1h" });
        host.write("static-roles/app", role).await.unwrap();
        let first = read().await;
        assert_eq!(login(user["password"].as_str().unwrap()).await, 401);
        assert_eq!(login(&first).await, 200);
        let (_, kept) = rabbit.get(&format!("users/{}", run.role)).await;
        assert_eq!(kept["tags"], json!(["administrator", "monitoring"]));
        host.advance(Duration::from_secs(3600)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("the password is rotated", || async { read().await != first }).await;
        assert_eq!((login(&first).await, login(&read().await).await), (401, 200));

        let missing = json!({ "username": "nobody-of-that-name", "rotation_period": "1h" });
        let created = host.write("static-roles/missing", missing).await.unwrap();
        assert!(created.warnings[0].contains("answered 404"), "{:?}", created.warnings);
        host.delete("static-roles/missing").await.unwrap();
        host.delete("static-roles/app").await.unwrap();
        assert_eq!(login(&first).await, 401);
    })
    .await;
}
