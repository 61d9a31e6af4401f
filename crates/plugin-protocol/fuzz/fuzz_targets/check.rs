//! Properties that hold for every input. Shared by the fuzz targets and the crate's tests.
#![allow(dead_code, reason = "each target takes one of them")]

use prost::Message;
use strongroom_plugin_protocol::generated::pb;
use strongroom_plugin_protocol::handshake::HandshakeLine;
use strongroom_plugin_protocol::log_line::LineReader;
use strongroom_plugin_protocol::values::{WireError, json, time};

/// Parses the input as a handshake line: it is parsed or refused, and what is parsed is written
/// unchanged.
pub(crate) fn any_line(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<HandshakeLine>() {
        Ok(line) => {
            let again: HandshakeLine = line.to_string().parse().expect("it reads back");
            assert_eq!(again, line);
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 400 && !said.contains('\n'), "an error is one short line: {said}");
        }
    }
}

/// Parses the input as log lines: every line is parsed, and its text is printable.
pub(crate) fn any_log(bytes: &[u8]) {
    let mut reader = LineReader::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let read = reader.read(line);
        for text in [&read.message].into_iter().chain(read.fields.iter().map(|(_, text)| text)) {
            assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text:?}");
        }
    }
}

/// Decodes the input as the most important messages: their parts are decoded or refused.
pub(crate) fn any_message(bytes: &[u8]) {
    if let Ok(request) = pb::HandleRequestArgs::decode(bytes) {
        check_round_trip(&request, bytes);
        if let Some(request) = request.request {
            check_json_object(request.data);
        }
    }
    if let Ok(reply) = pb::HandleRequestReply::decode(bytes) {
        check_round_trip(&reply, bytes);
        if let Some(response) = reply.response {
            check_json_object(response.data);
            let options = response.secret.and_then(|secret| secret.lease_options);
            let issued = options.as_ref().and_then(|options| options.issue_time.as_ref());
            if let Ok(read) = time::from_wire(issued) {
                assert_eq!(time::from_wire(Some(&time::to_wire(read))), Ok(read));
            }
        }
        if let Some(error) = reply.err {
            let read = WireError::from_wire(error);
            assert_eq!(WireError::from_wire(read.to_wire()), read, "an error keeps its kind");
        }
    }
    let _ = pb::SetupArgs::decode(bytes).map(|args| args.config);
    let _ = pb::SpecialPathsReply::decode(bytes);
    let _ = prost_types::Timestamp::decode(bytes).map(|read| time::from_wire(Some(&read)));
}

/// A decoded message is encoded to bytes that decode to the same message.
fn check_round_trip<M: Message + Default + PartialEq>(message: &M, bytes: &[u8]) {
    let again = M::decode(&*message.encode_to_vec());
    assert!(again.is_ok_and(|again| again == *message), "{bytes:?}");
}

fn check_json_object(field: String) {
    if let Ok(Some(object)) = json::from_wire(field) {
        let text = json::to_wire(object.clone()).expect("an object is text");
        assert_eq!(json::from_wire(text), Ok(Some(object)));
    }
}
