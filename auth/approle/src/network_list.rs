//! [`NetworkList`]: networks that are shown with their prefix lengths.

use serde_json::value::RawValue;
use strongroom_sdk::field::{Field, FieldKind, InvalidValue};
use strongroom_sdk::*;

/// Addresses and networks (CIDR). As in Vault, a single address is shown as a network of one
/// (`10.0.0.1/32`) in the fields of this method, and without its prefix length in token fields.
/// Tools that compare what they wrote with what they read would otherwise write it again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkList(pub(crate) CidrList);

impl NetworkList {
    /// The networks as texts.
    pub(crate) fn to_texts(&self) -> Vec<String> {
        self.0.0.iter().map(Cidr::to_text_with_prefix).collect()
    }
}

impl Field for NetworkList {
    const KIND: FieldKind = FieldKind::CommaList;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        CidrList::read(raw).map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        CommaList(self.to_texts()).write(out)
    }
}
