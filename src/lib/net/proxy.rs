//! Proxies, by the environment variables that all programs have: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.
//!
//! A connection to https:// goes through the proxy's CONNECT. One to http:// doesn't: many proxies (Squid by default)
//! refuse CONNECT to other ports than 443. There the proxy gets each request with the whole address in its first line
//! (RFC 9112, 3.2.2).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use ureq::Proxy;
use ureq::config::Config;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};

use super::Url;

/// The proxy for an address, if it has one.
///
/// # Errors
/// When a variable's value is no address of a proxy; it is not shown, there may be a password in it.
pub fn from_environment(url: &Url) -> Result<Option<Proxy>, String> {
    let names: &[&'static str] = if url.is_https() {
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let set = |name: &&'static str| {
        let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        value.map(|value| (*name, value))
    };
    let Some((name, value)) = names.iter().find_map(set) else { return Ok(None) };
    let exempt = ["no_proxy", "NO_PROXY"].iter().find_map(set).map(|(_, value)| value).unwrap_or_default();
    if is_exempt(&exempt, url) {
        return Ok(None);
    }
    let proxy =
        Proxy::new(value.trim()).map_err(|_| format!("{name}: no address of a proxy, such as http://HOST:3128"))?;
    Ok(Some(proxy))
}

/// Whether a list as NO_PROXY's names the host: `*`, a name (its subdomains with it), an address or a network, each with
/// a port if need be.
fn is_exempt(list: &str, url: &Url) -> bool {
    let host = url.host().to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        if let (Ok(net), Ok(address)) = (entry.parse::<IpNet>(), host.parse::<IpAddr>()) {
            return net.contains(&address);
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (entry.as_str(), None),
        };
        if port.is_some_and(|port| port.parse() != Ok(url.port())) {
            return false;
        }
        let name = name.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
        host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Sends requests for http:// addresses to the proxy as they are, with their whole address.
#[derive(Debug)]
pub struct Forwarding {
    proxy: Proxy,
    /// For the connection to the proxy itself.
    direct: Config,
}

impl Forwarding {
    /// `None` where the proxy takes no such requests: one for SOCKS.
    pub fn new(proxy: &Proxy) -> Option<Forwarding> {
        let speaks_http = matches!(proxy.uri().scheme_str(), Some("http" | "https"));
        speaks_http.then(|| Forwarding { proxy: proxy.clone(), direct: Config::builder().proxy(None).build() })
    }
}

impl Connector for Forwarding {
    type Out = Either<(), Forwarded>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        // The connection to the proxy comes by here, too.
        let (Some("http"), Some(authority), Some(_)) =
            (details.uri.scheme_str(), details.uri.authority(), details.config.proxy())
        else {
            return Ok(None);
        };
        let to_proxy = ConnectionDetails {
            uri: self.proxy.uri(),
            addrs: details.resolver.resolve(self.proxy.uri(), &self.direct, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let inner = (details.run_connector)(&to_proxy)?;
        let credentials = self.proxy.username().map(|user| {
            let both = STANDARD.encode(format!("{user}:{}", self.proxy.password().unwrap_or_default()));
            format!("Proxy-Authorization: Basic {both}\r\n")
        });
        let origin = format!("http://{authority}");
        Ok(Some(Either::B(Forwarded { inner, origin, credentials: credentials.unwrap_or_default(), at_head: true })))
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub struct Forwarded {
    inner: Box<dyn Transport>,
    origin: String,
    /// A header line, or nothing.
    credentials: String,
    /// What is written next is a request's head.
    at_head: bool,
}

impl Transport for Forwarded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if !std::mem::take(&mut self.at_head) {
            return self.inner.transmit_output(amount, timeout);
        }
        let written = self.inner.buffers().output().get(..amount).unwrap_or_default().to_vec();
        let head = with_origin(&written, &self.origin, &self.credentials);
        let mut rest = &head[..];
        while !rest.is_empty() {
            let room = self.inner.buffers().output();
            let part = rest.len().min(room.len());
            room[..part].copy_from_slice(&rest[..part]);
            self.inner.transmit_output(part, timeout)?;
            rest = &rest[part..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        // After an answer comes another request.
        self.at_head = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// `POST /path HTTP/1.1` becomes `POST http://host/path HTTP/1.1`; header lines go behind it.
fn with_origin(request: &[u8], origin: &str, headers: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(request.len() + origin.len() + headers.len());
    let method = memchr::memchr(b' ', request).map_or(0, |at| at + 1);
    let line = memchr::memchr(b'\n', request).map_or(method, |at| at + 1);
    out.extend_from_slice(&request[..method]);
    out.extend_from_slice(origin.as_bytes());
    out.extend_from_slice(&request[method..line.max(method)]);
    out.extend_from_slice(headers.as_bytes());
    out.extend_from_slice(&request[line.max(method)..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_need_no_proxy() {
        let exempt = |list: &str, url: &str| is_exempt(list, &Url::parse(url).unwrap());
        for (list, url) in [
            ("*", "http://x"),
            ("localhost,example.com", "https://splunk.example.com:8088"),
            (".example.com", "http://EXAMPLE.com"),
            ("*.example.com", "http://a.example.com"),
            ("10.0.0.0/8", "http://10.1.2.3"),
            ("::1", "http://[::1]:9"),
            ("h:8088", "http://h:8088"),
        ] {
            assert!(exempt(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "http://x"),
            ("example.com", "http://badexample.com"),
            ("h:8088", "http://h"),
            ("10.0.0.0/8", "http://h"),
        ] {
            assert!(!exempt(list, url), "{list} {url}");
        }
    }

    #[test]
    fn a_request_gets_the_whole_address() {
        let made = with_origin(b"POST /a HTTP/1.1\r\nHost: h\r\n\r\nbody /x y", "http://h:1", "P: q\r\n");
        assert_eq!(made, b"POST http://h:1/a HTTP/1.1\r\nP: q\r\nHost: h\r\n\r\nbody /x y");
    }
}
