//! How sinks talk HTTP: one agent for all threads of a program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// What connections are made with.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    pub timeout: Duration,
    /// Don't verify the server's certificate.
    pub insecure: bool,
    /// PEM file of the authorities that the server's certificate may come from.
    pub ca: Option<PathBuf>,
    /// PEM files of a certificate and its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What requests say of who sends them.
    pub name: &'static str,
}

/// # Errors
/// When a PEM file can't be used.
pub fn new(options: &AgentOptions) -> Result<ureq::Agent, String> {
    let mut tls = TlsConfig::builder().disable_verification(options.insecure);
    if let Some(path) = &options.ca {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
    }
    if let Some((certificate, key)) = &options.identity {
        let key = PrivateKey::from_pem(&read(key)?).map_err(|_| format!("{}: no key in PEM form", key.display()))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(certificate)?, key)));
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // Secrets must not be carried to another host.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(options.timeout))
        .user_agent(options.name)
        .tls_config(tls.build())
        .build();
    Ok(config.new_agent())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = read(path)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(format!("{}: no certificate in PEM form", path.display()));
    }
    Ok(certificates)
}

/// Whether an error says that the server is not who it should be: trying again doesn't help.
pub fn is_certificate_error(text: &str) -> bool {
    text.to_ascii_lowercase().contains("certificate")
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    // Writing into memory can't fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Seconds, or an HTTP date.
pub fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text.trim()).ok()?.to_datetime().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Duration::try_from(time.duration_since(jiff::Timestamp::now())).ok().or(Some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_again() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 09 Feb 2014 16:46:36 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
