//! The configuration of heka-sbmgr: where to, signed by whom, with what certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use super::message::Action;
use super::send::deliver;
use crate::net::pem::SYSTEM_AUTHORITIES;
use crate::net::tls::{TlsOptions, client_config_of};
use crate::pipeline::{Failure, Output, read_secret, read_toml, report};
use crate::stream::{Hash, Signer, put_frame};

/// The environment variable of a key that no file has.
const KEY_VARIABLE: &str = "HEKA_SIGNER_KEY";
/// Names that Heka's `ciphers` may have.
const CIPHERS: [&str; 13] = [
    "RSA_WITH_RC4_128_SHA",
    "RSA_WITH_3DES_EDE_CBC_SHA",
    "RSA_WITH_AES_128_CBC_SHA",
    "RSA_WITH_AES_256_CBC_SHA",
    "ECDHE_ECDSA_WITH_RC4_128_SHA",
    "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE_RSA_WITH_RC4_128_SHA",
    "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

/// What heka-sbmgr and heka-sbmgrload have in common.
#[derive(clap::Args, Clone, Debug)]
pub struct ControlArgs {
    /// What is to be done
    #[arg(long, value_enum, default_value = "load")]
    pub action: Action,

    /// File of the signer's key, if --config has none; else the environment variable HEKA_SIGNER_KEY
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Write what is made to standard output instead of sending it
    #[arg(long)]
    pub stdout: bool,
}

/// How TLS connections are made.
pub struct TlsClient {
    pub config: Arc<ClientConfig>,
    /// The name to verify, where it isn't the address's.
    pub server_name: Option<String>,
}

/// What a file says.
#[derive(Default)]
pub struct Settings {
    /// Host and port.
    pub address: Option<String>,
    pub tls: Option<TlsClient>,
    pub signer: Option<Signer>,
}

impl Settings {
    /// `key_file`: the signer's key, where the configuration has none.
    ///
    /// # Errors
    /// Naming the file and what is wrong in it.
    pub fn load(path: &Path, key_file: Option<&Path>) -> Result<Settings, Failure> {
        let table = read_toml(path)?;
        let wrong = |text: &str| Failure::usage(format!("{}: {text}", path.display()));
        let known = ["ip_address", "use_tls", "signer", "tls"];
        if let Some(name) = table.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(&format!("unknown setting {name}: expected {}", known.join(", "))));
        }
        let address = match table.get("ip_address") {
            None => None,
            Some(address) => {
                let text = address.as_str().ok_or_else(|| wrong("ip_address is no string"))?;
                Some(if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_string() })
            }
        };
        let use_tls = match table.get("use_tls") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("use_tls is neither true nor false"))?,
        };
        let tls = match use_tls {
            true => Some(tls(table.get("tls"), path)?),
            false => None,
        };
        let signer = table.get("signer").map(|section| signer(section, key_file, &wrong)).transpose()?;
        Ok(Settings { address, tls, signer })
    }
}

impl Settings {
    /// Appends a frame, signed if there is a signer.
    pub fn put_frame(&self, buf: &mut Vec<u8>, message: &[u8]) {
        match &self.signer {
            Some(signer) => signer.put_frame(buf, message),
            None => put_frame(buf, None, message),
        }
    }

    /// Sends frames to the server, or writes them to standard output.
    ///
    /// # Errors
    /// When there is no address, or the server doesn't take them.
    pub fn hand_over(&self, frames: &[u8], to_stdout: bool) -> Result<(), Failure> {
        if to_stdout {
            let mut out = Output::frames()?;
            out.push(frames)?;
            return out.flush();
        }
        let address = self.address.as_ref().ok_or_else(|| Failure::usage("the configuration has no ip_address"))?;
        deliver(address, self.tls.as_ref(), frames)
    }
}

