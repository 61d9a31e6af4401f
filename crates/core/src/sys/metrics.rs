//! `sys/metrics`.

use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "metrics",
    help: "The server's figures in Prometheus' text format.",
    fields: &[],
    handlers: Handlers { read: handler!(read), ..Handlers::NONE },
    access: Access::Policy,
}];

async fn read(call: &Call) -> Result<Answer, Error> {
    match call.fields.text("format").as_deref() {
        None | Some("" | "prometheus") => Ok(Answer::Bare {
            status: 200,
            body: call.open.exporter.render().into_bytes(),
            content_type: "text/plain; version=0.0.4",
        }),
        Some(_) => Err(Error::invalid("the only metric format is \"prometheus\"")),
    }
}
