//! Logins at an auth method, and the renewal of their tokens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use strongroom_engine::{
    CallerInfo, ConnectionInfo, EngineAuth, EngineRequest, LeaseContext, Operation,
};
use strongroom_types::{Fields, Ttl};

use super::host::parse_fields;
use super::{TestError, TestHost, TestResponse};

impl TestHost {
    /// Logs in at a path of an auth method, without a token and from this address.
    ///
    /// # Errors
    ///
    /// The method's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the body isn't a JSON object.
    pub async fn log_in_from(
        &self,
        address: IpAddr,
        path: &str,
        body: impl fmt::Display,
    ) -> Result<TestResponse, TestError> {
        let request = self.new_request(Operation::Update, path, parse_fields(body));
        let caller = CallerInfo { unauthenticated: true, ..CallerInfo::default() };
        let connection = Some(ConnectionInfo::new(address, 50_000));
        self.handle_request(EngineRequest { caller, connection, ..request }).await
    }

    /// Like [`TestHost::log_in_from`], from this machine.
    ///
    /// # Errors
    ///
    /// The method's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the body isn't a JSON object.
    pub async fn log_in(
        &self,
        path: &str,
        body: impl fmt::Display,
    ) -> Result<TestResponse, TestError> {
        self.log_in_from(IpAddr::V4(Ipv4Addr::LOCALHOST), path, body).await
    }

    /// Asks the method to renew the token of a login, and returns the login with its new terms.
    /// `path` is the path of the login.
    ///
    /// # Errors
    ///
    /// The method's error, as a client would receive it.
    pub async fn renew_login(
        &self,
        path: &str,
        login: &EngineAuth,
    ) -> Result<TestResponse, TestError> {
        let lease = LeaseContext {
            internal: login.internal.clone(),
            issued: self.now(),
            ttl: login.ttl,
            max_ttl: login.max_ttl,
            renewable: login.renewable,
            increment: Ttl::ZERO,
        };
        let request = self.new_request(Operation::Renew, path, Fields::new());
        let auth = Some(Box::new(login.clone()));
        let caller = CallerInfo::default();
        self.handle_request(EngineRequest { lease: Some(lease), auth, caller, ..request }).await
    }
}
