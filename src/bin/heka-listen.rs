//! heka-listen: messages from the network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::pipeline::{self, Exit, Failure, Signals, StatsArgs, WaitOn, Wake, parse_size};
use heka::source::listen::hec::{Hec, HecOptions};
use heka::source::listen::{Counts, Writer, acceptor};

const EXAMPLES: &str = "\
Examples:
  A HEC server on this machine, and what it gets:
    heka-listen --hec 127.0.0.1:8088 --token-file token | heka-cat
    curl http://127.0.0.1:8088/services/collector/event -H \"Authorization: Splunk $(cat token)\" -d '{\"event\":\"hello\"}'

  With TLS, into a file:
    heka-listen --hec 0.0.0.0:8088 --cert cert.pem --key key.pem --token-file tokens >> events.hpb

A request that names a channel gets an ack id, which turns true when its messages have been written to standard output;
one without a channel is answered when they have been.";

/// Receive messages from the network
#[derive(Parser)]
#[command(name = "heka-listen", version, after_help = EXAMPLES)]
struct Args {
    /// Be a Splunk HTTP Event Collector at this address; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    hec: Vec<SocketAddr>,

    /// File of the tokens that are let in, one a line; without it the environment variable HEKA_HEC_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// PEM file of this server's certificate and its chain: turns on TLS
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Longest request body, after decompression
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_size)]
    max_content_length: usize,

    /// Let clients wait while so many bytes are to be written
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = parse_size)]
    max_queue_bytes: usize,

    #[command(flatten)]
    stats: StatsArgs,
}

fn main() -> ExitCode {
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let tokens = pipeline::read_secrets(args.token_file.as_deref(), "HEKA_HEC_TOKEN", "--token-file")?;
    let tls = match (&args.cert, &args.key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stop = std::sync::Arc::new(stop);
    let failed = stop.clone();
    let (writer, written) = Writer::start(args.max_queue_bytes, move || {
        let _ = failed.send(true);
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no event loop: {error}")))?;
    let counts = writer.counts();
    // Signals, and a reader of ours that goes away, end the service.
    let shown = counts.clone();
    std::thread::spawn(move || {
        wait_for_stop(&shown);
        let _ = stop.send(true);
    });
    runtime.block_on(async {
        let mut services = tokio::task::JoinSet::new();
        let options = HecOptions { tokens, max_content: args.max_content_length, tls };
        let server = Hec::new(options, writer);
        for address in &args.hec {
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .map_err(|error| Failure::failed(format!("--hec {address}: {error}")))?;
            let local = listener.local_addr().map_err(|error| Failure::failed(format!("--hec {address}: {error}")))?;
            pipeline::report(&format!("HEC at {local}"));
            services.spawn(server.clone().serve(listener, stopped.clone()));
        }
        drop(server);
        while services.join_next().await.is_some() {}
        Ok(())
    })?;
    // The last writer is gone with the services: what was queued is written, then the thread ends.
    written.join().map_err(|_| Failure::failed("the writing thread has panicked"))??;
    if args.stats.stats {
        counts.stats().print();
    }
    Ok(Exit::Success)
}

fn wait_for_stop(counts: &Counts) {
    let Some(signals) = Signals::get() else { return };
    loop {
        if signals.take_statistics_request() {
            counts.stats().print();
        }
        let on = WaitOn { output: Some(pipeline::stdout_fd()), ..WaitOn::default() };
        if matches!(signals.wait(on), Wake::Stop | Wake::OutputClosed) {
            return;
        }
    }
}
