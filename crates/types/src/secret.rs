//! [`Secret`]: a value that leaves no copy behind and cannot be printed.

use subtle::ConstantTimeEq;
use zeroize::optimization_barrier;

/// What can be overwritten in its place, in a way the compiler doesn't leave out.
pub trait Wipe {
    /// Overwrites the value, with all room it has.
    fn wipe(&mut self);
}

impl Wipe for Vec<u8> {
    /// As one block: several values of kilobytes are wiped for a request.
    fn wipe(&mut self) {
        self.clear();
        self.resize(self.capacity(), 0);
        optimization_barrier(self.as_slice());
        self.clear();
    }
}

impl Wipe for String {
    fn wipe(&mut self) {
        std::mem::take(self).into_bytes().wipe();
    }
}

/// A secret value on the heap, wiped when dropped.
///
/// There is deliberately no `Debug`, `Display`, `Clone`, `Serialize` or `PartialEq`: a secret
/// cannot reach a log, an error or a copy without somebody writing [`Secret::expose_secret`], and
/// that word is easy to search for.
///
/// ```compile_fail
/// # use strongroom_types::Secret;
/// println!("{:?}", Secret::new(String::from("hunter2")));
/// ```
pub struct Secret<T: Wipe>(Box<T>);

impl<T: Wipe> Secret<T> {
    /// Takes the value over. The caller's copy, if it made one, is the caller's to wipe.
    pub fn new(value: T) -> Self {
        Self(Box::new(value))
    }

    /// The value itself. Every call is a place where a secret may leak: keep the borrow short.
    pub fn expose_secret(&self) -> &T {
        &self.0
    }

    /// The value itself, to be filled or changed in place.
    pub fn expose_secret_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl Secret<String> {
    /// Copies a borrowed string into a secret.
    pub fn from_text(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl<T: Wipe + AsRef<[u8]>> Secret<T> {
    /// Whether both hold the same bytes, in time that depends on their lengths only.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_ref().as_ref().ct_eq(other).into()
    }
}

impl<T: Wipe> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_by_content() {
        let secret = Secret::from_text("abc");
        assert!(secret.ct_eq(b"abc"));
        assert!(!secret.ct_eq(b"abd"));
        assert!(!secret.ct_eq(b"ab"));
    }

    #[test]
    #[expect(unsafe_code, reason = "looks at memory that no safe code shows")]
    fn wiping_leaves_nothing_in_all_the_room_there_is() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend([7_u8; 100]);
        bytes.truncate(10);
        let at = bytes.as_ptr();
        bytes.wipe();
        assert!(bytes.is_empty() && bytes.capacity() >= 100);
        // SAFETY: the room is still the vector's, and the bytes were written when it was full.
        let left = unsafe { std::slice::from_raw_parts(at, 100) };
        assert_eq!(left, [0; 100]);
    }

    #[test]
    fn is_wiped_on_drop() {
        use std::cell::Cell;
        use std::rc::Rc;

        struct WipeProbe(Rc<Cell<bool>>);
        impl Wipe for WipeProbe {
            fn wipe(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = Rc::new(Cell::new(false));
        drop(Secret::new(WipeProbe(wiped.clone())));
        assert!(wiped.get());
    }
}
