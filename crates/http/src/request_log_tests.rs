//! What a failed request tells its client, and what the log says about it.

use std::io;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use strongroom_core::AdmissionLimits;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};

use crate::tests::{sealed_core, sealed_core_over};
use crate::{Body, ConnectionContext, HttpLimits, handle};

/// A store on a disk that fails.
#[derive(Debug)]
struct FailingStorage;

fn disk_error() -> Error {
    Error::Io("reading /var/lib/strongroom/data: input/output error".to_owned())
}

#[async_trait::async_trait]
impl Physical for FailingStorage {
    async fn get(&self, _: &str) -> Result<Option<PhysicalEntry>, Error> {
        Err(disk_error())
    }

    async fn scan(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, Error> {
        Err(disk_error())
    }

    async fn commit(&self, _: PhysicalBatch) -> Result<Version, Error> {
        Err(disk_error())
    }
}

/// Captures what this thread logs.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a GET request, and returns the status and the JSON body of the response.
async fn get(core: &strongroom_core::Core, path: &str) -> (u16, serde_json::Value) {
    let request = http::Request::get(path).body(Body::default()).unwrap();
    let context = ConnectionContext::new(None);
    let response = handle(core, &HttpLimits::default(), request, context).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_fault_is_logged_with_its_causes_and_the_client_gets_the_request_id() {
    let core = sealed_core_over(Arc::new(FailingStorage), AdmissionLimits::default());
    let (log, _capturing) = CapturedLog::start();
    let (status, body) = get(&core, "/v1/sys/seal-status").await;
    assert_eq!(status, 500);
    let client_message = "1 error occurred:\n\t* the server's store failed; see its log\n\n";
    assert_eq!(body["errors"], serde_json::json!([client_message]));
    let id = body["request_id"].as_str().unwrap();
    assert_eq!(id.len(), 36, "{body}");
    let text = log.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("a request failed")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(&format!("request_id=\"{id}\"")), "{text}");
    assert!(lines[0].contains("mount=\"sys/\" operation=\"read\""), "{text}");
    let causes = "the server's store failed; see its log: storage I/O failed: reading \
                  /var/lib/strongroom/data: input/output error";
    assert!(lines[0].contains(causes), "{text}");
}

#[tokio::test]
async fn only_5xx_errors_contain_the_request_id() {
    let core = sealed_core(AdmissionLimits::default());
    let (log, _capturing) = CapturedLog::start();
    let (status, body) = get(&core, "/v1/kv/a").await;
    assert_eq!((status, &body["errors"][0]), (503, &serde_json::json!("Vault is sealed")));
    assert_eq!(body["request_id"].as_str().map(str::len), Some(36), "{body}");
    let (status, body) = get(&core, "/v1/sys/unseal").await;
    assert_eq!((status, body.get("request_id")), (405, None), "{body}");
    assert_eq!(log.text(), "", "neither is a fault of the server");
}
