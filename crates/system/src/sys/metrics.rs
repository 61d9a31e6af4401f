//! `sys/metrics`: the server's metrics in JSON or in the Prometheus text format.

use strongroom_core::error::Error;
use strongroom_core::metrics_response::metrics_response;
use strongroom_core::request::CoreResponse;
use strongroom_schema::Input;
use strongroom_telemetry::MetricsExporter;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "metrics",
    help: "The server's figures: of the last ten seconds in JSON, or all in Prometheus' text format.",
    fields: &[MetricsInput::FIELDS],
    handlers: VerbHandlers { read: handler!(read_metrics, exporter), ..VerbHandlers::NONE },
    access: EndpointAccess::Policy,
}];

#[derive(Input)]
struct MetricsInput {
    /// `prometheus`, or nothing for JSON. What the header `Accept` asks for, if nothing is given.
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
