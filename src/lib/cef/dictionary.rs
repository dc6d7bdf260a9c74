//! The extension's keys as ArcSight defines them (CEF 0.1): the type and the length of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a key's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At least the first, at most the second.
    Integer(i64, i64),
    Float,
    /// Milliseconds since 1970, or a date.
    Time,
    Ipv4,
    Ipv6,
    Mac,
    /// At most so many characters.
    Text(usize),
}

const INT: Kind = Kind::Integer(i32::MIN as i64, i32::MAX as i64);
const PORT: Kind = Kind::Integer(0, 65535);
const LONG: Kind = Kind::Integer(i64::MIN, i64::MAX);

/// The type of a key; `None` when it is not in the dictionary.
pub fn kind(key: &str) -> Option<Kind> {
    Some(match key {
        "cnt" | "dpid" | "dvcpid" | "spid" | "fsize" | "in" | "out" | "oldFileSize" => INT,
        "deviceDirection" => Kind::Integer(0, 1),
        "type" => Kind::Integer(0, 3),
        "dpt" | "spt" | "destinationTranslatedPort" | "sourceTranslatedPort" => PORT,
        "cn1" | "cn2" | "cn3" | "flexNumber1" | "flexNumber2" | "eventId" => LONG,
        "cfp1" | "cfp2" | "cfp3" | "cfp4" | "dlat" | "dlong" | "slat" | "slong" => Kind::Float,
        "rt"
        | "start"
        | "end"
        | "art"
        | "deviceCustomDate1"
        | "deviceCustomDate2"
        | "flexDate1"
        | "fileCreateTime"
        | "fileModificationTime"
        | "oldFileCreateTime"
        | "oldFileModificationTime" => Kind::Time,
        "src"
        | "dst"
        | "dvc"
        | "agt"
        | "destinationTranslatedAddress"
        | "sourceTranslatedAddress"
        | "deviceTranslatedAddress"
        | "agentTranslatedAddress" => Kind::Ipv4,
        "c6a1" | "c6a2" | "c6a3" | "c6a4" => Kind::Ipv6,
        "smac" | "dmac" | "dvcmac" | "amac" => Kind::Mac,
        "app" | "proto" | "av" => Kind::Text(31),
        "externalId" | "aid" => Kind::Text(40),
        "act" | "outcome" | "at" => Kind::Text(63),
        "dvchost" => Kind::Text(100),
        "deviceInboundInterface"
        | "deviceOutboundInterface"
        | "devicePayloadId"
        | "flexDate1Label"
        | "flexNumber1Label"
        | "flexNumber2Label"
        | "flexString1Label"
        | "flexString2Label" => Kind::Text(128),
        "destinationDnsDomain"
        | "dntdom"
        | "sourceDnsDomain"
        | "sntdom"
        | "deviceDnsDomain"
        | "deviceNtDomain"
        | "deviceExternalId"
        | "dtz"
        | "atz"
        | "fileHash"
        | "oldFileHash"
        | "agentDnsDomain"
        | "agentNtDomain" => Kind::Text(255),
        "cat"
        | "msg"
        | "reason"
        | "request"
        | "requestClientApplication"
        | "requestCookies"
        | "requestMethod"
        | "shost"
        | "dhost"
        | "suser"
        | "duser"
        | "suid"
        | "duid"
        | "spriv"
        | "dpriv"
        | "sproc"
        | "dproc"
        | "deviceProcessName"
        | "deviceFacility"
        | "sourceServiceName"
        | "destinationServiceName"
        | "fname"
        | "filePath"
        | "fileId"
        | "filePermission"
        | "fileType"
        | "oldFileName"
        | "oldFilePath"
        | "oldFileId"
        | "oldFilePermission"
        | "oldFileType"
        | "ahost"
        | "flexString1"
        | "flexString2" => Kind::Text(1023),
        "requestContext" => Kind::Text(2048),
        "cs1" | "cs2" | "cs3" | "cs4" | "cs5" | "cs6" | "rawEvent" => Kind::Text(4000),
        _ => {
            // Every other key that names a custom one.
            kind(key.strip_suffix("Label").filter(|key| !key.ends_with("Label"))?)?;
            Kind::Text(1023)
        }
    })
}

