//! Server certificates, and those of clients; both are read again when asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;

use crate::net::pem;
use crate::pipeline::Failure;

/// PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate and its chain.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities of clients' certificates; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Clients without a certificate are let in.
    pub client_optional: bool,
}

/// How connections are accepted, from files that may be replaced.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl Tls {
    /// # Errors
    /// Naming the file that can't be used.
    pub fn load(files: TlsFiles) -> Result<Tls, Failure> {
        let acceptor = acceptor(&files)?;
        Ok(Tls { files: Arc::new(files), acceptor: Arc::new(Mutex::new(acceptor)) })
    }

    /// Reads the files again, for connections to come.
    ///
    /// # Errors
    /// Naming the file that can't be used: what was read before stays.
    pub fn reload(&self) -> Result<(), Failure> {
        let acceptor = acceptor(&self.files)?;
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Failure> {
    let explain = |path: &Path, error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let chain = pem::certificates(&files.certificate).map_err(Failure::usage)?;
    let private = pem::key(&files.key).map_err(Failure::usage)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| explain(&files.certificate, &error))?;
    let config = match &files.client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem::certificates(path).map_err(Failure::usage)? {
                roots.add(certificate).map_err(|error| explain(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_optional { verifier.allow_unauthenticated() } else { verifier };
            config.with_client_cert_verifier(verifier.build().map_err(|error| explain(path, &error))?)
        }
    };
    let mut config = config.with_single_cert(chain, private).map_err(|error| explain(&files.certificate, &error))?;
    // A sender that never reads leaves a ticket in its buffer; when it closes, the kernel resets the connection for that,
    // and what is not read yet of its last messages is lost.
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The subject of the client's certificate, which has been verified (RFC 4514: `CN=…,O=…`).
pub fn peer_name(connection: &ServerConnection) -> Option<String> {
    use x509_cert::der::Decode as _;
    let certificate = connection.peer_certificates()?.first()?;
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().subject().to_string())
}
