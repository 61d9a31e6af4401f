//! The part of the Basic Encoding Rules that LDAP uses (RFC 4511, 5.1): definite lengths, primitive
//! strings. Reading never allocates more than what was received.

use strongroom_types::Secret;

/// Universal tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// How many bytes of a length are read: enough for 4 GiB, far above every limit.
const MAX_LENGTH_BYTES: usize = 4;

/// Why bytes are no LDAP message. The text is for errors and quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response is malformed")]
pub(super) struct MalformedBer;

/// Writes elements one after the other. The buffer is wiped, since a bind contains a password; it is
/// made large enough at the start, so that no copy of it is left by growing.
pub(super) struct BerWriter(Secret<Vec<u8>>);

impl BerWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Secret::new(Vec::with_capacity(bytes)))
    }

    pub(super) fn into_bytes(self) -> Secret<Vec<u8>> {
        self.0
    }

    /// An element whose content `write` writes. Its length takes four bytes, which are filled in at
    /// the end.
    pub(super) fn constructed(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.0.expose_secret_mut().extend_from_slice(&[tag, 0x84, 0, 0, 0, 0]);
        let start = self.0.expose_secret().len();
        write(self);
        let length = self.0.expose_secret().len() - start;
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(place) = self.0.expose_secret_mut().get_mut(start - 4..start) {
            place.copy_from_slice(&length);
        }
    }

    pub(super) fn octets(&mut self, tag: u8, content: &[u8]) {
        let bytes = self.0.expose_secret_mut();
        bytes.push(tag);
        match u8::try_from(content.len()) {
            Ok(short) if short < 0x80 => bytes.push(short),
            _ => {
                let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
                bytes.push(0x84);
                bytes.extend_from_slice(&length);
            }
        }
        bytes.extend_from_slice(content);
    }

    pub(super) fn boolean(&mut self, tag: u8, value: bool) {
        self.octets(tag, &[if value { 0xff } else { 0 }]);
    }

    /// An integer or enumerated value that is not negative.
    pub(super) fn number(&mut self, tag: u8, value: u32) {
        let bytes = value.to_be_bytes();
        let skipped = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
        let digits = bytes.get(skipped..).unwrap_or_default();
        // A first bit that is set would make the number negative.
        let mut content = Vec::with_capacity(5);
        if digits.first().is_some_and(|first| first & 0x80 != 0) {
            content.push(0);
        }
        content.extend_from_slice(digits);
        self.octets(tag, &content);
    }
}

/// Reads elements one after the other from a message that is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct BerReader<'a>(&'a [u8]);

impl<'a> BerReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next element, if there is one.
    pub(super) fn next_tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element: its tag and its content.
    pub(super) fn element(&mut self) -> Result<(u8, &'a [u8]), MalformedBer> {
        let (header, length) = header_of(self.0)?.ok_or(MalformedBer)?;
        let end = header.checked_add(length).ok_or(MalformedBer)?;
        let content = self.0.get(header..end).ok_or(MalformedBer)?;
        let tag = self.next_tag().ok_or(MalformedBer)?;
        self.0 = self.0.get(end..).ok_or(MalformedBer)?;
        Ok((tag, content))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn read_value(&mut self, tag: u8) -> Result<&'a [u8], MalformedBer> {
        match self.element()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(MalformedBer),
        }
    }

    /// The content of the next element if it has this tag; `None` leaves it.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, MalformedBer> {
        if self.next_tag() == Some(tag) { self.read_value(tag).map(Some) } else { Ok(None) }
    }

    /// The next element as a number that is not negative.
    pub(super) fn number(&mut self, tag: u8) -> Result<u32, MalformedBer> {
        let content = self.read_value(tag)?;
        let is_negative = content.first().is_none_or(|first| first & 0x80 != 0);
        if is_negative || content.len() > 5 {
            return Err(MalformedBer);
        }
        let value = content.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        u32::try_from(value).map_err(|_| MalformedBer)
    }

    /// The next element as text.
    pub(super) fn text(&mut self, tag: u8) -> Result<&'a str, MalformedBer> {
        std::str::from_utf8(self.read_value(tag)?).map_err(|_| MalformedBer)
    }
}

/// The length of an element's header, and of its content, from its first bytes; `None` if more bytes
/// are needed to tell.
pub(super) fn header_of(bytes: &[u8]) -> Result<Option<(usize, usize)>, MalformedBer> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        // A tag of several bytes; LDAP has none.
        return Err(MalformedBer);
    }
    if *first < 0x80 {
        return Ok(Some((2, usize::from(*first))));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > MAX_LENGTH_BYTES {
        return Err(MalformedBer);
    }
    let Some(digits) = rest.get(..count) else { return Ok(None) };
    let length = digits.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    Ok(Some((2 + count, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = BerWriter::with_capacity(64);
        writer.constructed(SEQUENCE, |writer| {
            for number in [0, 1, 127, 128, 255, 256, 65_535, u32::MAX] {
                writer.number(INTEGER, number);
            }
            writer.octets(OCTET_STRING, &[7; 300]);
            writer.boolean(BOOLEAN, true);
        });
        let bytes = writer.into_bytes();
        let mut outer = BerReader::new(bytes.expose_secret());
        let mut inner = BerReader::new(outer.read_value(SEQUENCE).unwrap());
        for number in [0, 1, 127, 128, 255, 256, 65_535, u32::MAX] {
            assert_eq!(inner.number(INTEGER), Ok(number));
        }
        assert_eq!(inner.read_value(OCTET_STRING).unwrap(), &[7; 300]);
        assert_eq!(inner.read_value(BOOLEAN), Ok(&[0xff][..]));
        assert!(inner.is_empty() && outer.is_empty());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bad in [
            &[0x30, 0x80][..],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 7],
            &[0x1f, 0x01, 0x00],
            &[0x30, 0x05, 1, 2],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30],
        ] {
            assert_eq!(BerReader::new(bad).element(), Err(MalformedBer), "{bad:?}");
        }
        for bad in [&[0x02, 0x00][..], &[0x02, 0x01, 0x80], &[0x02, 0x05, 1, 0, 0, 0, 0]] {
            assert_eq!(BerReader::new(bad).number(INTEGER), Err(MalformedBer), "{bad:?}");
        }
    }
}
