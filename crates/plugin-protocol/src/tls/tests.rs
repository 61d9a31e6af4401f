use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConnection, Error, HandshakeKind, ProtocolVersion,
    RootCertStore, ServerConnection,
};
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;
use strongroom_types::{Clock, Secret};

use super::*;

fn test_identity() -> TlsIdentity {
    TlsIdentity::generate(&ManualClock::default(), &SeededEntropy::new(1)).unwrap()
}

/// A certificate like those that Go's plug-ins and hosts generate.
fn go_identity() -> TlsIdentity {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let mut params = CertificateParams::new([SERVER_NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyAgreement,
        KeyUsagePurpose::KeyCertSign,
    ];
    TlsIdentity::from_key_pair(&params.self_signed(&key).unwrap(), key).unwrap()
}

/// A certificate for both sides, as Go's hosts of versions 3 and 4 generate it, and its key in SEC
/// 1 form.
fn shared_identity(
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> (CertificateDer<'static>, Secret<Vec<u8>>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let name = "0b6ab2f5-9d4c-4bb4-a9c5-5a4c3f8f2f10";
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (certificate, Secret::new(sec1_from_pkcs8(&key.serialize_der())))
}

/// Extracts the key from PKCS#8 and adds the curve, which PKCS#8 stores outside of it.
fn sec1_from_pkcs8(pkcs8: &[u8]) -> Vec<u8> {
    let (_, key, _) = der_element(pkcs8);
    let (_, _version, rest) = der_element(key);
    let (_, algorithm, rest) = der_element(rest);
    let (_, _kind, curve) = der_element(algorithm);
    let (_, octets, _) = der_element(rest);
    let (_, inner, _) = der_element(octets);
    let (_, _version, rest) = der_element(inner);
    let (_, private, public) = der_element(rest);
    let parts = [
        der_encode(0x02, &[1]),
        der_encode(0x04, private),
        der_encode(0xa0, curve),
        public.to_vec(),
    ]
    .concat();
    der_encode(0x30, &parts)
}

/// The tag and content of the first element, and the remaining bytes.
fn der_element(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, start) = match bytes[1] {
        0x81 => (usize::from(bytes[2]), 3),
        0x82 => (usize::from(bytes[2]) << 8 | usize::from(bytes[3]), 4),
        short => (usize::from(short), 2),
    };
    (bytes[0], &bytes[start..start + length], &bytes[start + length..])
}

fn der_encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, content.to_vec()].concat()
}

/// A process that read the certificate from the environment, and has another key.
fn impostor(of: &TlsIdentity) -> TlsIdentity {
    of.with_key_of(&test_identity())
}

/// The outcome of a handshake for one side.
#[derive(Debug, PartialEq)]
enum HandshakeOutcome {
    Connected,
    /// The handshake succeeded, but the first read failed with this.
    FailedAfter(Error),
    Failed(Error),
}

