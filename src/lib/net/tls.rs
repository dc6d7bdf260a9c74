//! TLS of clients: whom they trust, who they say they are, and what a failed handshake means.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use super::pem;

/// How a client uses TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Don't verify the server's certificate.
    pub insecure: bool,
    /// PEM file of the authorities that the server's certificate may come from, or of that certificate itself. `None`:
    /// the authorities that Mozilla trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of a certificate and its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A configuration for TLS 1.2 and 1.3.
///
/// # Errors
/// Naming the PEM file that can't be used.
pub fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    client_config_of(options, &[&TLS12, &TLS13])
}

/// The same for some versions.
///
/// # Errors
/// Naming the PEM file that can't be used.
pub fn client_config_of(
    options: &TlsOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, String> {
    let (roots, pinned) = match &options.ca {
        Some(path) => (pem::authorities(path)?, pem::certificates(path)?),
        None => (RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, Vec::new()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = Verifier {
        authorities: authorities.build().map_err(|error| format!("no authorities: {error}"))?,
        pinned,
        insecure: options.insecure,
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &options.identity {
        Some((certificate, key)) => builder
            .with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?)
            .map_err(|error| format!("{}: {error}", certificate.display()))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Takes what authorities have signed, and a certificate that was named itself: a server's own, which no authority has
/// signed, is what `--ca` is often given. Signatures of the handshake are looked at in any case.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
    insecure: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.insecure || self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Where an error, or one behind it, is a fault of TLS that lasts: what it means, for people. `None` for all that may
/// pass when it is tried again.
pub fn lasting_fault(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return explain(error);
        }
        // What ureq and I/O errors hold is not their source.
        if let Some(ureq::Error::Io(error)) = error.downcast_ref::<ureq::Error>() {
            cause = Some(error);
            continue;
        }
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = held.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn explain(error: &rustls::Error) -> Option<String> {
    use rustls::Error as Tls;
    let hint = match error {
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the server's certificate has expired"
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name; --insecure goes on without verifying",
        Tls::InvalidCertificate(_) => "--ca FILE names the authority; --insecure goes on without verifying",
        Tls::InvalidMessage(_) => "it does not speak TLS: is its address http://…?",
        Tls::PeerIncompatible(_) | Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            "it has no version of TLS, or no cipher, in common with us: 1.2 and 1.3 are spoken"
        }
        Tls::AlertReceived(AlertDescription::CertificateRequired) | Tls::NoCertificatesPresented => {
            "the server asks for a certificate: --cert FILE --key FILE"
        }
        Tls::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => "the server does not take the certificate of --cert, or asks for one",
        Tls::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            "the server refuses the handshake: it may ask for a certificate (--cert FILE --key FILE)"
        }
        Tls::AlertReceived(AlertDescription::UnrecognisedName) => "the server does not know the name it is called by",
        _ => return None,
    };
    Some(format!("{error} ({hint})"))
}
