//! Variants of credentials: input from the client, a role from one of two documents, secrets in the
//! receipt, and outside systems that can't find or revoke what they issued.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_sdk::testing::{Harness, TestHost, Transport, json};
use strongroom_sdk::{
    Blueprint, Credential, Document, DurationSecs, EitherDocument, EndsAlone, EndsByItself, Error,
    Identifier, Input, IntegerList, IssueOperation, IssueRequest, IssuedCredential, Lifetime,
    NameFormat, Receipt, Renew, RenewRequest, Renewable, RenewedCredential, ResponseData,
    RevokeContext, RevokeOutcome, Sealed, Secret, Ttl,
};

/// Tokens that the outside system revokes only if it receives them, and ends by itself.
#[derive(Clone, Default)]
struct TokenSystem(Arc<Mutex<TokenSystemState>>);

#[derive(Default)]
struct TokenSystemState {
    live_tokens: BTreeSet<String>,
    issued_names: Vec<String>,
    can_revoke: bool,
    answers: bool,
}

impl TokenSystem {
    fn new() -> Self {
        let system = Self::default();
        system.lock().can_revoke = true;
        system.lock().answers = true;
        system
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TokenSystemState> {
        self.0.lock().unwrap()
    }

    fn live_tokens(&self) -> BTreeSet<String> {
        self.lock().live_tokens.clone()
    }

    fn blueprint(&self) -> Blueprint {
        Blueprint::new("tokens", "1.0.0")
            .outside_system("token system")
            .help("Tokens with parameters.")
            .document::<UsualScope>()
            .document::<UserScope>()
            .credential(ScopedToken(self.clone()))
    }
}

/// The scope of the tokens of one user of a project.
#[derive(Document)]
#[document(path = "scopes/{project}/{user}")]
struct UserScope {
    /// What the tokens may do.
    scope: String,
    /// Lifetime until the first renewal.
    #[field(default = "10m")]
    ttl: DurationSecs,
    /// Maximum lifetime.
    #[field(default = "30m")]
    max_ttl: DurationSecs,
}

/// The scope for users without a scope of their own.
#[derive(Document)]
#[document(path = "config/scope")]
struct UsualScope {
    /// What the tokens may do.
    scope: String,
}

/// What a client chooses.
#[derive(Input)]
struct TokenParameters {
    /// The repositories of the token.
    repositories: IntegerList,
    /// A comment.
    #[field(default = "none")]
    comment: String,
}

#[derive(ResponseData)]
struct ScopedTokenResponse {
    token: Secret<String>,
    scope: String,
    comment: String,
}

#[derive(Receipt)]
struct ScopedTokenReceipt {
    token: Sealed,
    generation: u32,
    comment: Option<Identifier>,
}

struct ScopedToken(TokenSystem);

const LIFE: Ttl = Ttl::from_secs(3600);

impl Credential for ScopedToken {
    const KIND: &'static str = "scoped";
    const PATH: &'static str = "tokens/{project}/{user}";
    const HELP: &'static str = "Issues a token.";
    const ISSUED_BY: IssueOperation = IssueOperation::ReadOrWrite;
    const CLIENT_SETS_LIFETIME: bool = true;
    type Config = ();
    type Role = EitherDocument<UserScope, UsualScope>;
    type Input = TokenParameters;
    type Response = ScopedTokenResponse;
    type Receipt = ScopedTokenReceipt;
    type Renewal = Renewable;
    type Undo = EndsAlone;

    fn lifetime(role: &Self::Role) -> Lifetime {
        match role {
            EitherDocument::First(user) => Lifetime { ttl: user.ttl.0, max_ttl: user.max_ttl.0 },
            EitherDocument::Second(_) => Lifetime::default(),
        }
    }

