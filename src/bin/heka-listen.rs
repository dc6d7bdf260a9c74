//! heka-listen: messages from the network.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use heka::pipeline::{self, Exit, Failure, Signals, StatsArgs, WaitOn, Wake, parse_seconds, parse_size};
use heka::source::Signed;
use heka::source::listen::gelf::{Gelf, GelfOptions};
use heka::source::listen::hec::{Hec, HecOptions};
use heka::source::listen::syslog::{Syslog, SyslogOptions};
use heka::source::listen::{
    LEAST_MEMORY, Limits, Listeners, Port, Protocol, Service, Shares, Socket, Tls, TlsFiles, Writer,
};
use heka::stream::DEFAULT_READ_MESSAGE;
use ipnet::IpNet;
use jiff::tz::TimeZone;

const EXAMPLES: &str = "\
Examples:
  Syslog from routers and servers, to Kinesis Firehose:
    heka-listen --udp 514 --tcp 514 --tls 6514 --cert cert.pem --key key.pem |
        heka-firehose --stream logs

  This machine's log, as /dev/log:
    heka-listen --unixgram /dev/log | heka-cat

  GELF, and messages of other Heka programs that are signed, in one process:
    heka-listen --udp gelf@12201 --tcp gelf@12201 --tcp heka@5565 --signers signers.toml |
        heka-cat --format json
    # signers.toml:  [ops_1]
    #                hmac_key = \"secret\"

  Behind a load balancer that sends the PROXY protocol:
    heka-listen --tcp 1514 --proxy-protocol 1514 --proxy-from 10.0.0.0/8 | heka-cat

  A HEC server on this machine, and what it gets:
    heka-listen --hec 127.0.0.1:8088 --token-file token | heka-cat
    curl -s http://127.0.0.1:8088/services/collector/event \\
        -H \"Authorization: Splunk $(cat token)\" -d '{\"event\":\"hello\"}'

A HEC request that names a channel gets an ack id, which turns true when its messages have been
written to standard output; one without a channel is answered when they have been.

SIGHUP reads certificates and signers again. SIGTERM ends: what has arrived is written first.";

/// Receive messages from the network: syslog, GELF, Heka streams, Splunk's HEC
#[derive(Parser)]
#[command(name = "heka-listen", version, after_help = EXAMPLES)]
struct Args {
    /// Take datagrams at [PROTOCOL@][ADDRESS:]PORT; PROTOCOL is syslog, gelf or heka; port 0 takes a free one and prints it
    #[arg(long, value_name = "PORT", help_heading = "Listeners")]
    udp: Vec<Port>,

    /// Take TCP connections, in the same form
    #[arg(long, value_name = "PORT", help_heading = "Listeners")]
    tcp: Vec<Port>,

    /// Take TLS connections, in the same form
    #[arg(long, value_name = "PORT", help_heading = "Listeners", requires = "cert")]
    tls: Vec<Port>,

    /// Take connections of a Unix socket at [PROTOCOL@]PATH, which everybody may write to
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    unix: Vec<Socket>,

    /// Take datagrams of a Unix socket, such as /dev/log
    #[arg(long, value_name = "PATH", help_heading = "Listeners")]
    unixgram: Vec<Socket>,

    /// Be a Splunk HTTP Event Collector at this address; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Listeners")]
    hec: Vec<SocketAddr>,

    /// Address of ports that name none
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0", help_heading = "Listeners")]
    address: Vec<IpAddr>,

    /// GELF where no protocol is named, instead of syslog
    #[arg(long, help_heading = "Listeners", conflicts_with = "heka")]
    gelf: bool,

    /// Framed Heka messages where no protocol is named, instead of syslog
    #[arg(long, help_heading = "Listeners")]
    heka: bool,

    /// kinesyslog's name of --udp; 0 is off
    #[arg(long, value_name = "PORT", hide = true)]
    udp_port: Vec<u16>,

    /// kinesyslog's name of --tcp; 0 is off
    #[arg(long, value_name = "PORT", hide = true)]
    tcp_port: Vec<u16>,

    /// kinesyslog's name of --tls; 0 is off
    #[arg(long, value_name = "PORT", hide = true)]
    tls_port: Vec<u16>,

