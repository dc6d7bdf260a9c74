//! Addresses of HTTP servers, looked at before anything is sent.

use ureq::http::Uri;

/// `http://HOST[:PORT][/PATH][?QUERY]` or `https://…`, without secrets where it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: &'static str,
    host: String,
    port: u16,
    /// Scheme, host and port.
    origin: String,
    /// What stands behind the host.
    target: String,
    /// User name and password, percent-encoded as they stood.
    userinfo: Option<String>,
}

impl Url {
    /// # Errors
    /// A sentence that quotes nothing that may be a secret.
    pub fn parse(text: &str) -> Result<Url, String> {
        let wrong = |what: &str| format!("{what}; expected an address such as https://HOST:PORT/PATH");
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            _ => return Err(wrong("an address begins with http:// or https://")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo.to_string()), place),
            None => (None, authority),
        };
        // An IPv6 address has colons of its own, and brackets around them.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port: &u16| port > 0)
                .ok_or_else(|| wrong(&format!("{place}: a port is a number from 1 to 65535")))?,
            None => usual,
        };
        if host.is_empty() {
            return Err(wrong("the address has no host"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let origin = format!("{scheme}://{place}");
        let text = format!("{origin}{slash}{target}");
        let valid = text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
        if !valid {
            return Err(wrong(&format!("{origin}: no valid address")));
        }
        let (host, target) = (host.trim_matches(['[', ']']).to_string(), format!("{slash}{target}"));
        Ok(Url { text, scheme, host, port, origin, target, userinfo })
    }

    /// All of it but user name and password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port: what may be shown. Path and query may hold secrets.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// `NAME:PASSWORD`, percent-encoded.
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_secret_is_in_what_is_shown(
            user in "[a-z:%]{0,5}", secret in "S3CRET[a-z]{0,3}", host in "\\PC{0,12}", rest in "[/?#]\\PC{0,9}",
        ) {
            for text in [format!("http://{user}{secret}@{host}{rest}{secret}"), format!("https://{host}{rest}{secret}"), host] {
                match Url::parse(&text) {
                    Ok(url) => prop_assert!(!url.origin().contains("S3CRET"), "{text}"),
                    Err(words) => prop_assert!(!words.contains("S3CRET"), "{text}: {words}"),
                }
            }
        }
    }

    #[test]
    fn parts_of_an_address() {
        let url = Url::parse("https://me:s3cret@[::1]:8088/a/b?token=x#y").unwrap();
        assert_eq!((url.as_str(), url.origin()), ("https://[::1]:8088/a/b?token=x", "https://[::1]:8088"));
        assert_eq!((url.host(), url.port(), url.path(), url.userinfo()), ("::1", 8088, "/a/b", Some("me:s3cret")));
        let url = Url::parse("http://h?token=SECRET").unwrap();
        assert_eq!((url.origin(), url.port(), url.path(), url.is_https()), ("http://h", 80, "/", false));
        for wrong in [
            "splunk:8088",
            "ftp://x",
            "http://",
            "http://:80",
            "http://127.0.0.1:99999",
            "http://h:0",
            "http://h:x",
            "http://h:",
            "http://a b/",
            "https://[::1/",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!Url::parse("http://u:SECRET@h:99999/SECRET").unwrap_err().contains("SECRET"));
    }
}
