use strongroom_core::request::{CoreResponse, Verb};

use super::TestCore;

async fn request_metrics(
    bench: &TestCore,
    query: &str,
    headers: &[(&str, &str)],
) -> (u16, &'static str, String) {
    let answer = bench.send_with(Verb::Read, "sys/metrics", &bench.root, query, headers).await;
    let Ok(CoreResponse::WithoutEnvelope { status, body, content_type }) = answer else {
        panic!("{answer:?}")
    };
    (status, content_type, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn metrics_are_json_unless_the_request_or_its_header_asks_for_prometheus() {
    let bench = TestCore::new().await;
    let (status, content_type, body) = request_metrics(&bench, "", &[]).await;
    assert_eq!((status, content_type), (200, "application/json"));
    let empty = r#"{"Timestamp":"1970-01-01 00:00:00 +0000 UTC","Gauges":[],"Points":[],"Counters":[],"Samples":[]}"#;
    assert_eq!(body, empty);
    let openmetrics = [("accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")];
    for (query, headers) in [
        (r#"{"format":"prometheus"}"#, &[][..]),
        ("", &openmetrics[..]),
        ("", &[("accept", "prometheus/telemetry")][..]),
    ] {
        let (status, content_type, _) = request_metrics(&bench, query, headers).await;
        assert_eq!((status, content_type), (200, "text/plain; version=0.0.4"), "{query}");
    }
    let (status, content_type, body) =
        request_metrics(&bench, r#"{"format":"xml"}"#, &openmetrics).await;
    assert_eq!((status, content_type), (400, "text/plain"));
    assert!(body.starts_with("metric response format unknown"), "{body}");
}