    fn name_format((): &(), _: &Self::Role) -> NameFormat {
        NameFormat::default().prefix("acme").separator('_').lower_case()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let scope = match order.role {
            EitherDocument::First(user) => &user.scope,
            EitherDocument::Second(usual) => &usual.scope,
        };
        let token = Secret::new(format!("t0ken-{}", order.name.fit(0)));
        let mut state = self.0.lock();
        state.live_tokens.insert(token.expose_secret().clone());
        state.issued_names.push(order.name.to_string());
        if !state.answers {
            return Err(Error::unanswered("token system", "POST /tokens", "connection lost"));
        }
        let receipt = ScopedTokenReceipt {
            token: Sealed::copy_of(&token),
            generation: 1,
            comment: Identifier::parse(&order.input.comment),
        };
        let TokenParameters { repositories, comment } = order.input;
        let comment = format!("{comment} for {} in {:?}", order.role_name, repositories.0);
        let answer = ScopedTokenResponse { token, scope: scope.clone(), comment };
        Ok(IssuedCredential::new(answer, receipt))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        receipt: &ScopedTokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let mut state = self.0.lock();
        if !state.can_revoke {
            return Ok(RevokeOutcome::LeftToExpire);
        }
        match state.live_tokens.remove(receipt.token.secret().expose_secret()) {
            true => Ok(RevokeOutcome::Now),
            false => Ok(RevokeOutcome::AlreadyGone),
        }
    }
}

impl EndsByItself for ScopedToken {
    fn longest_life((): &(), _: &Self::Role) -> Ttl {
        LIFE
    }
}

impl Renew for ScopedToken {
    /// The outside system exchanges the token for another one.
    async fn renew(
        &self,
        _: &RenewRequest<'_, Self>,
        receipt: &ScopedTokenReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        let before = receipt.token.secret().expose_secret();
        let after = Secret::new(format!("{before}+"));
        let mut state = self.0.lock();
        if !state.live_tokens.remove(before) {
            return Err(Error::user("the token no longer exists"));
        }
        state.live_tokens.insert(after.expose_secret().clone());
        let generation = receipt.generation + 1;
        let comment = receipt.comment.clone();
        let receipt = ScopedTokenReceipt { token: Sealed::new(after), generation, comment };
        Ok(RenewedCredential::unchanged()
            .with_receipt(receipt)
            .ends_within(LIFE)
            .warn(format!("generation {generation}")))
    }
}

async fn run(body: impl AsyncFn(TestHost, TokenSystem)) {
    for transport in [Transport::Linked, Transport::Wire, Transport::Foreign] {
        let system = TokenSystem::new();
        Harness::run_one(system.blueprint(), transport, |host| body(host, system)).await;
    }
}

#[tokio::test]
async fn a_client_sends_parameters_by_write_or_in_the_query_of_a_read() {
    run(async |host, _| {
        host.write("config/scope", json!({ "scope": "all" })).await.unwrap();
        let body = json!({ "repositories": "3,4", "comment": "ci" });
        let by_write = host.write("tokens/web/ann", body).await.unwrap();
        assert_eq!(by_write.text("comment"), "ci for web in [3, 4]");
        assert_eq!(by_write.text("scope"), "all");
        let query = json!({ "comment": "nightly" }).to_string();
        let by_read = host.send(strongroom_sdk::Operation::Read, "tokens/web/ann", &query).await;
        assert_eq!(by_read.unwrap().text("comment"), "nightly for web in []");
        let wrong = host.write("tokens/web/ann", json!({ "repositories": "x" })).await.unwrap_err();
        assert!(wrong.message.contains("repositories"), "{}", wrong.message);
        assert_eq!(host.leases().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_role_is_read_from_the_first_of_two_documents_that_exists() {
    run(async |host, _| {
        let missing = host.read("tokens/web/ann").await.unwrap_err();
        assert!(missing.message.contains("config/scope"), "{}", missing.message);
        host.write("config/scope", json!({ "scope": "usual" })).await.unwrap();
        host.write("scopes/web/ann", json!({ "scope": "own" })).await.unwrap();
        assert_eq!(host.read("tokens/web/ann").await.unwrap().text("scope"), "own");
        assert_eq!(host.read("tokens/web/bob").await.unwrap().text("scope"), "usual");
        assert_eq!(host.read("tokens/api/ann").await.unwrap().text("scope"), "usual");
    })
    .await;
}

#[tokio::test]
async fn a_client_chooses_a_lifetime_within_that_of_the_role() {
    run(async |host, _| {
        host.write("scopes/web/ann", json!({ "scope": "own" })).await.unwrap();
        let lease = |body| async {
            let got = host.write("tokens/web/ann", body).await.unwrap();
            (got.lease.unwrap(), got.warnings)
        };
        let (usual, _) = lease(json!({})).await;
        assert_eq!((usual.ttl, usual.max_ttl), (Ttl::from_secs(600), Ttl::from_secs(1800)));
        let (shorter, _) = lease(json!({ "ttl": "1m", "max_ttl": "2m" })).await;
        assert_eq!((shorter.ttl, shorter.max_ttl), (Ttl::from_secs(60), Ttl::from_secs(120)));
        let (longer, warnings) = lease(json!({ "ttl": "2h", "max_ttl": "3h" })).await;
        assert_eq!((longer.ttl, longer.max_ttl), (Ttl::from_secs(1800), Ttl::from_secs(1800)));
        assert!(warnings.iter().any(|warning| warning.contains("max_ttl of 3h")), "{warnings:?}");
        let wrong = host.write("tokens/web/ann", json!({ "ttl": "2m", "max_ttl": "1m" })).await;
        assert_eq!(wrong.unwrap_err().message, "ttl must not be longer than max_ttl");
        // What the client asked for applies to renewals as well.
        host.advance(Duration::from_secs(50)).await;
        let renewed = host.renew(&shorter.id, Ttl::ZERO).await.unwrap();
        assert_eq!(renewed.ttl, Ttl::from_secs(60));
        host.advance(Duration::from_secs(50)).await;
        let renewed = host.renew(&shorter.id, Ttl::from_secs(600)).await.unwrap();
        assert_eq!(renewed.ttl, Ttl::from_secs(20));
    })
    .await;
}

#[tokio::test]
async fn a_sealed_secret_revokes_the_credential_and_is_nowhere_else() {
    run(async |host, system| {
        host.write("config/scope", json!({ "scope": "all" })).await.unwrap();
        let got = host.read("tokens/web/ann").await.unwrap();
        let (token, lease) = (got.text("token"), got.lease.unwrap());
        assert!(lease.seal_wrap, "the lease is stored under the seal");
        assert!(lease.stored_data().contains(&token));
        for key in host.stored_keys() {
            let entry = host.stored_entry(&key).unwrap();
            assert!(!String::from_utf8_lossy(&entry.value).contains(&token), "{key}");
        }
        host.revoke(&lease.id).await.unwrap();
        assert!(system.live_tokens().is_empty());
        host.revoke_credential(&lease).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_renewal_replaces_the_receipt_and_warns() {
    run(async |host, system| {
        host.write("config/scope", json!({ "scope": "all" })).await.unwrap();
        let got = host.read("tokens/web/ann").await.unwrap();
        let lease = got.lease.unwrap();
        assert_eq!(lease.ttl, LIFE, "the outside system ends the token then");
        host.advance(Duration::from_secs(3000)).await;
        let renewed = host.renew(&lease.id, Ttl::from_secs(3600)).await.unwrap();
        assert_eq!(renewed.renewal_warnings, ["generation 2"]);
        assert!(renewed.seal_wrap && renewed.stored_data().contains("\"generation\":2"));
        assert_eq!(renewed.ttl, LIFE, "the exchange extended the token");
        host.revoke(&lease.id).await.unwrap();
        assert!(system.live_tokens().is_empty(), "the exchanged token was revoked");
    })
    .await;
}

#[tokio::test]
async fn a_credential_without_a_name_leaves_no_intent_and_no_orphan_beyond_its_end() {
    run(async |host, system| {
        host.write("config/scope", json!({ "scope": "all" })).await.unwrap();
        system.lock().answers = false;
        assert!(host.read("tokens/web/ann").await.is_err());
        assert_eq!(host.open_intents(), Vec::<String>::new());
        system.lock().answers = true;
        // The server can't write the lease: it revokes at once with what it was given.
        system.lock().live_tokens.clear();
        let got = host.read("tokens/web/ann").await.unwrap();
        host.revoke_credential(&got.lease.unwrap()).await.unwrap();
        assert!(system.live_tokens().is_empty());
        assert!(system.lock().issued_names.iter().all(|name| name.starts_with("acme_web_")));
    })
    .await;
}

#[tokio::test]
async fn a_credential_that_cannot_be_revoked_is_left_to_expire() {
    run(async |host, system| {
        host.write("config/scope", json!({ "scope": "all" })).await.unwrap();
        system.lock().can_revoke = false;
        let lease = host.read("tokens/web/ann").await.unwrap().lease.unwrap();
        host.revoke(&lease.id).await.unwrap();
        assert_eq!((host.leases().len(), system.live_tokens().len()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn an_input_that_declares_a_lifetime_once_more_is_refused() {
    let engine = Blueprint::new("twice", "1.0.0").help("Fields declared twice.");
    let engine = engine.document::<UsualScope>().document::<UserScope>();
    let error = super::declarations::open_error(engine.credential(TwiceDeclared)).await;
    assert!(error.contains("\"ttl\"") && error.contains("CLIENT_SETS_LIFETIME"), "{error}");
}

/// An input with a field that the SDK adds.
#[derive(Input)]
struct OwnLifetime {
    /// A lifetime.
    #[expect(dead_code, reason = "the engine isn't opened")]
    ttl: DurationSecs,
}

struct TwiceDeclared;

impl Credential for TwiceDeclared {
    const KIND: &'static str = "twice";
    const PATH: &'static str = "tokens/{project}/{user}";
    const HELP: &'static str = "Issues a token.";
    const CLIENT_SETS_LIFETIME: bool = true;
    type Config = ();
    type Role = ();
    type Input = OwnLifetime;
    type Response = ScopedTokenResponse;
    type Receipt = ScopedTokenReceipt;
    type Renewal = strongroom_sdk::NotRenewable;
    type Undo = EndsAlone;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        Err(Error::user("never"))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &ScopedTokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::AlreadyGone)
    }
}

impl EndsByItself for TwiceDeclared {
    fn longest_life((): &(), (): &()) -> Ttl {
        LIFE
    }
}
