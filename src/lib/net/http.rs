//! The HTTP agent of the sinks: connections with our TLS, through a proxy where the environment names one.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};
use ureq::{Agent, Error, Proxy};

use super::Url;
use super::proxy::{self, Forwarding};
use super::tls::{TlsOptions, client_config};

/// What connections are made with.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub timeout: Duration,
    pub tls: TlsOptions,
    /// What requests say of who sends them.
    pub user_agent: &'static str,
}

/// Makes agents for one server.
#[derive(Clone)]
pub struct Agents {
    config: Config,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
}

impl Agents {
    /// # Errors
    /// When a PEM file or the environment's proxy can't be used.
    pub fn new(url: &Url, options: &HttpOptions) -> Result<Agents, String> {
        let proxy = proxy::from_environment(url)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Secrets must not be carried to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(options.timeout))
            .user_agent(options.user_agent)
            .proxy(proxy.clone())
            .build();
        Ok(Agents { config, tls: client_config(&options.tls)?, proxy })
    }

    /// One with connections and cookies of its own.
    pub fn agent(&self) -> Agent {
        let tls = TlsConnector(self.tls.clone());
        match self.proxy.as_ref().and_then(Forwarding::new) {
            Some(forwarding) => {
                let connector = ().chain(forwarding).chain(ConnectProxyConnector::default());
                let connector = connector.chain(TcpConnector::default()).chain(tls);
                Agent::with_parts(self.config.clone(), connector, DefaultResolver::default())
            }
            None => {
                let connector = ().chain(TcpConnector::default()).chain(tls);
                Agent::with_parts(self.config.clone(), connector, DefaultResolver::default())
            }
        }
    }
}

/// Puts TLS around a connection to an https:// address.
struct TlsConnector(Arc<ClientConfig>);

impl std::fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(host).map_err(|error| Error::Io(std::io::Error::other(error)))?;
        let session =
            ClientConnection::new(self.0.clone(), name).map_err(|error| Error::Io(std::io::Error::other(error)))?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// A connection with TLS.
struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl TlsTransport {
    /// A server that refuses our certificate, in TLS 1.3, says so after the handshake and closes: a write fails, and why
    /// can be read.
    fn why(&mut self, error: std::io::Error) -> std::io::Error {
        while let Ok(1..) = self.stream.conn.read_tls(&mut self.stream.sock) {
            if let Err(refusal) = self.stream.conn.process_new_packets() {
                return std::io::Error::other(refusal);
            }
        }
        error
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let written = self.stream.write_all(output);
        written.map_err(|error| Error::from(self.why(error)))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
