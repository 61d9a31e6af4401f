//! The checks of a blueprint's declarations, which run when an engine is opened.

use strongroom_engine::{EngineError, MountKind};
use strongroom_schema::field::FieldSpec;
use strongroom_schema::pattern::RoutePattern;

use super::Blueprint;
use super::route::{Route, RouteTarget};
use crate::leased_credential::ErasedCredential;
use crate::required_document::RequiredDocumentSpec;

impl Blueprint {
    /// Rejects declarations that hide each other or use paths reserved by the SDK.
    pub(crate) fn check_declarations(&self) -> Result<(), EngineError> {
        let refused = |reason: String| Err(EngineError::internal(reason));
        if let Some(fault) = self.lifecycle.declaration_error() {
            return refused(fault);
        }
        for (index, route) in self.routes.iter().enumerate() {
            let (path, special) = (route.pattern.as_str(), route.pattern.to_special_path());
            let (before, after) =
                (self.routes.iter().take(index), self.routes.iter().skip(index + 1));
            if after.clone().any(|other| other.pattern.to_special_path() == special) {
                return refused(format!("the path {path:?} is declared twice"));
            }
            let example = route.pattern.example_path();
            if let Some(hiding) = before.clone().find(|b| b.pattern.match_path(&example).is_some())
            {
                let hiding = hiding.pattern.as_str();
                return refused(format!("the path {path:?} is hidden by {hiding:?} before it"));
            }
            // Hosts go by patterns, in which a capture stands for any segment.
            let is_covered =
                |other: &&Route| route.pattern.match_path(&other.pattern.example_path()).is_some();
            if let (true, Some(covered)) = (route.takes_raw_body(), before.clone().find(is_covered))
            {
                let covered = covered.pattern.as_str();
                return refused(format!(
                    "the path {path:?} takes raw bodies, and hosts would leave those of {covered:?} \
                     unparsed too"
                ));
            }
            if let RouteTarget::Credential(credential) = &route.target
                && before.clone().any(|before| before.is_of_kind(credential.kind()))
            {
                let kind = credential.kind();
                return refused(format!("two credentials are of the kind {kind:?}"));
            }
            if self.has_credentials() && route.reaches_reserved_folders() {
                return refused(format!("documents at {path:?} could lie where intents are kept"));
            }
            if let Some(fault) = route.pattern.declaration_error() {
                return refused(format!("the path {path:?} is none: {fault}"));
            }
            if let Err(error) = route.check_defaults() {
                return refused(format!("a default at {path:?} can't be read: {error}"));
            }
            if let RouteTarget::Credential(credential) = &route.target {
                check_no_repeated_field(route, &**credential)?;
                let (configs, roles) = (credential.config_documents(), credential.role_documents());
                self.check_required_documents(route, configs, roles)?;
            }
            if let RouteTarget::DurableAction(action) = &route.target {
                let targets = action.target_documents();
                let captures = route.pattern.captures().count();
                if targets.iter().any(|target| target.capture_count() != captures) {
                    return refused(format!(
                        "the path {path:?} and the document that it changes have different captures"
                    ));
                }
                self.check_required_documents(route, Vec::new(), targets)?;
            }
        }
        if let Some(fault) = self.document_error() {
            return refused(fault);
        }
        self.check_kind()
    }

    /// Checks that secrets engines declare no logins, and auth methods at least one and no
    /// credentials.
    fn check_kind(&self) -> Result<(), EngineError> {
        let refused = |reason: &str| Err(EngineError::internal(reason));
        let has_logins =
            self.routes.iter().any(|route| matches!(route.target, RouteTarget::Login(_)));
        match self.kind {
            MountKind::Secret if has_logins => {
                refused("a secrets engine has no logins: see Blueprint::auth_method")
            }
            MountKind::Auth if !has_logins => refused("an auth method declares a login"),
            MountKind::Auth if self.has_credentials() => {
                refused("an auth method issues no credentials: see Blueprint::new")
            }
            MountKind::Secret | MountKind::Auth => Ok(()),
        }
    }