    /// PEM file of this server's certificate and its chain, for --tls; turns on TLS for --hec
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "TLS")]
    cert: Option<PathBuf>,

    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    key: Option<PathBuf>,

    /// PEM file of the authorities whose certificates clients must show
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    client_ca: Option<PathBuf>,

    /// Let clients in that show no certificate, too
    #[arg(long, requires = "client_ca", help_heading = "TLS")]
    client_cert_optional: bool,

    /// Connections to this --tcp or --tls port begin with a header of the PROXY protocol, version 1 or 2
    #[arg(long, value_name = "PORT", requires = "proxy_from", help_heading = "PROXY protocol")]
    proxy_protocol: Vec<u16>,

    /// Network or address that may send such headers; 0.0.0.0/0 says all
    #[arg(long, value_name = "NETWORK", value_parser = parse_network, help_heading = "PROXY protocol")]
    proxy_from: Vec<IpNet>,

    /// Zone of times that don't say theirs, such as Europe/Berlin or UTC; without it, this machine's
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, help_heading = "Syslog")]
    tz: Option<TimeZone>,

    /// Leave out the original text, of syslog and of GELF, which is in Fields[raw] otherwise
    #[arg(long, help_heading = "Syslog")]
    no_raw: bool,

    /// Fields[programname] beside Fields[app], as Heka's rsyslog decoder calls it
    #[arg(long, help_heading = "Syslog")]
    rsyslog_names: bool,

    /// Over connections, a line's end ends a message, too, not only a zero byte
    #[arg(long, help_heading = "GELF")]
    gelf_lf: bool,

    /// What breaks the specification becomes a message of its text alone, with Fields[gelf_error]
    #[arg(long, help_heading = "GELF")]
    gelf_strict: bool,

    /// Messages in chunks that may be incomplete at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, help_heading = "GELF")]
    gelf_max_sets: usize,

    /// TOML file of signers' keys, [NAME_VERSION] with hmac_key: what is signed otherwise is dropped
    #[arg(long, value_name = "FILE", help_heading = "Heka streams")]
    signers: Option<PathBuf>,

    /// Drop what this signer has not signed
    #[arg(long, value_name = "NAME", requires = "signers", help_heading = "Heka streams")]
    require_signer: Option<String>,

    /// File of the tokens that are let in, one a line; without it the environment variable HEKA_HEC_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "HEC")]
    token_file: Option<PathBuf>,

    /// Longest request body, after decompression
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_size, help_heading = "HEC")]
    max_content_length: usize,

    /// Longest message, [default: 64K; HEC events: 4M less 64K]; what is longer is cut, and says so in Fields[truncated]
    #[arg(long, value_name = "BYTES", value_parser = parse_size, help_heading = "Limits")]
    max_message: Option<usize>,

    /// Memory for everything together: what waits to be written, connections, messages and requests that aren't whole,
    /// chunks, ack ids; at least 32M
    #[arg(long, value_name = "BYTES", default_value = "128M", value_parser = parse_memory, help_heading = "Limits")]
    max_memory: usize,

    /// Connections at a time; where there is no room, one of the address that has most is closed, the one that has been
    /// silent for longest
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, help_heading = "Limits")]
    max_connections: usize,

    /// Connections of one address at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 256, help_heading = "Limits")]
    max_connections_per_address: usize,

    /// Close connections that send nothing for so long; 0 is never
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = parse_seconds, help_heading = "Limits")]
    idle: Duration,

    /// Close connections whose message, or HEC request's header, is not whole so long after its first byte; the body of a HEC
    /// request has to come with 1 KB a second at least after that time
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, help_heading = "Limits")]
    complete_within: Duration,

    /// Buffer that the kernel is asked for, for each UDP socket; how large it allows is printed
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size, help_heading = "Limits")]
    receive_buffer: usize,

    /// Let senders wait while so many bytes are to be written [default: a tenth of --max-memory]
    #[arg(long, value_name = "BYTES", value_parser = parse_size, help_heading = "Limits")]
    max_queue_bytes: Option<usize>,

    #[command(flatten)]
    stats: StatsArgs,
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    text.parse().ok().or_else(address).ok_or_else(|| "expected a network such as 10.0.0.0/8, or an address".into())
}

fn parse_memory(text: &str) -> Result<usize, String> {
    parse_size(text).and_then(|size| if size < LEAST_MEMORY { Err("less than 32M".into()) } else { Ok(size) })
}

fn parse_zone(text: &str) -> Result<TimeZone, String> {
    if text == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(text).map_err(|error| error.to_string()) }
}

/// Longest message where nothing is said. Programs that read messages pass over those of more than 4 MiB.
const MAX_MESSAGE: usize = 64 << 10;
/// Open files that are no connections.
const RESERVED_FILES: usize = 32;

