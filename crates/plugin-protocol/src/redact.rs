//! A `Debug` for every message that may hold a secret: it prints only the harmless fields. The
//! generator derives no `Debug` for these messages; `tests/codegen` has the list.

use std::fmt;

use crate::generated::{logical, pb, plugin, strongroom};

macro_rules! redacted {
    ($($message:ty { $($field:ident),* })*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let name = stringify!($message).rsplit(':').next().unwrap_or_default();
                f.debug_struct(name.trim_start())$(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

redacted! {
    logical::EventData { id }
    pb::Auth { lease_options, accessor, token_type }
    pb::GenerateIdentityTokenResponse { ttl }
    pb::GeneratePasswordFromPolicyReply {}
    pb::Header {}
    pb::RecordObservationRequest { observation_type }
    pb::Request { id, operation, mount_point }
    pb::Response { secret, auth, wrap_info }
    pb::ResponseWrapDataArgs { ttl }
    pb::ResponseWrapInfo { ttl, accessor, format }
    pb::Secret { lease_options }
    pb::SetupArgs { broker_id, backend_uuid }
    pb::StorageEntry { key, seal_wrap }
    pb::TokenEntry { accessor, path }
    plugin::StdioData { channel }
    strongroom::Put { key, seal_wrap }
    strongroom::Versioned { seal_wrap, version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_secret() {
        const SECRET: &str = "hunter2";
        let text = || SECRET.to_owned();
        let map = || [(text(), text())].into();
        let header = pb::Header { header: vec![text()] };
        let headers = || [("authorization".to_owned(), header.clone())].into();
        let secret = pb::Secret { internal_data: text(), ..Default::default() };
        let wrap_info = pb::ResponseWrapInfo { token: text(), ..Default::default() };
        let auth = pb::Auth {
            internal_data: text(),
            client_token: text(),
            metadata: map(),
            ..Default::default()
        };
        let request = pb::Request {
            path: text(),
            data: text(),
            client_token: text(),
            headers: headers(),
            secret: Some(secret.clone()),
            auth: Some(auth.clone()),
            ..Default::default()
        };
        let response = pb::Response {
            data: text(),
            secret: Some(secret),
            auth: Some(auth),
            headers: headers(),
            wrap_info: Some(wrap_info.clone()),
            redirect: text(),
            ..Default::default()
        };
        let fields =
            prost_types::Struct { fields: [(text(), prost_types::Value::default())].into() };
        let entry = pb::StorageEntry { value: SECRET.into(), ..Default::default() };
        let put = strongroom::Put { value: SECRET.into(), ..Default::default() };
        let versioned = strongroom::Versioned { value: SECRET.into(), ..Default::default() };
        let token = pb::TokenEntry { id: text(), meta: map(), ..Default::default() };
        let printed = [
            format!(
                "{:?}",
                pb::HandleRequestArgs { request: Some(request.clone().into()), storage_id: 0 }
            ),
            format!(
                "{:?}",
                pb::HandleExistenceCheckArgs { request: Some(request.into()), storage_id: 0 }
            ),
            format!(
                "{:?}",
                pb::HandleRequestReply { response: Some(response.into()), ..Default::default() }
            ),
            format!("{:?}", pb::SetupArgs { config: map(), ..Default::default() }),
            format!(
                "{:?}",
                pb::StoragePutArgs { entry: Some(entry.clone()), ..Default::default() }
            ),
            format!("{:?}", pb::StorageGetReply { entry: Some(entry), ..Default::default() }),
            format!("{:?}", pb::ResponseWrapDataArgs { data: text(), ..Default::default() }),
            format!(
                "{:?}",
                pb::ResponseWrapDataReply { wrap_info: Some(wrap_info), ..Default::default() }
            ),
            format!("{:?}", pb::GeneratePasswordFromPolicyReply { password: text() }),
            format!("{:?}", pb::GenerateIdentityTokenResponse { token: text(), ttl: 1 }),
            format!(
                "{:?}",
                pb::RecordObservationRequest { data: Some(fields.clone()), ..Default::default() }
            ),
            format!(
                "{:?}",
                pb::SendEventRequest {
                    event: Some(logical::EventData {
                        metadata: Some(fields),
                        ..Default::default()
                    }),
                    ..Default::default()
                }
            ),
            format!("{token:?}"),
            format!("{:?}", plugin::StdioData { channel: 1, data: SECRET.into() }),
            format!("{:?}", strongroom::CommitRequest { puts: vec![put], ..Default::default() }),
            format!("{:?}", strongroom::GetReply { entry: Some(versioned), ..Default::default() }),
        ];
        let bytes = format!("{:?}", SECRET.as_bytes());
        for text in printed {
            assert!(!text.contains(SECRET) && !text.contains(&bytes), "{text}");
            assert!(text.contains(".."), "nothing was left out of {text}");
        }
    }
}
