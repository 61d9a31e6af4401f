//! `sys/metrics`: the server's metrics in JSON or in the Prometheus text format.

use strongroom_core::error::Error;
use strongroom_core::metrics_response::metrics_response;
use strongroom_core::request::CoreResponse;
use strongroom_schema::Input;
use strongroom_telemetry::MetricsExporter;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "metrics",
    help: "Returns metrics: the last ten seconds as JSON, or all in the Prometheus format.",
    fields: &[MetricsInput::FIELDS],
    handlers: VerbHandlers { read: handler!(read_metrics, exporter), ..VerbHandlers::NONE },
    access: EndpointAccess::Policy,
}];

#[derive(Input)]
struct MetricsInput {
    /// `prometheus` for the Prometheus text format. If empty, the header `Accept` selects it; JSON
    /// otherwise.
    format: String,
}

async fn read_metrics(
    call: &EndpointCall,
    exporter: &MetricsExporter,
) -> Result<CoreResponse, Error> {
    let input: MetricsInput = call.parse_input()?;
    let accept = call.headers.get(super::ACCEPT_HEADER).map(Vec::as_slice).unwrap_or_default();
    Ok(metrics_response(exporter, &input.format, accept))
}
