//! Closes connections that fail on a TLS port. A client that sends plain HTTP gets an error in
//! plain HTTP, because it would not understand anything else.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The wording of Go's HTTP server, which clients look for.
const PLAIN_HTTP_RESPONSE: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Whether the first byte starts an HTTP method. No TLS record starts with an upper-case letter.
pub(crate) async fn is_plain_http(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read > 0 && first.iter().all(u8::is_ascii_uppercase))
}

/// Sends the error response and shuts the connection down.
pub(crate) async fn reject_plain_http(mut stream: TcpStream) -> std::io::Result<()> {
    // Closing a socket with unread data resets the connection, and the response would be lost.
    let mut unread = [0; 4 << 10];
    while stream.try_read(&mut unread).is_ok_and(|read| read == unread.len()) {}
    stream.write_all(PLAIN_HTTP_RESPONSE).await?;
    stream.shutdown().await
}

/// Closes a connection after a failed handshake in such a way that the client receives the TLS
/// alert: it may have sent its first request already, and closing a socket with unread data would
/// reset the connection.
pub(crate) async fn close_lingering(mut stream: TcpStream) {
    let parting = async {
        let mut unread = [0; 4 << 10];
        let _ = stream.shutdown().await;
        for _ in 0..MAX_UNREAD_READS {
            if matches!(stream.read(&mut unread).await, Ok(0) | Err(_)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, parting).await;
}

/// In reads of 4 KiB: more than a client sends before it waits for a response.
const MAX_UNREAD_READS: usize = 16;
/// How long to wait for the client to close its end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn plain_http_on_a_tls_port_is_told_so_in_plain_http() {
        let (ours, mut client) = tcp_pair().await;
        client.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(is_plain_http(&ours).await.unwrap());
        reject_plain_http(ours).await.unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, PLAIN_HTTP_RESPONSE);
    }

    #[tokio::test]
    async fn a_tls_record_is_not_consumed() {
        let (mut ours, mut client) = tcp_pair().await;
        client.write_all(&[0x16, 3, 1]).await.unwrap();
        assert!(!is_plain_http(&ours).await.unwrap());
        let mut read = [0; 3];
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [0x16, 3, 1]);
        let (ours, client) = tcp_pair().await;
        drop(client);
        assert!(!is_plain_http(&ours).await.unwrap());
    }
}
