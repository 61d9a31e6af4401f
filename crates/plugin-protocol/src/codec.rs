//! Encodes and decodes messages for the generated clients and servers.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A protobuf codec with buffers of the right size. Tonic's own codec allocates 8 KiB twice per
/// call on each side, and a value that was sliced out of such a buffer keeps all of it in memory.
pub struct WireCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Enough for most messages, and cheap to allocate.
const INITIAL_BUFFER_BYTES: usize = 512;
/// Encoded messages are passed on when this many bytes are ready, or all of them.
const YIELD_THRESHOLD_BYTES: usize = 32 << 10;

impl<T, U> Codec for WireCodec<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> MessageEncoder<T> {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> MessageDecoder<U> {
        MessageDecoder(PhantomData)
    }
}

/// Encodes messages into buffers of their exact size. The space is reserved before encoding, so
/// that the buffer does not grow meanwhile.
pub struct MessageEncoder<T>(PhantomData<fn(T)>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(INITIAL_BUFFER_BYTES, YIELD_THRESHOLD_BYTES)
    }
}

/// Decodes messages from received buffers.
pub struct MessageDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Default> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }

    /// The length prefix of a received message determines the size of the buffer.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(0, YIELD_THRESHOLD_BYTES)
    }
}