    /// Checks that the documents a credential or durable action requires can be written, and that
    /// the path captures the role's name. Otherwise every request would ask the user to write a
    /// document that has no path.
    fn check_required_documents(
        &self,
        of: &Route,
        configs: Vec<RequiredDocumentSpec>,
        roles: Vec<RequiredDocumentSpec>,
    ) -> Result<(), EngineError> {
        let refused = |reason: String| Err(EngineError::internal(reason));
        let at = of.pattern.as_str();
        if let Some(config) = configs.iter().find(|config| config.capture_count() > 0) {
            let path = config.path;
            return refused(format!("the configuration of {at:?} is a collection: {path:?}"));
        }
        let captures = at.matches('{').count();
        if let Some(role) = roles.iter().find(|role| role.capture_count() > captures) {
            let path = role.path;
            return refused(format!("the path {at:?} doesn't name which of {path:?} is its role"));
        }
        for RequiredDocumentSpec { path, type_id } in configs.into_iter().chain(roles) {
            let special = RoutePattern::new(path).to_special_path();
            let declared =
                self.routes.iter().find(|route| route.pattern.to_special_path() == special);
            let fits = declared.is_some_and(|route| match &route.target {
                RouteTarget::Document(document) => document.type_id() == type_id,
                // The actions read and write it with the store of documents.
                RouteTarget::Actions(actions) => {
                    let mut internal = self.internal_documents.iter();
                    actions.write.is_some()
                        && internal.any(|internal| internal.document.type_id() == type_id)
                }
                RouteTarget::FreeForm(_)
                | RouteTarget::Credential(_)
                | RouteTarget::Login(_)
                | RouteTarget::DurableAction(_) => false,
            });
            if !fits {
                return refused(format!(
                    "the document at {path:?}, which {at:?} needs, is not declared: see \
                     Blueprint::document, and internal_document for one that a resource writes"
                ));
            }
        }
        Ok(())
    }
}

/// Checks that a credential's input doesn't declare a field of the lifetime once more.
fn check_no_repeated_field(
    of: &Route,
    credential: &dyn ErasedCredential,
) -> Result<(), EngineError> {
    let (path, fields) = (of.pattern.as_str(), credential.fields());
    let is_repeated = |(index, spec): (usize, &&FieldSpec)| {
        fields.iter().take(index).any(|earlier| earlier.name == spec.name)
    };
    match fields.iter().enumerate().find(|entry| is_repeated(*entry)) {
        Some((_, spec)) => Err(EngineError::internal(format!(
            "the input at {path:?} declares {:?}, which Credential::CLIENT_SETS_LIFETIME adds",
            spec.name
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Response;
    use crate::{Context, Error};

    async fn no_content_action(_: Context, (): ()) -> Result<Response, Error> {
        Ok(Response::no_content())
    }

    fn declaration_error(blueprint: &Blueprint) -> String {
        blueprint.check_declarations().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_raw_body_path_covers_no_other_path() {
        let raw =
            |_: Context, (): (), _: crate::RawRequestBody| async { Ok(Response::no_content()) };
        let new = || Blueprint::new("test", "1.0.0");
        let covered = new().write("a/special", "", no_content_action).raw_body("a/{x}", "", raw);
        assert_eq!(
            declaration_error(&covered),
            "the path \"a/{x}\" takes raw bodies, and hosts would leave those of \"a/special\" \
             unparsed too"
        );
        let apart = new().write("b/special", "", no_content_action).raw_body("a/{x}", "", raw);
        assert_eq!(declaration_error(&apart), "");
        // The write declared last counts, with its form.
        let again = apart.write("a/{x}", "", no_content_action);
        assert!(again.description().special_paths.binary.is_empty());
        assert_eq!(again.raw_body("a/{x}", "", raw).description().special_paths.binary, ["a/+"]);
    }

    #[test]
    fn declarations_that_hide_each_other_are_refused() {
        let new = || Blueprint::new("test", "1.0.0");
        let twice =
            new().read("a/{x}", "", no_content_action).write("a/{y}", "", no_content_action);
        assert_eq!(declaration_error(&twice), "the path \"a/{x}\" is declared twice");
        let hidden =
            new().read("a/{x}", "", no_content_action).read("a/special", "", no_content_action);
        assert_eq!(
            declaration_error(&hidden),
            "the path \"a/special\" is hidden by \"a/{x}\" before it"
        );
        let fine =
            new().read("a/special", "", no_content_action).read("a/{x}", "", no_content_action);
        assert_eq!(declaration_error(&fine), "");
        let both = new().read("a", "", no_content_action).write("a", "", no_content_action);
        assert_eq!(declaration_error(&both), "");
    }
}
