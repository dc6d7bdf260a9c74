//! Browser, version and operating system of a User-Agent text: the first hit of a plain substring search wins.

use memchr::memmem::find;

/// (what the text contains, what it means)
const SYSTEMS: [(&str, &str); 15] = [
    ("iPod", "iPod"),
    ("iPad", "iPad"),
    ("iPhone", "iPhone"),
    ("Android", "Android"),
    ("BlackBerry", "BlackBerry"),
    ("Linux", "Linux"),
    ("Macintosh", "Macintosh"),
    ("Mozilla/5.0 (Mobile;", "FirefoxOS"),
    ("Windows NT 10.0", "Windows 10"),
    ("Windows NT 6.3", "Windows 8.1"),
    ("Windows NT 6.2", "Windows 8"),
    ("Windows NT 6.1", "Windows 7"),
    ("Windows NT 6.0", "Windows Vista"),
    ("Windows NT 5.1", "Windows XP"),
    ("Windows NT 5.0", "Windows 2000"),
];

/// Where a browser's version stands.
enum Version {
    After(&'static str),
    AfterLastSlash,
}

const BROWSERS: [(&str, Version); 7] = [
    ("Chrome", Version::After("Chrome/")),
    ("Opera Mini", Version::AfterLastSlash),
    ("Opera Mobi", Version::AfterLastSlash),
    ("Opera", Version::AfterLastSlash),
    ("MSIE", Version::After("MSIE ")),
    ("Safari", Version::AfterLastSlash),
    ("Firefox", Version::After("Firefox/")),
];

/// What was recognised.
#[derive(Debug, Default, PartialEq)]
pub struct UserAgent {
    pub browser: Option<&'static str>,
    pub version: Option<f64>,
    pub system: Option<&'static str>,
}

pub fn normalize(text: &[u8]) -> UserAgent {
    let has = |needle: &str| find(text, needle.as_bytes()).is_some();
    let system = SYSTEMS.iter().find(|(needle, _)| has(needle)).map(|(_, system)| *system);
    let Some((browser, version)) = BROWSERS.iter().find(|(needle, _)| has(needle)) else {
        return UserAgent { browser: None, version: None, system };
    };
    let at = match version {
        Version::After(prefix) => find(text, prefix.as_bytes()).map(|at| at + prefix.len()),
        Version::AfterLastSlash => memchr::memrchr(b'/', text).map(|at| at + 1),
    };
    let digits = at.map_or(&b""[..], |at| &text[at..]);
    let len = digits.iter().take(15).take_while(|byte| byte.is_ascii_digit()).count();
    let version = std::str::from_utf8(&digits[..len]).ok().and_then(|digits| digits.parse().ok());
    UserAgent { browser: Some(browser), version, system }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_recognised() {
        let cases = [
            ("Mozilla/5.0 (Mobile; rv:29.0) Gecko/29.0 Firefox/29.0", Some("Firefox"), Some(29.0), Some("FirefoxOS")),
            (
                "Mozilla/5.0 (X11; Linux x86_64) Chrome/31.0.1650.63 Safari/537.36",
                Some("Chrome"),
                Some(31.0),
                Some("Linux"),
            ),
            (
                "Opera/9.80 (Windows NT 6.0) Presto/2.12.388 Version/12.14",
                Some("Opera"),
                Some(12.0),
                Some("Windows Vista"),
            ),
            ("Mozilla/5.0 (Macintosh) Version/8.0 Safari/600.3", Some("Safari"), Some(600.0), Some("Macintosh")),
            ("curl/7.29.0", None, None, None),
            ("Mozilla (Windows NT 6.1; Trident/7.0; rv:11.0; MSIE; )", Some("MSIE"), None, Some("Windows 7")),
        ];
        for (text, browser, version, system) in cases {
            assert_eq!(normalize(text.as_bytes()), UserAgent { browser, version, system }, "{text}");
        }
    }
}