fn main() -> ExitCode {
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let default = match (args.gelf, args.heka) {
        (true, _) => Protocol::Gelf,
        (_, true) => Protocol::Heka,
        _ => Protocol::Syslog,
    };
    let old = |ports: &[u16]| -> Vec<Port> {
        let used = ports.iter().filter(|port| **port != 0);
        used.map(|port| Port { protocol: None, address: None, port: *port }).collect()
    };
    let udp = [args.udp, old(&args.udp_port)].concat();
    let tcp = [args.tcp, old(&args.tcp_port)].concat();
    let secure = [args.tls, old(&args.tls_port)].concat();
    if !secure.is_empty() && args.cert.is_none() {
        return Err(Failure::usage("TLS needs --cert and --key"));
    }
    for port in &args.proxy_protocol {
        if *port != 0 && !tcp.iter().chain(&secure).any(|listener| listener.port == *port) {
            return Err(Failure::usage(format!("--proxy-protocol {port}: no --tcp or --tls listens at this port")));
        }
    }
    let tokens = match args.hec.is_empty() {
        true => Vec::new(),
        false => pipeline::read_secrets(args.token_file.as_deref(), "HEKA_HEC_TOKEN", "--token-file")?,
    };
    let files = args.cert.zip(args.key).map(|(certificate, key)| TlsFiles {
        certificate,
        key,
        client_ca: args.client_ca,
        client_optional: args.client_cert_optional,
    });
    let tls = files.map(Tls::load).transpose()?;
    let keys = args.signers.as_deref().map(pipeline::load_keys).transpose()?;

    // Some files are others' than connections': listeners, certificates that are read again, standard output.
    let most = pipeline::raise_file_limit().saturating_sub(RESERVED_FILES).max(1);
    if most < args.max_connections {
        pipeline::report(&format!("the limit of open files allows {most} connections at a time (ulimit -n)"));
    }
    // Before anybody is told where to send: a stop that comes then must drain, too.
    let _ = Signals::get();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stop = Arc::new(stop);
    let failed = stop.clone();
    let memory = Shares::of(args.max_memory);
    let (writer, written) = Writer::start(args.max_queue_bytes.unwrap_or(memory.queue), move || {
        let _ = failed.send(true);
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no event loop: {error}")))?;
    let max_message = args.max_message.unwrap_or(MAX_MESSAGE);
    let limits = Limits {
        memory,
        max_message,
        max_connections: args.max_connections.min(most),
        max_connections_per_address: args.max_connections_per_address,
        idle: args.idle,
        whole_within: args.complete_within,
        gelf_line: args.gelf_lf,
        proxy_from: args.proxy_from,
    };
    let zone = args.tz.unwrap_or_else(TimeZone::system);
    let syslog = Syslog::new(SyslogOptions { zone, raw: !args.no_raw, rsyslog_names: args.rsyslog_names });
    let gelf = Gelf::new(GelfOptions { strict: args.gelf_strict, raw: !args.no_raw, max_message });
    let signed = Signed::new(keys, args.require_signer);
    let service = Service::new(limits, writer.counts(), syslog, gelf, signed, args.gelf_max_sets);

    let result = runtime.block_on(async {
        let mut listeners = Listeners::new(&service, &writer, tls.as_ref(), default, stopped);
        for port in &udp {
            listeners.udp(*port, &args.address, args.receive_buffer)?;
        }
        for port in &tcp {
            listeners.tcp(*port, &args.address, false, args.proxy_protocol.contains(&port.port))?;
        }
        for port in &secure {
            listeners.tcp(*port, &args.address, true, args.proxy_protocol.contains(&port.port))?;
        }
        for socket in &args.unix {
            listeners.unix(socket)?;
        }
        for socket in &args.unixgram {
            listeners.unixgram(socket)?;
        }
        listeners.inherited(args.receive_buffer)?;
        let max_event = args.max_message.unwrap_or(DEFAULT_READ_MESSAGE - MAX_MESSAGE);
        let options = HecOptions { tokens, max_content: args.max_content_length, max_event, tls: tls.clone() };
        let server = Hec::new(options, &service, writer);
        for address in &args.hec {
            listeners.hec(*address, &server)?;
        }
        drop(server);
        if listeners.is_empty() {
            return Err(Failure::usage("nothing to listen at: give --udp, --tcp, --tls, --unix, --unixgram or --hec"));
        }
        listeners.reload_on_hangup(args.signers.clone())?;
        // Signals, and a reader of ours that goes away, end the service.
        let shown = service.clone();
        pipeline::spawn("signals", move || {
            wait_for_stop(&shown);
            let _ = stop.send(true);
        })?;
        listeners.serve().await;
        Ok(())
    });
    drop(runtime);
    result?;
    // The last writer is gone with the listeners: what was queued is written, then the thread ends.
    written.join().map_err(|_| Failure::failed("the writing thread has panicked"))??;
    if args.stats.stats {
        service.stats().print();
    }
    Ok(Exit::Success)
}

fn wait_for_stop(service: &Service) {
    let Some(signals) = Signals::get() else { return };
    loop {
        if signals.take_statistics_request() {
            service.stats().print();
        }
        let on = WaitOn { output: Some(pipeline::stdout_fd()), ..WaitOn::default() };
        if matches!(signals.wait(on), Wake::Stop | Wake::OutputClosed) {
            return;
        }
    }
}
