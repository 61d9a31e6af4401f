//! Converts arbitrary bytes, parsed as protocol messages, and checks that they convert back to the
//! same. The conversions are private to this crate, so there is no separate fuzz target; the corpus
//! is that of the wire crate.

use prost::Message;
use strongroom_plugin_protocol::generated::pb;
use strongroom_types::Timestamp;

use crate::convert::{
    HostCall, error_from_wire, error_to_wire, reply_from_wire, request_from_wire, request_to_wire,
    response_to_wire,
};

fn check_round_trip(bytes: &[u8]) {
    if let Ok(pb::HandleRequestArgs { request: Some(request), .. }) =
        pb::HandleRequestArgs::decode(bytes)
        && let Ok(HostCall::Request(request)) = request_from_wire(*request, Timestamp::FAR_FUTURE)
    {
        let message = request_to_wire(&request);
        let again = request_from_wire(message.clone(), Timestamp::FAR_FUTURE);
        let Ok(HostCall::Request(again)) = again else { panic!("it reads back: {message:?}") };
        assert_eq!(request_to_wire(&again), message);
    }
    if let Ok(reply) = pb::HandleRequestReply::decode(bytes) {
        match reply_from_wire(reply.response.map(|it| *it), reply.err) {
            Ok(response) => {
                let message = response_to_wire(response);
                let again = reply_from_wire(message.clone(), None);
                assert_eq!(again.ok().map(response_to_wire), Some(message));
            }
            Err(error) => drop(error_to_wire(error)),
        }
    }
    if let Ok(error) = pb::ProtoError::decode(bytes) {
        drop(error_to_wire(error_from_wire(error)));
    }
}

#[test]
fn any_message_converts_or_is_refused() {
    let wire = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-protocol");
    strongroom_fuzzing::run_corpus_and_mutations(
        wire,
        "messages",
        strongroom_fuzzing::MESSAGE_PIECES,
        check_round_trip,
    );
}
