//! A fake LDAP directory, with the abilities of Active Directory that a real OpenLDAP lacks, and with
//! faults on demand.
//!
//! It has simple binds (also by principal name, and without a password, to which directories say yes),
//! searches (also in pages, and by security id), and changes of passwords.

mod ber;
mod filter;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use ber::{content_at, elements, encode, encode_all, number_of, split_element, text_of};
use filter::comparable;

/// A running directory. It stops when it is dropped.
#[derive(Debug)]
pub struct FakeDirectory {
    addr: SocketAddr,
    state: Arc<Mutex<DirectoryState>>,
    _stop: DropGuard,
}

/// An entry: a name, perhaps a password, and attributes.
#[derive(Clone, Debug, Default)]
pub struct FakeEntry {
    dn: String,
    password: String,
    attributes: Vec<(String, Vec<u8>)>,
}

/// How the directory answers while it is faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryFault {
    /// Never.
    Silent,
    /// It closes the connection instead.
    Closes,
    /// With the first half of the response; then it closes the connection.
    Truncates,
    /// With a length of almost 4 GiB, and zeros without end.
    Endless,
    /// With bytes that are no message.
    Garbage,
    /// With the number of another request.
    WrongNumber,
    /// With this result code.
    Code(u8),
}

#[derive(Debug, Default)]
struct DirectoryState {
    entries: Vec<FakeEntry>,
    fault: Option<DirectoryFault>,
    refuses_anonymous_searches: bool,
    root: FakeEntry,
    binds: Vec<String>,
    connections: usize,
}

impl FakeEntry {
    /// An entry with this distinguished name, and without attributes.
    pub fn new(dn: &str) -> Self {
        Self { dn: dn.to_owned(), ..Self::default() }
    }

    /// Sets the password with which one can bind as the entry.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// Adds a value of an attribute.
    #[must_use]
    pub fn value(mut self, attribute: &str, value: impl Into<Vec<u8>>) -> Self {
        self.attributes.push((attribute.to_owned(), value.into()));
        self
    }

    fn values(&self, attribute: &str) -> impl Iterator<Item = &[u8]> {
        let is_it = move |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case(attribute);
        self.attributes.iter().filter(is_it).map(|(_, value)| value.as_slice())
    }
}

impl FakeDirectory {
    /// Starts a directory with these entries.
    ///
    /// # Errors
    ///
    /// The error of the operating system if no port is free.
    pub async fn start(entries: impl IntoIterator<Item = FakeEntry>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let state = DirectoryState { entries: entries.into_iter().collect(), ..Default::default() };
        let (state, stop) = (Arc::new(Mutex::new(state)), CancellationToken::new());
        let (shared, stopped, tasks) = (state.clone(), stop.clone(), TaskTracker::new());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&shared).connections += 1;
                let talk = serve_connection(stream, shared.clone());
                tasks.spawn(stopped.clone().run_until_cancelled_owned(talk));
            }
        };
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
        Ok(Self { addr, state, _stop: stop.drop_guard() })
    }

    /// The URL at which clients reach the directory.
    pub fn url(&self) -> String {
        format!("ldap://{}", self.addr)
    }

    /// Makes the directory faulty, or whole again.
    pub fn set_fault(&self, fault: Option<DirectoryFault>) {
        lock(&self.state).fault = fault;
    }

    /// Refuses searches of clients that haven't bound.
    pub fn refuse_anonymous_searches(&self) {
        lock(&self.state).refuses_anonymous_searches = true;
    }

    /// Says in the root entry that the directory is an Active Directory.
    pub fn pose_as_active_directory(&self) {
        let root = FakeEntry::new("").value("supportedCapabilities", "1.2.840.113556.1.4.800");
        lock(&self.state).root = root;
    }

    /// Adds an entry, or replaces the one with its name.
    pub fn put(&self, entry: FakeEntry) {
        self.remove(&entry.dn);
        lock(&self.state).entries.push(entry);
    }

    /// Removes the entry with this distinguished name.
    pub fn remove(&self, dn: &str) {
        lock(&self.state).entries.retain(|entry| comparable(&entry.dn) != comparable(dn));
    }

    /// The names with which clients tried to bind, in their order. An anonymous bind has none.
    pub fn binds(&self) -> Vec<String> {
        lock(&self.state).binds.clone()
    }

    /// How many connections clients have made.
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// The password of an entry.
    pub fn password_of(&self, dn: &str) -> Option<String> {
        lock(&self.state).find(dn).map(|entry| entry.password.clone())
    }
}

fn lock(state: &Mutex<DirectoryState>) -> MutexGuard<'_, DirectoryState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const INVALID_CREDENTIALS: u8 = 49;
const INSUFFICIENT_ACCESS: u8 = 50;
const NO_SUCH_OBJECT: u8 = 32;
const SIZE_LIMIT_EXCEEDED: u8 = 4;
const PAGED_RESULTS: &[u8] = b"1.2.840.113556.1.4.319";

