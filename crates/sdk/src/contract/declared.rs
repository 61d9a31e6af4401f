//! The checks of a [`Blueprint`], whose declarations say what to expect.

use strongroom_engine::{EngineDescription, EngineFactory, Existence, StatusKind};
use strongroom_schema::field::FieldSpec;
use strongroom_types::{ErrorKind, Fields};

use super::odd_input::OPERATIONS;
use super::{assert_absent, fetch_help};
use crate::blueprint::{Blueprint, Route, RouteTarget};
use crate::engine::Operation;
use crate::testing::TestHost;

pub(super) fn help_is_complete(engine: &Blueprint) {
    ensure!(!engine.engine_help().is_empty(), "the engine has no help: see Blueprint::help");
    for route in engine.routes() {
        let path = route.pattern.as_str();
        ensure!(!route.help.is_empty(), "{path} has no help: write a documentation comment");
        for FieldSpec { name, help, .. } in route.fields() {
            ensure!(!help.is_empty(), "the field {name:?} of {path} has no documentation comment");
        }
    }
}

pub(super) fn description_is_what_was_declared(host: &TestHost, engine: &Blueprint) {
    let EngineDescription {
        kind,
        version,
        special_paths: special,
        folded_paths: folded,
        exclusive,
        ..
    } = host.description();
    ensure!((kind, &version) == (engine.kind(), &engine.version()), "kind or version is another");
    ensure!(exclusive == engine.is_exclusive(), "`exclusive` got lost on the way");
    ensure!(folded == engine.folded_paths(), "the folded paths got lost on the way: {folded:?}");
    for route in engine.routes() {
        let (path, example) = (route.pattern.as_str(), route.pattern.example_path());
        let lists = [
            ("unauthenticated", route.unauthenticated, &special.unauthenticated),
            ("root", route.root, &special.root),
        ];
        for (name, declared, list) in lists {
            let is_special = list.iter().any(|special| special_path_covers(special, &example));
            ensure!(
                declared == is_special,
                "{path} is declared {name}: {declared}, said: {list:?}"
            );
        }
    }
}

pub(super) async fn help_covers_every_path(host: &TestHost, engine: &Blueprint) {
    let whole = fetch_help(host, "").await;
    for route in engine.routes() {
        let path = route.pattern.as_str();
        ensure!(whole.contains(path), "the engine's help doesn't name {path}");
        let help = fetch_help(host, &route.pattern.example_path()).await;
        ensure!(
            help.contains(path) && help.contains(route.help),
            "the help of {path} is another's"
        );
        for FieldSpec { name, .. } in route.fields() {
            ensure!(help.contains(name), "the help of {path} doesn't name the field {name:?}");
        }
    }
}

pub(super) async fn unknown_paths_are_unsupported(host: &TestHost, engine: &Blueprint) {
    let unknown =
        |path: &&str| engine.routes().iter().all(|r| r.pattern.match_path(path).is_none());
    let candidates = ["no-such-path", "no-such/path", "no/such/path/at-all"];
    // An engine that accepts any path has no unknown path.
    let Some(path) = candidates.into_iter().find(unknown) else { return };
    let text = StatusKind::UnsupportedPath.as_str();
    for operation in OPERATIONS.into_iter().filter(|operation| is_routed_by_path(*operation)) {
        let refused = host.send(operation, path, "{}").await.err();
        if let Some(hint) = engine.unknown_path_hint(operation, path) {
            let is_so = refused.as_ref().is_some_and(|refused| {
                refused.kind == ErrorKind::NotFound && refused.warnings == [hint.clone()]
            });
            ensure!(is_so, "{operation} of the unknown {path}: {refused:?}, not the hint {hint:?}");
            continue;
        }
        let is_so = refused.as_ref().is_some_and(|refused| refused.message == text);
        ensure!(is_so, "{operation} of the unknown {path}: {refused:?}, not {text:?}");
    }
    let refused = host.exists(path).await.err();
    ensure!(refused.is_some_and(|refused| refused.message == text), "{path} may exist");
}

