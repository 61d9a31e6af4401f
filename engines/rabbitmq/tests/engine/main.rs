//! Runs the engine, built in and as a plug-in, against a real RabbitMQ of Debian's package
//! `rabbitmq-server`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

mod connection;
mod failures;
mod rotate_root;
mod static_users;
mod users;

use serde_json::Value;
use strongroom_engine_rabbitmq::blueprint;
use strongroom_sdk::testing::{Harness, TestError, TestHost, TestResponse};
use strongroom_testkit::RabbitMq;

/// The engine under one transport, connected to RabbitMQ, and a role that no other run uses.
struct TestRun {
    host: TestHost,
    rabbit: &'static RabbitMq,
    role: String,
}

/// Runs a test body with each transport.
async fn with_rabbitmq<Fut: Future<Output = ()>>(test: &str, body: impl Fn(TestRun) -> Fut) {
    let Some(rabbit) = RabbitMq::shared(test).await else { return };
    Harness::run(blueprint(), |host| {
        let role = format!("{test}-{:?}", host.transport());
        let body = &body;
        async move {
            host.write("config/connection", rabbit.connection()).await.unwrap();
            body(TestRun { host, rabbit, role }).await;
        }
    })
    .await;
}

impl TestRun {
    async fn write_role(&self, body: Value) -> Result<TestResponse, TestError> {
        self.host.write(&format!("roles/{}", self.role), body).await
    }

    async fn issue(&self) -> Result<TestResponse, TestError> {
        self.host.read(&format!("creds/{}", self.role)).await
    }

    /// The users in RabbitMQ that the engine created for the role.
    async fn users(&self) -> Vec<String> {
        self.rabbit.user_names(&format!("strongroom-{}-", self.role.replace('_', "-"))).await
    }

    /// The fields of `config/connection` with a changed one.
    fn connection_with(&self, field: &str, value: &str) -> Value {
        let mut connection = self.rabbit.connection();
        connection[field] = value.into();
        connection
    }

    /// An address at which nobody listens.
    fn unused_url() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }
}
