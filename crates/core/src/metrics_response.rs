//! The response of `sys/metrics`, also for listeners that serve metrics without a token.

use strongroom_telemetry::MetricsExporter;

use crate::core::Core;
use crate::request::CoreResponse;

impl Core {
    /// The response of `sys/metrics`, also while sealed, for listeners that serve metrics without a
    /// token. `format` is the query parameter; `accept` holds the values of the `Accept` header,
    /// which counts if `format` is empty.
    pub fn metrics(&self, format: &str, accept: &[String]) -> CoreResponse {
        metrics_response(self.metrics_exporter(), format, accept)
    }
}

const PROMETHEUS: &str = "prometheus";
const UNKNOWN_FORMAT: &str =
    "metric response format unknown: leave it out for JSON, or ask for \"prometheus\"";

/// Renders the metrics in `format`; if that is empty, in Prometheus' format if the `Accept` header
/// asks for it, else in JSON. An unknown format gets a plain-text 400 as in Vault, except that the
/// message doesn't repeat the value.
pub fn metrics_response(
    exporter: &MetricsExporter,
    format: &str,
    accept: &[String],
) -> CoreResponse {
    let format = if format.is_empty() && accepts_prometheus(accept) { PROMETHEUS } else { format };
    let (status, body, content_type) = match format {
        "" => (200, exporter.to_json(), "application/json"),
        PROMETHEUS => (200, exporter.render_prometheus(), "text/plain; version=0.0.4"),
        _ => (400, UNKNOWN_FORMAT.to_owned(), "text/plain"),
    };
    CoreResponse::WithoutEnvelope { status, body: body.into_bytes(), content_type }
}

/// Matches the `Accept` header as Vault does: the first value starts with the OpenMetrics type, or
/// any value names Prometheus' own.
fn accepts_prometheus(accept: &[String]) -> bool {
    accept.first().is_some_and(|value| value.starts_with("application/openmetrics-text"))
        || accept.iter().any(|value| value.contains("prometheus/telemetry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_parameters_then_the_headers_then_json() {
        let exporter = MetricsExporter::detached();
        let scraper = "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
        let cases: [(&str, &[&str], u16, &str); 7] = [
            ("", &[], 200, "application/json"),
            ("", &["application/json"], 200, "application/json"),
            ("", &[scraper], 200, "text/plain; version=0.0.4"),
            ("", &["*/*", "prometheus/telemetry"], 200, "text/plain; version=0.0.4"),
            ("prometheus", &["application/json"], 200, "text/plain; version=0.0.4"),
            ("json", &[scraper], 400, "text/plain"),
            ("Prometheus", &[], 400, "text/plain"),
        ];
        for (format, accept, wanted_status, wanted_type) in cases {
            let accept: Vec<String> = accept.iter().map(|value| (*value).to_owned()).collect();
            let CoreResponse::WithoutEnvelope { status, body, content_type } =
                metrics_response(&exporter, format, &accept)
            else {
                panic!("another form of answer");
            };
            assert_eq!((status, content_type), (wanted_status, wanted_type), "{format} {accept:?}");
            if status == 400 {
                assert_eq!(body, UNKNOWN_FORMAT.as_bytes());
            }
        }
    }
}
