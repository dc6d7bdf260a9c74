//! Proxies by the environment's variables, with tinyproxy.

use std::net::TcpStream;

use crate::common::http::{Incoming, listen};
use crate::common::{Background, Workdir, eventually, free_port, have, payloads};
use crate::{Sink, firehose, write_answer};

/// A proxy that lets nobody in without a password, and CONNECT to that port only.
fn proxy(dir: &Workdir, connect: u16) -> (Background, u16) {
    let port = free_port();
    let config = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nLogFile \"{}\"\nLogLevel Connect\n\
         BasicAuth me pass\nConnectPort {connect}\n",
        dir.path("proxy.log").display()
    );
    dir.write("proxy.conf", config);
    let proxy = dir.start("exec tinyproxy -d -c proxy.conf");
    eventually("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (proxy, port)
}

#[test]
fn requests_go_through_a_proxy() {
    if !have("tinyproxy") || !have("openssl") {
        return;
    }
    let dir = Workdir::new();
    assert!(dir.certificates());
    dir.write("in.log", "one\ntwo\n");
    dir.sh("heka-tail in.log > in.hpb").ok();
    let (_secure, secure) = dir.listen("--cert cert.pem --key key.pem", "secure.hpb");
    let (_plain, plain) = dir.listen("", "plain.hpb");
    let (_proxy, port) = proxy(&dir, secure);
    let through = format!("http://me:p%61ss@127.0.0.1:{port}");
    let logged = |words: &str| String::from_utf8_lossy(&dir.read("proxy.log")).matches(words).count();

    // https:// by CONNECT, http:// by requests with the whole address: CONNECT to that port is refused.
    for (scheme, to, variable) in [
        ("https", secure, "HTTPS_PROXY"),
        ("https", secure, "https_proxy"),
        ("https", secure, "ALL_PROXY"),
        ("http", plain, "HTTP_PROXY"),
        ("http", plain, "http_proxy"),
        ("http", plain, "all_proxy"),
    ] {
        let (ca, path) = (if scheme == "https" { "--ca ca.pem" } else { "" }, "services/collector/raw");
        let environment = format!("env {variable}={through}");
        let url = format!("{scheme}://localhost:{to}");
        let before = logged("Established connection");
        dir.sh(&format!("{environment} heka-hec --ack --token-file token --url {url} {ca} in.hpb")).ok();
        let header = "--header 'Authorization: Splunk s3cret'";
        dir.sh(&format!("{environment} heka-http --batch 2 {header} --url {url}/{path} {ca} in.hpb")).ok();
        assert!(logged("Established connection") > before, "{variable}: nothing went through the proxy");
    }
    eventually("all has arrived", || {
        let count = |file: &str| payloads(&dir.read(file)).len();
        (count("secure.hpb"), count("plain.hpb")) == (12, 12)
    });
    assert_eq!(logged("CONNECT localhost"), 2 * 3, "{}", String::from_utf8_lossy(&dir.read("proxy.log")));

    // Hosts that need none; a variable of the other scheme.
    let before = logged("Established connection");
    for environment in [
        format!("http_proxy={through} NO_PROXY=localhost"),
        format!("http_proxy={through} no_proxy='example.com, localhost:{plain}'"),
        format!("http_proxy={through} NO_PROXY='*'"),
        format!("https_proxy={through}"),
        "http_proxy=".into(),
    ] {
        dir.sh(&format!("env {environment} heka-hec --token-file token --url http://localhost:{plain} in.hpb")).ok();
    }
    assert_eq!(logged("Established connection"), before);

    // A proxy that refuses us, isn't there, or is none. Its password is not shown.
    let sink = format!("heka-hec --token-file token --max-attempts 1 --url http://localhost:{plain} in.hpb");
    let ran = dir.sh(&format!("env http_proxy=http://me:SECRET@127.0.0.1:{port} {sink}"));
    assert!(ran.code() == 3 && ran.stderr.contains("HTTP 401") || ran.stderr.contains("HTTP 407"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SECRET"), "{}", ran.stderr);
    let ran = dir.sh(&format!("env http_proxy=http://me:SECRET@127.0.0.1:{} {sink}", free_port()));
    assert!(ran.code() == 1 && ran.stderr.contains("Connection refused"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("SECRET"), "{}", ran.stderr);
    dir.sh(&format!("env http_proxy='http://me:SECRET@ x' {sink}")).fails(2, "http_proxy: no address of a proxy");
    // CONNECT that is refused is a fault of the way, not of the events.
    let ran = dir.sh(&format!("env https_proxy={through} {} ", sink.replace("http://", "https://")));
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
}

#[test]
fn firehose_goes_through_a_proxy() {
    if !have("tinyproxy") {
        return;
    }
    let dir = Workdir::new();
    dir.write("in.log", "one\ntwo\n");
    dir.sh("heka-tail in.log > in.hpb").ok();
    let sink = firehose::Firehose;
    let server = listen(move |stream| {
        let request = Incoming::read(stream)?;
        write_answer(stream, 200, "", &sink.success(&request))
    });
    let (_proxy, port) = proxy(&dir, 1);
    let logged = || String::from_utf8_lossy(&dir.read("proxy.log")).matches("Established connection").count();
    let command = firehose::command(server, "in.hpb");
    dir.sh(&format!("env http_proxy=http://me:pass@127.0.0.1:{port} {command}")).ok();
    let through = logged();
    assert!(through > 0, "{}", String::from_utf8_lossy(&dir.read("proxy.log")));
    dir.sh(&format!("env http_proxy=http://127.0.0.1:{port} NO_PROXY=127.0.0.1 {command}")).ok();
    assert_eq!(logged(), through);
}
