//! Certificates: only the right server is talked to.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_fakes::tls::{CertAndKey, FakeAuthority};
use strongroom_sdk::http::TlsSettings;
use strongroom_types::clock::ManualClock;

use super::misbehaving_server::{MisbehavingServer, respond};
use super::*;

/// A server's TLS settings, without client certificates.
pub(crate) fn server_config(identity: &CertAndKey) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

async fn start_server(identity: &CertAndKey) -> MisbehavingServer {
    MisbehavingServer::start_tls(server_config(identity), |_, _| respond("200 OK", "", "{}")).await
}

async fn failure(server: &MisbehavingServer, settings: TlsSettings<'_>) -> (String, bool) {
    let (http, clock) = (client(), ManualClock::default());
    let call = service(&http, &clock, &server.url).tls(settings).post("/x").send();
    let (text, effect) = reason(call.await.unwrap_err());
    assert!(server.requests().iter().all(String::is_empty));
    (text.trim_start_matches("POST /x got no answer: ").to_owned(), effect)
}

#[tokio::test]
async fn the_wrong_server_gets_no_request() {
    let (authority, other) = (FakeAuthority::new().unwrap(), FakeAuthority::new().unwrap());
    let (ca, other_ca) = (authority.cert_pem(), other.cert_pem());
    let refused = |text: &str| (text.to_owned(), false);
    let server = start_server(&authority.issue_certificate("127.0.0.1").unwrap()).await;
    let untrusted = refused("the server's certificate is of no accepted authority");
    assert_eq!(failure(&server, TlsSettings::new().ca_cert(&other_ca)).await, untrusted);
    let named = TlsSettings::new().ca_cert(&ca).server_name("other.test");
    let wrong_name = refused("the server's certificate is for another name");
    assert_eq!(failure(&server, named).await, wrong_name);

    let server = start_server(&authority.issue_certificate("service.test").unwrap()).await;
    assert_eq!(failure(&server, TlsSettings::new().ca_cert(&ca)).await, wrong_name);
    let (http, clock) = (client(), ManualClock::default());
    let named = TlsSettings::new().ca_cert(&ca).server_name("service.test");
    service(&http, &clock, &server.url).tls(named).get("/x").send().await.unwrap();

    // No TLS at all.
    let mut plain = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    plain.url = plain.url.replace("http:", "https:");
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, &plain.url).tls(TlsSettings::new().ca_cert(&ca));
    let call = service.attempt_time(secs(1)).post("/x").send();
    let error = while_time_passes(call, &clock, &plain, secs(1)).await.unwrap_err();
    assert!(!error.may_have_taken_effect());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
    let cert = params.self_signed(&key).unwrap().pem();
    let identity = CertAndKey { cert: cert.clone(), key: key.serialize_pem() };
    let server = start_server(&identity).await;
    let text = "the server's certificate has expired";
    assert_eq!(failure(&server, TlsSettings::new().ca_cert(&cert)).await, (text.to_owned(), false));
}

/// The way for a system with a self-signed certificate, instead of turning verification off.
#[tokio::test]
async fn a_self_signed_certificate_can_be_accepted_by_itself() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let identity = CertAndKey { cert: cert.clone(), key: key.serialize_pem() };
    let server = start_server(&identity).await;
    let (http, clock) = (client(), ManualClock::default());
    let trusting = service(&http, &clock, &server.url).tls(TlsSettings::new().ca_cert(&cert));
    trusting.get("/x").send().await.unwrap();
    let text = "the server's certificate is of no accepted authority";
    let ca = FakeAuthority::new().unwrap().cert_pem();
    let other = start_server(&identity).await;
    assert_eq!(failure(&other, TlsSettings::new().ca_cert(&ca)).await, (text.to_owned(), false));
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let authority = FakeAuthority::new().unwrap();
    let config = authority.server_config().unwrap();
    let server = MisbehavingServer::start_tls(config, |_, _| respond("200 OK", "", "{}")).await;
    let mine = authority.issue_certificate("strongroom").unwrap();
    let key = Secret::from_text(&mine.key);
    let ca = authority.cert_pem();
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, &server.url);
    let with = TlsSettings::new().ca_cert(&ca).client_cert(&mine.cert, Some(&key));
    service.clone().tls(with).get("/x").send().await.unwrap();
    // The connection of the certificate is not used for a call without it.
    service.clone().tls(TlsSettings::new().ca_cert(&ca)).get("/x").send().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn bad_settings_fail_the_call_before_it_is_sent() {
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, "https://127.0.0.1:1");
    let call = service.tls(TlsSettings::new().ca_cert("hunter2")).post("/x").send();
    let error = call.await.unwrap_err();
    assert!(!error.may_have_taken_effect());
    let text = "service: POST /x can't be sent: ca_cert is no certificate in PEM";
    assert_eq!(Error::from(error).to_string(), text);
}