/// Transfers bytes between both sides until neither has more to send.
fn run_handshake(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> (HandshakeOutcome, HandshakeOutcome) {
    let (mut client_side, mut server_side) =
        (HandshakeOutcome::Connected, HandshakeOutcome::Connected);
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && server_side == HandshakeOutcome::Connected {
            let established = !server.is_handshaking();
            server.read_tls(&mut rest).unwrap();
            if let Err(error) = server.process_new_packets() {
                server_side = if established {
                    HandshakeOutcome::FailedAfter(error)
                } else {
                    HandshakeOutcome::Failed(error)
                };
            }
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && client_side == HandshakeOutcome::Connected {
            let established = !client.is_handshaking();
            client.read_tls(&mut rest).unwrap();
            if let Err(error) = client.process_new_packets() {
                client_side = if established {
                    HandshakeOutcome::FailedAfter(error)
                } else {
                    HandshakeOutcome::Failed(error)
                };
            }
        }
        wire.clear();
    }
    (client_side, server_side)
}

fn client_and_server(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (ClientConnection, ServerConnection) {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    (ClientConnection::new(client, name).unwrap(), ServerConnection::new(server).unwrap())
}

/// The client expects `pinned_server`, the server expects `pinned_client`.
fn handshake_pinned(
    (client, pinned_server): (&TlsIdentity, &TlsIdentity),
    (server, pinned_client): (&TlsIdentity, &TlsIdentity),
    version: &'static SupportedProtocolVersion,
) -> (HandshakeOutcome, HandshakeOutcome) {
    let client = client_config_for(client, pinned_server.certificate(), &[version]).unwrap();
    let server = server_config_for(server, pinned_client.certificate(), &[version]).unwrap();
    let (mut client, mut server) = client_and_server(client, server);
    run_handshake(&mut client, &mut server)
}

const WRONG_PIN: Error =
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

#[test]
fn both_sides_agree_on_http2_and_tls13() {
    let (host, plugin) = (test_identity(), test_identity());
    let (mut client, mut server) = client_and_server(
        client_config(&host, plugin.certificate()).unwrap(),
        server_config(&plugin, host.certificate()).unwrap(),
    );
    assert_eq!(
        run_handshake(&mut client, &mut server),
        (HandshakeOutcome::Connected, HandshakeOutcome::Connected)
    );
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(server.peer_certificates(), Some(&[host.certificate()][..]));
    assert_eq!(client.peer_certificates(), Some(&[plugin.certificate()][..]));
}

#[test]
fn certificates_as_go_makes_them_are_accepted_in_both_roles() {
    let (ours, go) = (test_identity(), go_identity());
    for version in [&TLS12, &TLS13] {
        let connected = (HandshakeOutcome::Connected, HandshakeOutcome::Connected);
        assert_eq!(handshake_pinned((&ours, &go), (&go, &ours), version), connected);
        assert_eq!(handshake_pinned((&go, &ours), (&ours, &go), version), connected);
    }
}

#[test]
fn another_server_is_refused_in_the_handshake() {
    let (host, plugin, other) = (test_identity(), test_identity(), test_identity());
    for version in [&TLS12, &TLS13] {
        let (client, server) = handshake_pinned((&host, &other), (&plugin, &host), version);
        assert_eq!(client, HandshakeOutcome::Failed(WRONG_PIN));
        assert!(matches!(server, HandshakeOutcome::Failed(Error::AlertReceived(_))), "{server:?}");
    }
}

#[test]
fn another_client_is_refused_and_learns_it_at_its_first_read() {
    let (host, plugin, other) = (test_identity(), test_identity(), test_identity());
    let (client, server) = handshake_pinned((&other, &plugin), (&plugin, &host), &TLS13);
    assert_eq!(server, HandshakeOutcome::Failed(WRONG_PIN));
    // The client's handshake was complete before the server had checked its certificate.
    assert!(matches!(client, HandshakeOutcome::FailedAfter(Error::AlertReceived(_))), "{client:?}");
    let (_, server) = handshake_pinned((&other, &plugin), (&plugin, &host), &TLS12);
    assert_eq!(server, HandshakeOutcome::Failed(WRONG_PIN));
}

#[test]
fn the_certificate_without_its_key_is_worth_nothing() {
    let (host, plugin) = (test_identity(), test_identity());
    let bad = HandshakeOutcome::Failed(Error::InvalidCertificate(CertificateError::BadSignature));
    for version in [&TLS12, &TLS13] {
        let (client, _) = handshake_pinned((&host, &plugin), (&impostor(&plugin), &host), version);
        assert_eq!(client, bad, "a server with somebody else's certificate");
        let (_, server) = handshake_pinned((&impostor(&host), &plugin), (&plugin, &host), version);
        assert_eq!(server, bad, "a client with somebody else's certificate");
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (host, plugin) = (test_identity(), test_identity());
    let client = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedPeer::new(
            plugin.certificate(),
            &crypto_provider(),
        )))
        .with_no_client_auth();
    let mut client = client;
    client.alpn_protocols = vec![ALPN.to_vec()];
    let server = server_config(&plugin, host.certificate()).unwrap();
    let (mut client, mut server) = client_and_server(Arc::new(client), server);
    let (_, server) = run_handshake(&mut client, &mut server);
    assert_eq!(server, HandshakeOutcome::Failed(Error::NoCertificatesPresented));
}

#[test]
fn a_chain_is_refused() {
    let (host, plugin) = (test_identity(), test_identity());
    let mut chain = plugin.certified_key();
    chain.cert.push(host.certificate());
    let mut server = (*server_config(&plugin, host.certificate()).unwrap()).clone();
    server.cert_resolver = Arc::new(SingleCertAndKey::from(chain));
    let client = client_config(&host, plugin.certificate()).unwrap();
    let (mut client, mut server) = client_and_server(client, Arc::new(server));
    assert_eq!(run_handshake(&mut client, &mut server).0, HandshakeOutcome::Failed(WRONG_PIN));
}

#[test]
fn no_session_is_resumed() {
    let (host, plugin) = (test_identity(), test_identity());
    for version in [&TLS12, &TLS13] {
        let config = client_config_for(&host, plugin.certificate(), &[version]).unwrap();
        let mut eager = (*config).clone();
        eager.resumption = rustls::client::Resumption::default();
        let eager = Arc::new(eager);
        let server = server_config_for(&plugin, host.certificate(), &[version]).unwrap();
        for _ in 0..2 {
            let (mut client, mut server) = client_and_server(eager.clone(), server.clone());
            run_handshake(&mut client, &mut server);
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn a_peer_without_http2_is_refused() {
    let (host, plugin) = (test_identity(), test_identity());
    let mut client = (*client_config(&host, plugin.certificate()).unwrap()).clone();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let server = server_config(&plugin, host.certificate()).unwrap();
    let (mut client, mut server) = client_and_server(Arc::new(client), server);
    let (client, _) = run_handshake(&mut client, &mut server);
    assert_eq!(
        client,
        HandshakeOutcome::Failed(Error::AlertReceived(AlertDescription::NoApplicationProtocol))
    );
}

/// Go checks our certificate by the usual rules, with the certificate itself as the root.
#[test]
fn the_certificate_keeps_the_rules_that_go_checks() {
    let clock = ManualClock::default();
    let certificate = test_identity().certificate();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let roots = Arc::new(roots);
    let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), crypto_provider());
    let server = server.build().unwrap();
    let client =
        WebPkiClientVerifier::builder_with_provider(roots, crypto_provider()).build().unwrap();
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let year = 365 * 24 * 60 * 60;
    for (offset, good) in
        [(-31, false), (-30, true), (0, true), (29 * year, true), (31 * year, false)]
    {
        let at = u64::try_from(clock.now().as_secs() + offset).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        assert_eq!(client.verify_client_cert(&certificate, &[], at).is_ok(), good, "{offset}");
        let as_server = server.verify_server_cert(&certificate, &[], &name, &[], at);
        assert_eq!(as_server.is_ok(), good, "{offset}");
    }
}

#[test]
fn pem_reads_back() {
    let (one, two) = (test_identity(), go_identity());
    for identity in [&one, &two] {
        assert_eq!(identity::read_pem(identity.certificate_pem()).unwrap(), identity.certificate());
    }
    let both = [one.certificate_pem(), two.certificate_pem()].concat();
    for (text, expected) in [
        (both.as_str(), "the text holds 2 certificates where there must be one"),
        ("", "the text holds 0 certificates where there must be one"),
        ("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", "the text is not PEM"),
    ] {
        assert_eq!(identity::read_pem(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn no_two_identities_are_alike_and_none_is_printed() {
    let (one, two) = (test_identity(), test_identity());
    assert_ne!(one.certificate(), two.certificate());
    assert_eq!(format!("{one:?}"), "Identity(..)");
}

#[test]
fn one_certificate_serves_both_sides() {
    for algorithm in [&PKCS_ECDSA_P521_SHA512, &PKCS_ECDSA_P256_SHA256] {
        let (certificate, key) = shared_identity(algorithm);
        let [host, plugin] =
            [(); 2].map(|()| TlsIdentity::from_sec1(certificate.clone(), &key).unwrap());
        assert_eq!(identity::read_pem(plugin.certificate_pem()).unwrap(), certificate);
        for version in [&TLS12, &TLS13] {
            let met = handshake_pinned((&host, &host), (&plugin, &plugin), version);
            assert_eq!(met, (HandshakeOutcome::Connected, HandshakeOutcome::Connected));
            // A peer that has the certificate but not its key is refused.
            let (client, server) =
                handshake_pinned((&impostor(&host), &host), (&plugin, &plugin), version);
            assert_ne!(
                (client, server),
                (HandshakeOutcome::Connected, HandshakeOutcome::Connected)
            );
            let (client, _) =
                handshake_pinned((&host, &host), (&impostor(&plugin), &plugin), version);
            assert!(matches!(client, HandshakeOutcome::Failed(_)), "{client:?}");
        }
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (certificate, key) = shared_identity(&PKCS_ECDSA_P521_SHA512);
    let (_, other) = shared_identity(&PKCS_ECDSA_P521_SHA512);
    let (_, another_curve) = shared_identity(&PKCS_ECDSA_P256_SHA256);
    let cut = Secret::new(key.expose_secret()[..100].to_vec());
    let (nothing, text) = (Secret::new(Vec::new()), Secret::new(b"secret".to_vec()));
    for wrong in [&other, &another_curve, &cut, &nothing, &text] {
        let error = TlsIdentity::from_sec1(certificate.clone(), wrong).unwrap_err();
        assert!(matches!(error, IdentityError::Key(_)), "{error:?}");
    }
    for broken in [&certificate[..50], b"", b"certificate"] {
        assert!(TlsIdentity::from_sec1(broken.to_vec().into(), &key).is_err());
    }
}
