//! Certificates and keys in PEM files (RFC 7468).

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where Debian keeps the authorities that it trusts.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The certificates of a file, at least one.
///
/// # Errors
/// Naming the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{}: no certificate in PEM form", path.display())) } else { Ok(found) }
}

/// The private key of a file.
///
/// # Errors
/// Naming the file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The authorities of a file, at least one.
///
/// # Errors
/// Naming the file.
pub fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates(path)?).0 == 0 {
        return Err(format!("{}: no certificate that can be used", path.display()));
    }
    Ok(roots)
}
