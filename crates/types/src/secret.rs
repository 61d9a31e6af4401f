//! [`Secret`]: a value that is wiped when dropped and cannot be printed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use subtle::ConstantTimeEq;
use zeroize::optimization_barrier;

/// A value that can be overwritten in place in a way the compiler doesn't optimise away.
pub trait Wipe {
    /// Overwrites the value, including its spare capacity, and leaves it empty.
    fn wipe(&mut self);
}

impl Wipe for Vec<u8> {
    /// Overwritten as one block, since several values of kilobytes are wiped per request.
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

/// A secret value on the heap, overwritten when dropped.
///
/// There is deliberately no `Debug`, `Display`, `Clone`, `Serialize` or `PartialEq`: a secret
/// cannot reach a log, an error or a copy without a call of [`Secret::expose_secret`], which is
/// easy to search for.
///
/// ```compile_fail
/// # use strongroom_types::Secret;
/// println!("{:?}", Secret::new(String::from("hunter2")));
/// ```
pub struct Secret<T: Wipe>(Box<T>);

impl<T: Wipe> Secret<T> {
    /// Takes ownership of the value. If the caller made copies of it, wiping those is up to the
    /// caller.
    pub fn new(value: T) -> Self {
        Self(Box::new(value))
    }

    /// Borrows the secret value. Every call is a place where it may leak, so keep the borrow short.
    pub fn expose_secret(&self) -> &T {
        &self.0
    }

    /// Mutably borrows the secret value, to fill or change it in place.
    pub fn expose_secret_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl Secret<String> {
    /// Copies a borrowed string into a secret; the original is not wiped.
    pub fn from_text(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

/// Reads a secret from a response of an outside system. An empty text is refused, as by the fields
/// of documents: a system that sends one has given no secret. The error quotes nothing.
impl<'de> Deserialize<'de> for Secret<String> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct SecretVisitor;
        impl Visitor<'_> for SecretVisitor {
            type Value = Secret<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret that is not empty")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
                let secret = Secret::new(text);
                match secret.expose_secret().is_empty() {
                    true => Err(E::custom("the secret is empty")),
                    false => Ok(secret),
                }
            }
        }
        // The error of a wrong type would quote the value.
        from.deserialize_string(SecretVisitor).map_err(|_| D::Error::custom("not a secret text"))
    }
}

impl<T: Wipe + AsRef<[u8]>> Secret<T> {
    /// Whether the secret equals `other`, in time that depends on their lengths only.
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
    fn is_read_from_text_that_is_not_empty() {
        let secret: Secret<String> = serde_json::from_str(r#""a\u0062c""#).unwrap();
        assert!(secret.ct_eq(b"abc"));
        for bad in [r#""""#, "4711", "null", r#"["hunter2"]"#, r#"{"hunter2":1}"#] {
            let error = serde_json::from_str::<Secret<String>>(bad).err().unwrap().to_string();
            assert!(!error.contains("4711") && !error.contains("hunter2"), "{error}");
        }
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
        // SAFETY: the allocation still belongs to the vector, and the bytes were initialised when
        // it was full.
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