/// Answers the requests of a connection, one after the other.
async fn serve_connection(mut stream: TcpStream, state: Arc<Mutex<DirectoryState>>) {
    let (mut received, mut is_bound) = (Vec::new(), false);
    loop {
        let message = match split_element(&received) {
            Some((_, rest)) => {
                let end = received.len() - rest.len();
                received.drain(..end).collect::<Vec<u8>>()
            }
            None => match stream.read_buf(&mut received).await {
                Ok(read) if read > 0 => continue,
                _ => return,
            },
        };
        let (responses, fault) = {
            let mut state = lock(&state);
            let fault = state.fault;
            (state.answer(&message, &mut is_bound), fault)
        };
        let Some(responses) = responses else { return };
        if !send(&mut stream, responses, fault).await {
            return;
        }
    }
}

/// Sends responses as the fault says; returns whether the connection goes on.
async fn send(stream: &mut TcpStream, responses: Vec<u8>, fault: Option<DirectoryFault>) -> bool {
    match fault {
        None | Some(DirectoryFault::WrongNumber | DirectoryFault::Code(_)) => {
            stream.write_all(&responses).await.is_ok()
        }
        Some(DirectoryFault::Silent) => {
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            false
        }
        Some(DirectoryFault::Closes) => false,
        Some(DirectoryFault::Truncates) => {
            let half = responses.get(..responses.len() / 2).unwrap_or_default();
            let _ = stream.write_all(half).await;
            false
        }
        Some(DirectoryFault::Endless) => {
            let _ = stream.write_all(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xf0]).await;
            while stream.write_all(&[0; 4096]).await.is_ok() {}
            false
        }
        Some(DirectoryFault::Garbage) => {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            false
        }
    }
}

impl DirectoryState {
    fn find(&self, dn: &str) -> Option<&FakeEntry> {
        self.entries.iter().find(|entry| comparable(&entry.dn) == comparable(dn))
    }

    /// The responses to a request; `None` ends the connection.
    fn answer(&mut self, message: &[u8], is_bound: &mut bool) -> Option<Vec<u8>> {
        let ((_, content), _) = split_element(message)?;
        let parts = elements(content);
        let number = match self.fault {
            Some(DirectoryFault::WrongNumber) => [0x7f].as_slice(),
            _ => content_at(&parts, 0),
        };
        let number = encode(0x02, number);
        let (tag, request) = *parts.get(1)?;
        let fields = elements(request);
        let whole = |response: Vec<u8>| encode_all(0x30, &[number.clone(), response]);
        match tag {
            0x60 => {
                let (name, password) = (text_of(content_at(&fields, 1)), content_at(&fields, 2));
                let code = self.bind(&name, &text_of(password));
                *is_bound = code == 0 && !name.is_empty() && !password.is_empty();
                Some(whole(result(0x61, self.code_or(code))))
            }
            0x63 => {
                let controls = parts.get(2).map_or(&[][..], |(_, content)| content);
                Some(self.search(&number, &fields, controls, *is_bound))
            }
            0x66 => {
                let code = if *is_bound { self.replace(&fields) } else { INSUFFICIENT_ACCESS };
                Some(whole(result(0x67, self.code_or(code))))
            }
            // An unbind.
            0x42 => None,
            _ => Some(whole(result(0x78, 2))),
        }
    }

    fn code_or(&self, code: u8) -> u8 {
        match self.fault {
            Some(DirectoryFault::Code(code)) => code,
            _ => code,
        }
    }

    /// Whoever gives no password is bound anonymously, as RFC 4513 has it (5.1.2).
    fn bind(&mut self, name: &str, password: &str) -> u8 {
        self.binds.push(name.to_owned());
        if password.is_empty() {
            return 0;
        }
        let fits = |entry: &&FakeEntry| {
            let principal = entry
                .values("userPrincipalName")
                .any(|it| comparable(&text_of(it)) == comparable(name));
            principal || comparable(&entry.dn) == comparable(name)
        };
        let found = self.entries.iter().find(fits);
        match found.is_some_and(|entry| !entry.password.is_empty() && entry.password == password) {
            true => 0,
            false => INVALID_CREDENTIALS,
        }
    }

