//! A server that gives recorded answers: the same for the same request, however often it is asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// The server. Its thread ends with the process.
pub(crate) struct RecordedServer {
    address: String,
    home: tempfile::TempDir,
}

impl RecordedServer {
    /// `answers` has a request a line, `GET /v1/a?b=c`, and below it a status and a body. Lines that
    /// begin with `#` say why. What isn't there is answered as not there.
    pub(crate) fn start(answers: &str) -> Self {
        let mut known = BTreeMap::new();
        let mut lines = answers.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        while let Some(request) = lines.next() {
            known.insert(request.to_owned(), lines.next().unwrap().to_owned());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve_recorded(&stream.unwrap(), &known);
            }
        });
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".vault-token"), "root").unwrap();
        Self { address, home }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }
}

fn serve_recorded(mut stream: &TcpStream, known: &BTreeMap<String, String>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap() > 2 {}
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let request = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
    let answer = known.get(request).map_or("404 {\"errors\":[]}", String::as_str);
    let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close");
    // A client that has gone away wants no answer.
    let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
}
