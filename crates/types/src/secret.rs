//! [`Secret`]: a value that leaves no copy behind and cannot be printed.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

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
pub struct Secret<T: Zeroize>(Box<T>);

impl<T: Zeroize> Secret<T> {
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

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether both hold the same bytes, in time that depends on their lengths only.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_ref().as_ref().ct_eq(other).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
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
    fn is_wiped_on_drop() {
        use std::cell::Cell;
        use std::rc::Rc;

        struct Watched(Rc<Cell<bool>>);
        impl Zeroize for Watched {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = Rc::new(Cell::new(false));
        drop(Secret::new(Watched(wiped.clone())));
        assert!(wiped.get());
    }
}
