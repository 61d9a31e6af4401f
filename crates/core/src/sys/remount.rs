//! `sys/remount`: a mount at another path.

use serde::Serialize;
use strongroom_sdk::Input;
use strongroom_types::{Fields, MountPath, RawObject};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler, not_found, with_warnings};
use crate::error::Error;
use crate::mounts::{Class, MoveStatus};
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "remount",
        help: "Moves a mount to another path. Its leases are ended first.",
        fields: &[RemountInput::FIELDS],
        handlers: Handlers { write: handler!(remount), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "remount/status/{migration_id}",
        help: "How far a move is, until the mount is moved again.",
        fields: &[],
        handlers: Handlers { read: handler!(status), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct RemountInput {
    /// Where it is; `auth/x` for an auth method.
    from: String,
    /// Where it is to be.
    to: String,
}

const QUEUED: &str =
    "the mount is being moved: sys/remount/status/<migration_id> tells how far it is";

async fn remount(call: &Call) -> Result<Answer, Error> {
    let RemountInput { from, to } = call.input()?;
    if from.is_empty() || to.is_empty() {
        return Err(Error::invalid("both 'from' and 'to' path must be specified as a string"));
    }
    for (name, path) in [("from", &from), ("to", &to)] {
        if path.trim() != path {
            return Err(Error::invalid(format!(
                "'{name}' path cannot contain trailing whitespace"
            )));
        }
    }
    let (class, from) = place(&from)?;
    let (target, to) = match class {
        Class::Auth => place(&to)?,
        // `auth/x` is no place for a secrets engine, and is refused as one.
        Class::Secret => (Class::Secret, MountPath::parse(&to)?),
    };
    if class != target {
        let text = format!("cannot remount auth mount to non-auth mount {:?}", to.as_str());
        return Err(Error::invalid(text));
    }
    let id = call.open.mounts.begin_move(class, from, to).await?;
    let mut answer = Fields::new();
    answer.set("migration_id", &id);
    Ok(with_warnings(answer.to_object(), vec![QUEUED.to_owned()]))
}

fn place(path: &str) -> Result<(Class, MountPath), Error> {
    let path = MountPath::parse(path)?;
    match path.as_str().strip_prefix("auth/").filter(|below| !below.is_empty()) {
        Some(below) => Ok((Class::Auth, MountPath::parse(below)?)),
        None => Ok((Class::Secret, path)),
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    migration_id: &'a str,
    migration_info: Info,
}

#[derive(Serialize)]
struct Info {
    source_mount: String,
    target_mount: String,
    status: MoveStatus,
}

async fn status(call: &Call) -> Result<Answer, Error> {
    let id = call.captured();
    let (class, moved) = call.open.mounts.find_move(id).ok_or_else(not_found)?;
    let migration_info = Info {
        source_mount: class.route(&moved.from),
        target_mount: class.route(&moved.to),
        status: moved.status,
    };
    let shown = Shown { migration_id: id, migration_info };
    Ok(data(RawObject::of(&shown).map_err(|error| Error::internal(error.to_string()))?))
}
