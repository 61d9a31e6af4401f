//! The two versions of the KV engine, as mounts choose between them: by the option `version`. Older
//! names of mount types stand for one of them.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::mounts::MountEntry;

type MountOptions = Option<BTreeMap<String, String>>;

/// The option, and the type of mounts that have it.
pub(super) const VERSION_OPTION: &str = "version";
const KV_TYPE: &str = "kv";

/// The type and options of a new mount, older names replaced: `kv-v2` is `kv` of version 2, and
/// `generic` is `kv` from before there were versions.
pub(crate) fn resolve_new_mount(
    mount_type: String,
    mut options: MountOptions,
) -> Result<(String, MountOptions), Error> {
    let version = match mount_type.as_str() {
        "kv-v1" => "1",
        "kv-v2" => "2",
        "generic" => {
            if options.as_ref().is_some_and(|options| options.contains_key(VERSION_OPTION)) {
                let text = "secrets engine \"generic\" does not allow setting a version";
                return Err(Error::invalid(text));
            }
            return Ok((KV_TYPE.to_owned(), options));
        }
        KV_TYPE => {
            let given = options.as_ref().and_then(|options| options.get(VERSION_OPTION));
            // An empty one is what a mount without the option has.
            if let Some(text) = given.filter(|text| !text.is_empty()) {
                parse_version(text)?;
            }
            return Ok((mount_type, options));
        }
        _ => return Ok((mount_type, options)),
    };
    options.get_or_insert_default().insert(VERSION_OPTION.to_owned(), version.to_owned());
    Ok((KV_TYPE.to_owned(), options))
}

/// What a new mount can be called.
pub(super) struct MountTypeAliases {
    /// The types that come to the same mount; none for one that isn't KV.
    pub(super) types: &'static [&'static str],
    /// The version that the type has in its name.
    pub(super) version: Option<String>,
}

/// What a new mount of this type and these options can be called, for the conditions of policies.
pub(super) fn mount_type_aliases(
    mount_type: String,
    options: BTreeMap<String, String>,
) -> Result<MountTypeAliases, Error> {
    let named = matches!(mount_type.as_str(), "kv-v1" | "kv-v2");
    let (made, options) = resolve_new_mount(mount_type, Some(options))?;
    let version = options.and_then(|mut options| options.remove(VERSION_OPTION));
    let types: &[&str] = match version.as_deref() {
        _ if made != KV_TYPE => &[],
        Some("2") => &[KV_TYPE, "kv-v2"],
        _ => &[KV_TYPE, "kv-v1", "generic"],
    };
    Ok(MountTypeAliases { types, version: version.filter(|_| named) })
}

/// What to tell about new options of a mount: they make version 2 of a version 1, and the mount has to
/// be opened anew. There is no way back.
pub(crate) fn upgrade_warning(
    entry: &MountEntry,
    given: &BTreeMap<String, String>,
) -> Result<Option<String>, Error> {
    let Some(text) = given.get(VERSION_OPTION).filter(|_| entry.mount_type == KV_TYPE) else {
        return Ok(None);
    };
    let now = entry.options.as_ref().and_then(|options| options.get(VERSION_OPTION));
    let now = now.and_then(|text| text.parse().ok()).unwrap_or(1_u8);
    let wanted = parse_version(text)?;
    if wanted < now {
        return Err(Error::invalid(format!("cannot downgrade mount from version {now}")));
    }
    Ok((wanted > now).then(|| {
        format!(
            "the mount is being upgraded from version {now} to version {wanted}: requests to it are \
             answered again as soon as that is done"
        )
    }))
}

fn parse_version(text: &str) -> Result<u8, Error> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(Error::invalid("invalid version provided: it is 1 or 2")),
    }
}
