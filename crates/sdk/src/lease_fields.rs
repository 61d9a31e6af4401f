//! What is stored with a lease as its internal data: the receipt, and fields of the SDK's own.

use strongroom_engine::LeaseContext;
use strongroom_engine::intent::INTENT_FIELD;
use strongroom_engine::receipt::{RECEIPT_FIELD, ReceiptForm};
use strongroom_types::{Fields, RawObject, Ttl};

use crate::credential::{Credential, Lifetime, ReceiptWriter};
use crate::credential_lifetime::RequestedLifetime;

/// The field that names the kind of credential. Go engines use the same name, so that their leases
/// can be taken over.
pub(crate) const KIND_FIELD: &str = "secret_type";
/// The field with the name of the role: the first capture of the path.
const ROLE_FIELD: &str = "role";
/// The field with all captures of the path, if there are several.
const CAPTURES_FIELD: &str = "strongroom_captures";
/// The field with the seconds after which the outside system ends the credential by itself.
const ENDS_WITHIN_FIELD: &str = "strongroom_ends_within";
/// The fields with the lifetimes in seconds that the client asked for.
const TTL_FIELD: &str = "strongroom_ttl";
const MAX_TTL_FIELD: &str = "strongroom_max_ttl";

/// The fields of the SDK that are stored beside a receipt.
pub(crate) struct StoredReceipt<'a> {
    pub(crate) captures: &'a [&'a str],
    /// The outside system's own expiry, counted from when the lease is issued; zero for none.
    pub(crate) ends: Ttl,
    pub(crate) requested: RequestedLifetime,
    /// The intent that the host deletes together with writing the lease.
    pub(crate) intent: Option<&'a str>,
}

impl StoredReceipt<'_> {
    /// The internal data of a lease with this receipt, and whether it must be stored under the seal.
    pub(crate) fn to_internal_data<C: Credential>(
        &self,
        receipt: &C::Receipt,
    ) -> (RawObject, bool) {
        let (object, is_sealed) = ReceiptWriter::write_to_object(receipt);
        let mut fields = object.fields();
        fields.set(KIND_FIELD, &C::KIND);
        fields.set(ROLE_FIELD, &self.captures.first().copied().unwrap_or_default());
        if self.captures.len() > 1 {
            fields.set(CAPTURES_FIELD, &self.captures);
        }
        let Lifetime { ttl, max_ttl } = self.requested.0;
        for (name, time) in
            [(ENDS_WITHIN_FIELD, self.ends), (TTL_FIELD, ttl), (MAX_TTL_FIELD, max_ttl)]
        {
            if !time.is_zero() {
                fields.set(name, &time.as_secs());
            }
        }
        if let Some(intent) = self.intent {
            fields.set(INTENT_FIELD, &intent);
        }
        let form = if is_sealed { ReceiptForm::Sealed } else { ReceiptForm::Plain };
        fields.set(RECEIPT_FIELD, &form.as_str());
        (fields.to_object(), is_sealed)
    }
}

/// The kind of the credential that a lease belongs to.
pub(crate) fn credential_kind(lease: &LeaseContext) -> String {
    lease.internal.fields().text(KIND_FIELD).unwrap_or_default()
}

/// The captures of the path that the lease was issued at.
pub(crate) fn captures(fields: &Fields) -> Vec<String> {
    let several = fields.get(CAPTURES_FIELD).and_then(|raw| serde_json::from_str(raw.get()).ok());
    several.unwrap_or_else(|| vec![fields.text(ROLE_FIELD).unwrap_or_default()])
}

/// The outside system's own expiry, counted from when the lease was issued; zero for none.
pub(crate) fn ends_within(fields: &Fields) -> Ttl {
    read_secs(fields, ENDS_WITHIN_FIELD)
}

/// The lifetimes that the client asked for when the lease was issued.
pub(crate) fn requested_lifetime(fields: &Fields) -> RequestedLifetime {
    let (ttl, max_ttl) = (read_secs(fields, TTL_FIELD), read_secs(fields, MAX_TTL_FIELD));
    RequestedLifetime(Lifetime { ttl, max_ttl })
}

fn read_secs(fields: &Fields, name: &str) -> Ttl {
    let secs = fields.get(name).and_then(|raw| raw.get().parse().ok());
    Ttl::from_secs(secs.unwrap_or_default())
}
