//! The two versions of the KV engine, selected by the mount option `version`, and the mount types
//! `kv-v1`, `kv-v2` and `generic`, which are aliases of `kv`.

use std::collections::BTreeMap;

use strongroom_core::error::Error;
use strongroom_mounts::MountEntry;

type MountOptions = Option<BTreeMap<String, String>>;

/// The mount option that selects the KV version; only mounts of type `kv` have it.
pub(super) const VERSION_OPTION: &str = "version";
const KV_TYPE: &str = "kv";

/// Resolves the aliases in the type of a new mount: `kv-v1` and `kv-v2` become `kv` with the option
/// `version` set, and `generic` becomes `kv` without it, which is version 1.
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
            // An empty version counts as absent.
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

/// The equivalent ways to write the type of a new mount.
pub(super) struct MountTypeAliases {
    /// Type names that create the same mount; empty if it isn't a KV mount.
    pub(super) types: &'static [&'static str],
    /// The version, if the requested type name implies one (`kv-v1`, `kv-v2`).
    pub(super) version: Option<String>,
}

/// All type names equivalent to this type and these options, so that policy conditions on one of
/// them apply to the others.
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

/// Checks new options of an existing mount. Returns a warning if they upgrade a KV mount from
/// version 1 to 2, which requires reopening its engine; refuses a downgrade.
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
            "the mount is being upgraded from version {now} to version {wanted}: requests to it \
             fail until the upgrade is complete"
        )
    }))
}

fn parse_version(text: &str) -> Result<u8, Error> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(Error::invalid("invalid version provided: must be 1 or 2")),
    }
}
