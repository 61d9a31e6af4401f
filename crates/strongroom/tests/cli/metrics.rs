//! Who gets metrics on which listener, and in which form.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::StrongroomProcess;

const LISTENERS: [&str; 5] = [
    "",
    "telemetry { unauthenticated_metrics_access = true }",
    "telemetry { disallow_metrics = true }",
    "telemetry { metrics_only = true }",
    "telemetry { unauthenticated_metrics_access = true\nmetrics_only = true\nmetrics_path = \"/metrics\" }",
];
const DEFAULT_LISTENER: usize = 0;
const UNAUTHENTICATED_LISTENER: usize = 1;
const DISALLOWED_LISTENER: usize = 2;
const METRICS_ONLY_LISTENER: usize = 3;
const METRICS_PATH_LISTENER: usize = 4;

fn start_server() -> StrongroomProcess {
    let home = tempfile::tempdir().unwrap();
    let listeners = LISTENERS.map(|telemetry| {
        format!(
            "listener \"tcp\" {{\naddress = \"127.0.0.1:0\"\ntls_disable = true\n{telemetry}\n}}\n"
        )
    });
    let file = home.path().join("server.hcl");
    fs::write(&file, format!("storage \"inmem\" {{}}\n{}", listeners.concat())).unwrap();
    StrongroomProcess::start_with_config(&file, home, "http://127.0.0.1")
}

/// Status, content type and body of an answer.
fn send_request(
    server: &StrongroomProcess,
    listener: usize,
    request: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(&server.listen_addresses()[listener]).unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    let accept = "accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n";
    let accept = if request.contains("format=") { "" } else { accept };
    stream.write_all(format!("{head}{accept}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    (head[9..12].parse().unwrap(), field("content-type: "), body.to_owned())
}

#[test]
fn listener_settings_decide_who_gets_metrics() {
    let server = start_server();
    let get = "GET /v1/sys/metrics";
    // The server is sealed: what needs a token can't be had yet, and what needs none can.
    assert_eq!(send_request(&server, DEFAULT_LISTENER, get).0, 503);
    let (status, content_type, body) = send_request(&server, UNAUTHENTICATED_LISTENER, get);
    assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4"));
    assert!(body.contains("# TYPE vault_core_handle_request"), "{body}");
    let (status, content_type, body) =
        send_request(&server, UNAUTHENTICATED_LISTENER, &format!("{get}?format="));
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert!(
        body.starts_with("{\"Timestamp\":\"") && body.contains(" +0000 UTC\",\"Gauges\":["),
        "{body}"
    );
    assert_eq!(
        send_request(&server, UNAUTHENTICATED_LISTENER, &format!("{get}?format=xml")).0,
        400
    );
    assert_eq!(send_request(&server, UNAUTHENTICATED_LISTENER, "POST /v1/sys/metrics").0, 405);
    assert_eq!(send_request(&server, UNAUTHENTICATED_LISTENER, "GET /v1/sys/init").0, 200);

    // However the path is spelt.
    for path in ["/v1/sys/metrics", "/v1/sys/%6Detrics", "/v1/sys/metrics/", "/v1/sys/metrics?a"] {
        assert_eq!(
            send_request(&server, DISALLOWED_LISTENER, &format!("GET {path}")).0,
            403,
            "{path}"
        );
    }
    assert_eq!(send_request(&server, DISALLOWED_LISTENER, "GET /v1/sys/init").0, 200);

    assert_eq!(
        send_request(&server, METRICS_ONLY_LISTENER, get).0,
        503,
        "it goes on to the core, with its token"
    );
    assert_eq!(send_request(&server, METRICS_ONLY_LISTENER, "GET /v1/sys/init").0, 404);
    assert_eq!(send_request(&server, METRICS_PATH_LISTENER, "GET /metrics").0, 200);
    assert_eq!(send_request(&server, METRICS_PATH_LISTENER, get).0, 404);
    assert_eq!(send_request(&server, METRICS_PATH_LISTENER, "GET /v1/sys/seal-status").0, 404);
}