pub(super) async fn documents_exist_when_they_are_there(
    host: &TestHost,
    engine: &Blueprint,
    samples: &[(&str, &str)],
) {
    for route in engine.routes() {
        let stores = matches!(route.target, RouteTarget::Document(_) | RouteTarget::FreeForm(_));
        let has_sample = samples.iter().any(|(path, _)| route.pattern.match_path(path).is_some());
        ensure!(!stores || has_sample, "there is no sample for {}", route.pattern.as_str());
    }
    let of_documents =
        |(path, _): &&(&str, &str)| !engine.routes().iter().any(|r| is_resource(r, path));
    for (path, body) in samples.iter().filter(of_documents) {
        assert_absent(host, path).await;
        for round in ["create", "update"] {
            let written = host.write(path, body).await;
            ensure!(written.is_ok(), "the {round} of {path} failed: {:?}", written.err());
        }
        ensure!(host.exists(path).await == Ok(Existence::Exists), "{path} was written, and isn't");
        let Ok(got) = host.read(path).await else { panic!("{path} exists, and can't be read") };
        let route = engine.routes().iter().find(|route| route.pattern.match_path(path).is_some());
        let Some(route) = route else { panic!("the sample {path} is of no declared path") };
        secrets_are_not_exposed(host, route, path, body, &got.data_json());
        if let Some((folder, name)) = path.rsplit_once('/')
            && route.pattern.list_folder().is_some()
        {
            let names = host.list(folder).await.unwrap_or_default();
            ensure!(names.iter().any(|listed| listed == name), "{folder} doesn't list {name:?}");
        }
    }
    for (path, _) in samples.iter().rev().filter(of_documents) {
        ensure!(host.delete(path).await.is_ok(), "{path} can't be deleted");
        assert_absent(host, path).await;
        ensure!(host.delete(path).await.is_ok(), "{path} can't be deleted twice");
    }
    ensure!(host.stored_keys().is_empty(), "something stays stored: {:?}", host.stored_keys());
}

/// A resource may keep any data, even after a delete; but its existence check must find what was
/// written.
pub(super) async fn resources_exist_when_they_are_there(
    host: &TestHost,
    engine: &Blueprint,
    samples: &[(&str, &str)],
) {
    for route in engine.routes() {
        let path = route.pattern.as_str();
        let creates = matches!(&route.target, RouteTarget::Actions(it) if it.exists.is_some() && it.write.is_some());
        let sample = samples.iter().find(|(path, _)| is_resource(route, path));
        ensure!(!creates || sample.is_some(), "there is no sample for {path}");
        let Some((path, body)) = sample.filter(|_| creates) else { continue };
        ensure!(
            host.exists(path).await == Ok(Existence::Absent),
            "{path} exists without being there"
        );
        let written = host.write(path, body).await;
        ensure!(written.is_ok(), "the create of {path} failed: {:?}", written.err());
        ensure!(host.exists(path).await == Ok(Existence::Exists), "{path} was written, and isn't");
    }
}

fn is_resource(route: &Route, path: &str) -> bool {
    let is = matches!(&route.target, RouteTarget::Actions(actions) if actions.exists.is_some());
    is && route.pattern.match_path(path).is_some()
}

fn secrets_are_not_exposed(host: &TestHost, route: &Route, path: &str, body: &str, shown: &str) {
    let sent = Fields::from_trusted(body.as_bytes()).unwrap_or_default();
    for spec in route.fields().into_iter().filter(|spec| spec.secret) {
        let secret = sent.text(spec.name).unwrap_or_default();
        let leaks = !secret.is_empty() && shown.contains(&secret);
        ensure!(!leaks, "{path} shows the secret {:?}", spec.name);
    }
    if let RouteTarget::Document(document) = &route.target
        && document.seal_wrap()
    {
        let (special, key) =
            (host.description().special_paths.seal_wrap_storage, document.storage_key(path));
        let stored = host.stored_entry(&key);
        ensure!(stored.is_some_and(|s| s.seal_wrap), "{path} isn't stored under the seal");
        let said = special.iter().any(|special| key.starts_with(special.as_str()));
        ensure!(said, "{path} is under the seal, and not among {special:?}");
    }
}

/// Help on an unknown path is "not found"; renewals and revocations are routed by the lease.
fn is_routed_by_path(operation: Operation) -> bool {
    !matches!(operation, Operation::Help | Operation::Renew | Operation::Revoke)
}

/// Whether a special path matches a path.
fn special_path_covers(special: &str, path: &str) -> bool {
    let (body, open) = match special.strip_suffix('*') {
        Some(body) => (body, true),
        None => (special, false),
    };
    let (wanted, given): (Vec<_>, Vec<_>) = (body.split('/').collect(), path.split('/').collect());
    if given.len() < wanted.len() || (!open && given.len() > wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    wanted.iter().zip(given).enumerate().all(|(index, (wanted, given))| match *wanted {
        "+" => true,
        wanted if open && index == last => given.starts_with(wanted),
        wanted => wanted == given,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_paths_cover_what_servers_take_them_for() {
        for (special, path) in
            [("a", "a"), ("a/+", "a/b"), ("a/*", "a/b/c"), ("a*", "abc"), ("+/b/*", "x/b/c")]
        {
            assert!(special_path_covers(special, path), "{special} {path}");
        }
        for (special, path) in [("a", "a/b"), ("a/+", "a/b/c"), ("a/*", "b/c"), ("+", "a/b")] {
            assert!(!special_path_covers(special, path), "{special} {path}");
        }
    }
}