fn signer(section: &toml::Value, key_file: Option<&Path>, wrong: &dyn Fn(&str) -> Failure) -> Result<Signer, Failure> {
    let text = |name: &str| match section.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| wrong(&format!("signer: {name} is no string"))),
    };
    let version = match section.get("version") {
        None => 0,
        Some(version) => {
            let number = version.as_integer().and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| wrong("signer: version is no number from 0"))?
        }
    };
    let hash = match text("hmac_hash")?.unwrap_or("md5") {
        name @ ("md5" | "sha1") => Hash::from_name(name),
        other => return Err(wrong(&format!("signer: hmac_hash {other:?} is neither md5 nor sha1"))),
    };
    let key = match text("hmac_key")? {
        Some(key) => key.as_bytes().to_vec(),
        None => read_key(key_file)?,
    };
    let name = text("name")?.ok_or_else(|| wrong("signer: it has no name"))?;
    Ok(Signer { name: name.into(), key_version: version, hash, key })
}

/// A signer's key from a file, or from the environment.
///
/// # Errors
/// When there is none.
pub fn read_key(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    Ok(match file {
        // It may have blanks; only the line's end is none of it.
        Some(path) => {
            let text = crate::pipeline::read_text(path)?;
            let key = text.strip_suffix('\n').unwrap_or(&text);
            if key.is_empty() {
                return Err(Failure::usage(format!("{}: no key in it", path.display())));
            }
            key.as_bytes().to_vec()
        }
        None => match std::env::var(KEY_VARIABLE) {
            Ok(key) if !key.is_empty() => key.into_bytes(),
            _ => read_secret(None, KEY_VARIABLE, "--key-file").map(String::into_bytes)?,
        },
    })
}

fn tls(section: Option<&toml::Value>, path: &Path) -> Result<TlsClient, Failure> {
    let wrong = |text: String| Failure::usage(format!("{}: tls: {text}", path.display()));
    let text = |name: &str| section.and_then(|section| section.get(name)).and_then(toml::Value::as_str);
    let flag = |name: &str| section.and_then(|section| section.get(name)).and_then(toml::Value::as_bool);
    for cipher in section.and_then(|section| section.get("ciphers")?.as_array()).into_iter().flatten() {
        let name = cipher.as_str().unwrap_or_default();
        if !CIPHERS.contains(&name) {
            return Err(wrong(format!("invalid cipher {name:?}")));
        }
    }
    if section.is_some_and(|section| section.get("ciphers").is_some()) {
        report(&format!("{}: tls: ciphers are those of TLS 1.2 and 1.3 that are safe today", path.display()));
    }
    let versions = ["SSL30", "TLS10", "TLS11", "TLS12", "TLS13"];
    let version = |name: &str| match text(name) {
        None => Ok(None),
        Some(text) => match versions.iter().position(|known| *known == text) {
            Some(place) => Ok(Some(place)),
            None => Err(wrong(format!("{name} {text:?} is none of {}", versions.join(", ")))),
        },
    };
    let (lowest, highest) = (version("min_version")?, version("max_version")?);
    if lowest.is_some_and(|lowest| lowest < 3) {
        report(&format!("{}: tls: min_version is raised to TLS12: what is older is not safe", path.display()));
    }
    if highest.is_some_and(|highest| highest < 3) {
        return Err(wrong("max_version: TLS12 is the oldest that is spoken".into()));
    }
    let enabled: &[_] = match (lowest, highest) {
        (Some(4), _) => &[&TLS13],
        (_, Some(3)) => &[&TLS12],
        _ => &[&TLS12, &TLS13],
    };
    let insecure = flag("insecure_skip_verify") == Some(true);
    if insecure {
        report(&format!("{}: tls: whoever answers is believed (insecure_skip_verify)", path.display()));
    }
    let options = TlsOptions {
        insecure,
        ca: Some(text("root_cafile").unwrap_or(SYSTEM_AUTHORITIES).into()).filter(|_| !insecure),
        identity: text("cert_file").zip(text("key_file")).map(|(certificate, key)| (certificate.into(), key.into())),
    };
    let config = client_config_of(&options, enabled).map_err(wrong)?;
    Ok(TlsClient { config, server_name: text("server_name").map(str::to_string) })
}
