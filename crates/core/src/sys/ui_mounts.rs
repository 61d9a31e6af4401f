//! `sys/internal/ui/mounts`: which mounts the caller can reach. Every KV command asks this first, to
//! learn the version of the mount.

use strongroom_types::Fields;

use super::mount_entry::{Shown, shown};
use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::mounts::Class;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "internal/ui/mounts",
        help: "The mounts the caller can reach; without a token, those that are listed for all.",
        fields: &[],
        handlers: Handlers { read: handler!(list), ..Handlers::NONE },
        access: Access::Anyone,
    },
    Endpoint {
        pattern: "internal/ui/mounts/{path..}",
        help: "The mount a path lies under.",
        fields: &[],
        handlers: Handlers { read: handler!(read), ..Handlers::NONE },
        access: Access::Anyone,
    },
];

async fn list(call: &Call) -> Result<Answer, Error> {
    if call.caller.is_none() && !call.token_id().is_empty() {
        return Err(Error::no_token());
    }
    let table = call.open.mounts.table();
    let of_class = |class| {
        let mut mounts = Fields::new();
        for mounted in table.of_class(class) {
            let entry = &mounted.entry;
            match &call.caller {
                Some(caller) if caller.acl.reaches(&mounted.info.path) => {
                    mounts.set(entry.path.clone(), &shown(mounted));
                }
                // Who can't reach it sees no more of it than everybody.
                _ if entry.config.listing_visibility == "unauth" => {
                    mounts.set(entry.path.clone(), &Shown::reduced(mounted));
                }
                _ => {}
            }
        }
        mounts
    };
    let mut answer = Fields::new();
    answer.set("auth", &Raw(of_class(Class::Auth)));
    answer.set("secret", &Raw(of_class(Class::Secret)));
    Ok(data(answer.to_object()))
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let path = call.captured();
    let refused = || {
        let text = format!(
            "preflight capability check returned 403, please ensure client's policies grant access \
             to path {:?}",
            format!("{}/", path.trim_end_matches('/'))
        );
        Error::plain(strongroom_types::ErrorKind::Denied, text)
    };
    let caller = call.caller.as_ref().ok_or_else(Error::no_token)?;
    let table = call.open.mounts.table();
    let whole = format!("{}/", path.trim_end_matches('/'));
    let Some((mounted, _)) = table.route(&whole) else { return Err(refused()) };
    if !caller.acl.reaches(&mounted.info.path) {
        return Err(refused());
    }
    let mut answer = to_fields(&shown(mounted))?;
    answer.set("path", &mounted.entry.path);
    Ok(data(answer.to_object()))
}

fn to_fields(shown: &Shown<'_>) -> Result<Fields, Error> {
    let object = strongroom_types::RawObject::of(shown);
    Ok(object.map_err(|error| Error::internal(error.to_string()))?.fields())
}

/// Fields as a JSON object inside another.
struct Raw(Fields);

impl serde::Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter())
    }
}