    fn search(
        &self,
        number: &[u8],
        fields: &[ber::Element<'_>],
        controls: &[u8],
        is_bound: bool,
    ) -> Vec<u8> {
        let base = text_of(content_at(fields, 0));
        let done = |code, cookie: Option<Vec<u8>>| {
            let mut parts = vec![number.to_vec(), result(0x65, self.code_or(code))];
            if let Some(cookie) = cookie {
                let value = encode_all(0x30, &[encode(0x02, &[0]), encode(0x04, &cookie)]);
                let control = [encode(0x04, PAGED_RESULTS), encode(0x04, &value)];
                parts.push(encode(0xa0, &encode_all(0x30, &control)));
            }
            encode_all(0x30, &parts)
        };
        if !is_bound && self.refuses_anonymous_searches && !base.is_empty() {
            return done(INSUFFICIENT_ACCESS, None);
        }
        let (is_subtree, limit) = (content_at(fields, 1) == [2], number_of(content_at(fields, 3)));
        let Some(scope) = self.scope_of(&base, is_subtree) else {
            return done(NO_SUCH_OBJECT, None);
        };
        let Some(filter) = fields.get(6) else { return done(2, None) };
        let found: Vec<_> =
            scope.into_iter().filter(|entry| filter::matches(entry, *filter)).collect();
        let wanted = elements(content_at(fields, 7));
        let page = page_of(controls);
        let (start, size) = page.unwrap_or((0, usize::MAX));
        let size = if limit > 0 { size.min(limit) } else { size };
        let shown = found.iter().skip(start).take(size);
        let mut messages: Vec<Vec<u8>> = shown
            .map(|entry| encode_all(0x30, &[number.to_vec(), encoded_entry(entry, &wanted)]))
            .collect();
        let rest = found.len().saturating_sub(start + messages.len());
        let (code, cookie) = match page {
            None if rest > 0 => (SIZE_LIMIT_EXCEEDED, None),
            None => (0, None),
            Some(_) if rest == 0 => (0, Some(Vec::new())),
            Some((start, size)) => (0, Some((start + size).to_string().into_bytes())),
        };
        messages.push(done(code, cookie));
        messages.concat()
    }

    /// The entries that a search looks at.
    fn scope_of(&self, base: &str, is_subtree: bool) -> Option<Vec<&FakeEntry>> {
        if base.is_empty() && !is_subtree {
            return Some(vec![&self.root]);
        }
        if let Some(id) = base.strip_prefix("<SID=").and_then(|id| id.strip_suffix('>')) {
            let has_id = |entry: &&FakeEntry| entry.values("textSid").any(|it| it == id.as_bytes());
            return self.entries.iter().find(has_id).map(|entry| vec![entry]);
        }
        if !is_subtree {
            return self.find(base).map(|entry| vec![entry]);
        }
        let end = format!(",{}", comparable(base));
        let is_below = |entry: &&FakeEntry| {
            let dn = comparable(&entry.dn);
            base.is_empty() || dn == comparable(base) || dn.ends_with(&end)
        };
        let found: Vec<_> = self.entries.iter().filter(is_below).collect();
        (!found.is_empty()).then_some(found)
    }

    /// Replaces a password: `userPassword`, or `unicodePwd` with quotes and in UTF-16.
    fn replace(&mut self, fields: &[ber::Element<'_>]) -> u8 {
        let dn = text_of(content_at(fields, 0));
        let changes = elements(content_at(fields, 1));
        let change = elements(content_at(&changes, 0));
        let attribute = elements(content_at(&change, 1));
        let name = text_of(content_at(&attribute, 0));
        let values = elements(content_at(&attribute, 1));
        let value = content_at(&values, 0);
        let password = match name.as_str() {
            "userPassword" => text_of(value),
            "unicodePwd" => {
                let (units, _) = value.as_chunks::<2>();
                let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
                let quoted = String::from_utf16_lossy(&units.collect::<Vec<_>>());
                let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
                let Some(inner) = inner else { return 19 };
                inner.to_owned()
            }
            _ => return INSUFFICIENT_ACCESS,
        };
        let same = |entry: &&mut FakeEntry| comparable(&entry.dn) == comparable(&dn);
        let Some(entry) = self.entries.iter_mut().find(same) else { return NO_SUCH_OBJECT };
        entry.password = password;
        0
    }
}

/// A response with a result code, and without a name and a text.
fn result(tag: u8, code: u8) -> Vec<u8> {
    encode_all(tag, &[encode(0x0a, &[code]), encode(0x04, b""), encode(0x04, b"")])
}

/// Where the page begins that the controls ask for, and how long it is.
fn page_of(controls: &[u8]) -> Option<(usize, usize)> {
    let ((_, control), _) = split_element(controls)?;
    let parts = elements(control);
    if content_at(&parts, 0) != PAGED_RESULTS {
        return None;
    }
    let ((_, value), _) = split_element(parts.last()?.1)?;
    let value = elements(value);
    let start = text_of(content_at(&value, 1)).parse().unwrap_or_default();
    Some((start, number_of(content_at(&value, 0))))
}

/// An entry with the attributes that the client wants: all if it names none. `tokenGroups` must be
/// named, as in Active Directory.
fn encoded_entry(entry: &FakeEntry, wanted: &[ber::Element<'_>]) -> Vec<u8> {
    let names: Vec<String> = wanted.iter().map(|(_, name)| text_of(name)).collect();
    let is_wanted = |name: &str| match names.is_empty() {
        true => !name.eq_ignore_ascii_case("tokenGroups"),
        false => names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)),
    };
    let mut shown: Vec<&str> = Vec::new();
    for (name, _) in &entry.attributes {
        if is_wanted(name) && !shown.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            shown.push(name);
        }
    }
    let attributes: Vec<Vec<u8>> = shown
        .iter()
        .map(|name| {
            let values: Vec<_> = entry.values(name).map(|value| encode(0x04, value)).collect();
            encode_all(0x30, &[encode(0x04, name.as_bytes()), encode_all(0x31, &values)])
        })
        .collect();
    encode_all(0x64, &[encode(0x04, entry.dn.as_bytes()), encode_all(0x30, &attributes)])
}
