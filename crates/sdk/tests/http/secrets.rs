//! No secret gets into an error, a log line or the output of `Debug`.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use strongroom_sdk::http::{HttpClient, TlsSettings};
use strongroom_types::clock::ManualClock;
use tracing_subscriber::fmt::MakeWriter;

use super::misbehaving_server::{MisbehavingServer, respond, send, send_and_hang, unused_url};
use super::*;

/// Collects log lines of every level.
#[derive(Clone, Default)]
struct CollectedLog(Arc<Mutex<Vec<u8>>>);

struct LogWriter<'a>(MutexGuard<'a, Vec<u8>>);

impl<'a> MakeWriter<'a> for CollectedLog {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> LogWriter<'a> {
        LogWriter(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that can be printed of a call to this server.
async fn everything_printed(http: &HttpClient, clock: &ManualClock, url: &str) -> String {
    let secret = Secret::from_text("hunter2");
    let base = BaseUrl::parse(&format!("{url}/base")).unwrap();
    let service = http
        .service_until(Arc::new(clock.clone()), Timestamp::FAR_FUTURE, &base)
        .basic_auth("hunter2", &secret)
        .secret_header("x-token", &secret)
        .tls(TlsSettings::new().client_cert("", Some(&secret)));
    let broken = service.get("/x").send().await.unwrap_err();
    let service = service.tls(TlsSettings::new());
    let request = || {
        let request = service.post("/x/:id").path_value("id", "hunter2").query("q", "hunter2");
        request.json(&json!({ "password": "hunter2" }))
    };
    let mut printed = format!("{http:?} {service:?} {:?} {broken:?} {broken}", request());
    match request().send().await {
        Ok(response) => {
            let unreadable = response.read_json::<bool>().unwrap_err();
            printed += &format!(
                "{response:?} {unreadable:?} {unreadable} {}",
                Error::from(unreadable.clone())
            );
        }
        Err(error) => {
            printed += &format!("{error:?} {error} {0} {0:?}", Error::from(error.clone()));
        }
    }
    printed
}

#[tokio::test]
async fn nothing_printed_has_a_secret() {
    let log = CollectedLog::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let proxies = ProxySettings::from_variables(|name| {
        (name == "HTTPS_PROXY").then(|| "http://hunter2:hunter2@127.0.0.1:1".to_owned())
    });
    let echo = "{\"token\":\"hunter2\"}";
    let mut urls = vec![unused_url().await, "https://service.test".to_owned()];
    let mut servers = Vec::new();
    for answer in [
        respond("200 OK", "x-echo: hunter2\r\n", echo),
        respond("400 Bad", "x-echo: hunter2\r\n", echo),
        respond("500 hunter2", "", echo),
        respond("302 Go", "location: http://hunter2/hunter2\r\n", echo),
        send("hunter2"),
        send("HTTP/1.1 200 OK\r\nhunter2"),
        send("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhunter2"),
        send_and_hang("HTTP/1.1 200 OK\r\nhunter2: \0\r\n\r\n"),
    ] {
        let server = MisbehavingServer::start(move |_, _| answer.clone()).await;
        urls.push(server.url.clone());
        servers.push(server);
    }
    for url in urls {
        let (http, clock) = (client().with_proxies(proxies.clone()), ManualClock::default());
        let printed = everything_printed(&http, &clock, &url).await;
        assert!(!printed.contains("hunter2"), "{url}: {printed}");
        // "hunter2:hunter2" in base64.
        assert!(!printed.contains("aHVudGVyMj"), "{url}: {printed}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let own: Vec<_> = log.lines().filter(|line| line.contains("strongroom_sdk")).collect();
    assert!(own.len() > 10, "{log}");
    let leaks = |line: &&&str| line.contains("hunter2") || line.contains("aHVudGVyMj");
    assert_eq!(own.iter().find(leaks), None);
}
