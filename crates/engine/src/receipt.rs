//! How engines of this project's SDK mark the internal data of their leases, so that the host knows
//! how to store it: also if the engine runs as a plug-in, where the wire has no place for it.

/// The field in a lease's internal data that says it is a receipt, and which [`ReceiptForm`] it has.
pub const RECEIPT_FIELD: &str = "strongroom_receipt";

/// What a receipt contains. Engines with receipts don't need the client's data back at revocation,
/// so it isn't stored with the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptForm {
    /// No secret.
    Plain,
    /// A secret, for which the lease is stored under the seal as well.
    Sealed,
}

impl ReceiptForm {
    /// The text by which [`RECEIPT_FIELD`] states this form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
        }
    }

    /// Reads the value of [`RECEIPT_FIELD`]; `None` for the data of other SDKs.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Plain, Self::Sealed].into_iter().find(|form| form.as_str() == text)
    }
}