/// # Errors
/// What a value should be.
pub fn check(kind: Kind, value: &str) -> Result<(), String> {
    let fits = match kind {
        Kind::Integer(least, most) => value.parse().is_ok_and(|number| (least..=most).contains(&number)),
        Kind::Float => value.parse::<f64>().is_ok_and(f64::is_finite),
        Kind::Time => milliseconds(value).is_some() || is_date_without_year(value),
        Kind::Ipv4 => value.parse::<Ipv4Addr>().is_ok(),
        Kind::Ipv6 => value.parse::<Ipv6Addr>().is_ok(),
        Kind::Mac => {
            let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            value.split(':').count() == 6 && value.split(':').all(pair)
        }
        Kind::Text(most) => value.chars().count() <= most,
    };
    if fits {
        return Ok(());
    }
    Err(match kind {
        Kind::Integer(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Float => "a number".into(),
        Kind::Time => "milliseconds since 1970, or a date such as Sep 19 2014 08:26:10".into(),
        Kind::Ipv4 => "an IPv4 address".into(),
        Kind::Ipv6 => "an IPv6 address".into(),
        Kind::Mac => "six hexadecimal pairs with colons".into(),
        Kind::Text(most) => format!("at most {most} characters"),
    })
}

/// The same for version 1 of the format, where an address may be of either kind.
pub fn check_version_1(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Ipv4 if value.parse::<IpAddr>().is_ok() => Ok(()),
        Kind::Ipv4 => Err("an IP address".into()),
        kind => check(kind, value),
    }
}

/// A time in milliseconds since 1970: as it stands, or from `MMM dd yyyy HH:mm:ss[.SSS][ zzz]`; without a zone it is UTC.
pub fn milliseconds(value: &str) -> Option<i64> {
    if let Ok(number) = value.parse() {
        return Some(number);
    }
    let (date, zone) = match value.splitn(5, ' ').nth(4) {
        Some(zone) => (value.strip_suffix(zone)?.trim_end(), zone),
        None => (value, "UTC"),
    };
    let time = jiff::civil::DateTime::strptime("%b %d %Y %H:%M:%S%.f", date).ok()?;
    let zone = match zone {
        "UTC" | "GMT" | "Z" => jiff::tz::TimeZone::UTC,
        name => jiff::tz::TimeZone::get(name).ok()?,
    };
    Some(time.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

fn is_date_without_year(value: &str) -> bool {
    let date = value.split(' ').take(3).collect::<Vec<_>>().join(" ");
    jiff::civil::DateTime::strptime("%Y %b %d %H:%M:%S%.f", format!("2000 {date}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types_and_lengths() {
        let long = "x".repeat(1024);
        for (key, good, bad) in [
            ("spt", &["0", "65535"][..], &["65536", "-1", "http"][..]),
            ("type", &["0", "3"], &["4"]),
            ("cnt", &["-7"], &["2147483648", "1.5"]),
            ("cn1", &["9223372036854775807"], &["x"]),
            ("cfp1", &["1.5", "-3"], &["NaN", "one"]),
            (
                "rt",
                &["1378173909000", "Sep 03 2013 02:05:09", "Sep 03 2013 02:05:09.123 UTC", "Sep 03 02:05:09"],
                &["now"],
            ),
            ("src", &["10.0.0.1"], &["::1", "10.0.0", "host"]),
            ("c6a1", &["::1"], &["10.0.0.1"]),
            ("smac", &["00:0D:60:AF:1B:61"], &["00:0D:60:AF:1B", "00:0D:60:AF:1B:6g"]),
            ("app", &["HTTP"], &["a protocol whose name is too long"]),
            ("msg", &[""], &[&long]),
            ("cs1Label", &["Rule"], &[&long]),
        ] {
            let kind = kind(key).unwrap();
            good.iter().for_each(|value| assert_eq!(check(kind, value), Ok(()), "{key}={value}"));
            bad.iter().for_each(|value| assert!(check(kind, value).is_err(), "{key}={value}"));
        }
        assert_eq!(check_version_1(Kind::Ipv4, "::1"), Ok(()));
        assert!(kind("custom1").is_none() && kind("cs7").is_none() && kind("LabelLabel").is_none());
        assert_eq!(milliseconds("Sep 03 2013 02:05:09.123"), Some(1_378_173_909_123));
        assert_eq!(milliseconds("Sep 03 2013 04:05:09 Europe/Berlin"), Some(1_378_173_909_000));
    }
}
