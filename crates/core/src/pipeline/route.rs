//! Finds the mount with the longest path that is a prefix of the request's, and how the mount's
//! backend authorizes the path.

use std::collections::BTreeMap;

use strongroom_mounts::MountRegistry;

use crate::path_access::{PathAccess, PolicyPath};
use crate::stages::{AdmittedRequest, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::Backends;

/// Routes a request. The result is boxed because it is moved from stage to stage.
pub fn route(core: &UnsealedCore, mut request: AdmittedRequest) -> Box<RoutedRequest> {
    let requested_wrap_ttl = request.wrap_ttl;
    // Capped before the policies are evaluated: their wrapping TTL bounds apply to the lifetime
    // that the token really gets.
    request.wrap_ttl = requested_wrap_ttl.map(|ttl| core.wrapping.cap_wrap_ttl(ttl));
    let table = core.mounts.table();
    let path = request.path.as_str();
    let (mounted, relative_path, access) = match table.longest_match(path) {
        Some((mounted, below)) => {
            let access = core.backends.backend_of(mounted);
            let access = access
                .map_or(PathAccess::UNKNOWN, |backend| backend.path_access(mounted, path, below));
            (Some(mounted.clone()), below.to_owned(), access)
        }
        None => (None, String::new(), PathAccess::UNKNOWN),
    };
    let headers = BTreeMap::new();
    Box::new(RoutedRequest { request, mounted, relative_path, access, requested_wrap_ttl, headers })
}

/// The form on which policies are evaluated for a path without a request to it, as in
/// `sys/capabilities`.
pub fn policy_path_for(mounts: &MountRegistry, backends: &Backends, path: &str) -> PolicyPath {
    let table = mounts.table();
    let longest_match = table.longest_match(path);
    longest_match.map_or(PolicyPath::MAY_FOLD, |(mounted, relative_path)| {
        backends.path_access(mounted, path, relative_path).policy_path
    })
}
