//! [`LdapConnection`]: one connection to a directory, which carries out one operation after the other.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_types::{Clock, Timestamp, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ber::header_of;
use super::error::LdapError;
use super::message::{LdapRequest, LdapResponse, read_response};
use super::search::{LdapEntry, LdapSearch};
use crate::http::{ByteStream, connect_tls};

/// The maximum size of one message of the directory, such as an entry, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// The maximum size of all messages that answer one search, in bytes.
const MAX_SEARCH_BYTES: usize = 8 << 20;
/// The maximum number of entries and references that answer one search.
const MAX_SEARCH_MESSAGES: usize = 20_000;

const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;

const TIMED_OUT: &str = "timed out";
const MALFORMED: &str = "the response is malformed";

/// A connection. After an operation without an answer it can't be used any more: what arrives next
/// may belong to that operation.
pub(super) struct LdapConnection {
    /// `None` after a failure.
    stream: Option<Box<dyn ByteStream>>,
    last_number: u32,
}

impl LdapConnection {
    pub(super) fn new(stream: Box<dyn ByteStream>) -> Self {
        Self { stream: Some(stream), last_number: 0 }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.stream.is_some()
    }

    /// Encrypts the connection (RFC 4511, 4.14). Nothing is read ahead, so nothing that arrived
    /// before the handshake counts as encrypted.
    pub(super) async fn start_tls(
        &mut self,
        limit: OperationLimit<'_>,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<(), LdapError> {
        self.call(limit, &LdapRequest::StartTls).await?;
        let Some(stream) = self.stream.take() else {
            return Err(LdapError::NotConnected("the connection is closed"));
        };
        let encrypted = limit.run("StartTLS", async {
            let failed = |error: crate::http::ConnectError| LdapError::NotConnected(error.reason());
            connect_tls(stream, config, name).await.map_err(failed)
        });
        self.stream = Some(encrypted.await?);
        Ok(())
    }

    /// Carries out an operation that has one response.
    pub(super) async fn call(
        &mut self,
        limit: OperationLimit<'_>,
        request: &LdapRequest<'_>,
    ) -> Result<(), LdapError> {
        let (_, code, _) = self.exchange(limit, request, &mut SearchBudget::default()).await?;
        match code {
            SUCCESS => Ok(()),
            code => Err(LdapError::Answered { operation: request.operation(), code }),
        }
    }

    /// Searches, page by page if the search asks for pages.
    pub(super) async fn search(
        &mut self,
        limit: OperationLimit<'_>,
        search: &LdapSearch,
    ) -> Result<Vec<LdapEntry>, LdapError> {
        let (mut all, mut cookie, mut budget) = (Vec::new(), Vec::new(), SearchBudget::default());
        loop {
            let page = (search.page_size > 0).then_some((search.page_size, cookie.as_slice()));
            let request = LdapRequest::Search { search, page };
            let (entries, code, next) = self.exchange(limit, &request, &mut budget).await?;
            all.extend(entries);
            match code {
                SUCCESS => {}
                SIZE_LIMIT_EXCEEDED if search.entry_limit > 0 => return Ok(all),
                code => return Err(LdapError::Answered { operation: "search", code }),
            }
            if next.is_empty() || page.is_none() {
                return Ok(all);
            }
            budget.count(0, "search")?;
            cookie = next;
        }
    }

    /// Sends a request and reads its responses to the last one. The stream is put back only then, so
    /// that a call that is dropped or fails leaves no connection with half a message.
    async fn exchange(
        &mut self,
        limit: OperationLimit<'_>,
        request: &LdapRequest<'_>,
        budget: &mut SearchBudget,
    ) -> Result<(Vec<LdapEntry>, u32, Vec<u8>), LdapError> {
        let Some(mut stream) = self.stream.take() else {
            return Err(LdapError::NotConnected("the connection is closed"));
        };
        self.last_number = if self.last_number >= 0x7fff_ffff { 1 } else { self.last_number + 1 };
        let (number, operation) = (self.last_number, request.operation());
        let broken = |reason| LdapError::NoAnswer { operation, reason, is_broken: true };
        let message = request.to_message(number);
        let outcome = limit.run(operation, async {
            let sent = stream.write_all(message.expose_secret()).await;
            sent.map_err(|_| broken("the connection broke"))?;
            stream.flush().await.map_err(|_| broken("the connection broke"))?;
            let mut entries = Vec::new();
            loop {
                let message = read_message(&mut stream, operation).await?;
                budget.count(message.len(), operation)?;
                let response = read_response(&message, number, request.end_tag());
                match response.map_err(|_| unusable(operation, MALFORMED))? {
                    LdapResponse::Entry(entry) => entries.push(entry),
                    LdapResponse::Reference => {}
                    LdapResponse::Done { code, cookie } => return Ok((entries, code, cookie)),
                }
            }
        });
        let outcome = outcome.await?;
        self.stream = Some(stream);
        Ok(outcome)
    }
}

/// Reads one message, after its length has been found to be permitted.
async fn read_message(
    stream: &mut Box<dyn ByteStream>,
    operation: &'static str,
) -> Result<Vec<u8>, LdapError> {
    let broken =
        |_| LdapError::NoAnswer { operation, reason: "the connection broke", is_broken: true };
    let mut message = Vec::with_capacity(256);
    let (header, length) = loop {
        message.push(stream.read_u8().await.map_err(broken)?);
        let header = header_of(&message).map_err(|_| unusable(operation, MALFORMED))?;
        if let Some(found) = header {
            break found;
        }
    };
    if length > MAX_MESSAGE_BYTES {
        return Err(unusable(operation, "the response is too large"));
    }
    // The buffer grows with what arrives, not with what the length promises.
    let mut rest = stream.take(u64::try_from(length).unwrap_or(u64::MAX));
    rest.read_to_end(&mut message).await.map_err(broken)?;
    match message.len() == header + length {
        true => Ok(message),
        false => {
            Err(LdapError::NoAnswer { operation, reason: "the connection broke", is_broken: true })
        }
    }
}

fn unusable(operation: &'static str, reason: &'static str) -> LdapError {
    LdapError::NoAnswer { operation, reason, is_broken: false }
}

/// What one search has received so far.
#[derive(Default)]
struct SearchBudget {
    bytes: usize,
    messages: usize,
}

impl SearchBudget {
    fn count(&mut self, bytes: usize, operation: &'static str) -> Result<(), LdapError> {
        self.bytes += bytes;
        self.messages += 1;
        match self.bytes > MAX_SEARCH_BYTES || self.messages > MAX_SEARCH_MESSAGES {
            true => Err(unusable(operation, "the response is too large")),
            false => Ok(()),
        }
    }
}

/// When an operation ends at the latest.
#[derive(Clone, Copy)]
pub(super) struct OperationLimit<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) until: Timestamp,
}

impl OperationLimit<'_> {
    pub(super) async fn run<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, LdapError> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = clock::wait_for_deadline(self.clock, self.until) => {
                Err(LdapError::NoAnswer { operation, reason: TIMED_OUT, is_broken: false })
            }
        }
    }
}
