//! Servers that answer as a test says.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request.
pub struct Incoming {
    pub path: String,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Incoming {
    /// The next one of a connection.
    pub fn read(stream: &TcpStream) -> Option<Incoming> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let path = head.split(' ').nth(1)?.to_string();
        let mut request = Incoming { path, head: head.to_ascii_lowercase(), body: Vec::new() };
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// A header's value, empty without one.
    pub fn header(&self, name: &str) -> String {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_string);
        self.head.lines().find_map(value).unwrap_or_default()
    }

    /// Undoes a compression that a header tells.
    pub fn decompress(&mut self) {
        if self.header("content-encoding") == "gzip" {
            let mut body = Vec::new();
            flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut body).unwrap();
            self.body = body;
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Serves connections until `exchange` has nothing more for one; answers the port.
pub fn listen(exchange: impl Fn(&TcpStream) -> Option<()> + Send + Sync + 'static) -> u16 {
    listen_at(0, exchange)
}

/// The same at a port.
pub fn listen_at(port: u16, exchange: impl Fn(&TcpStream) -> Option<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let exchange = Arc::new(exchange);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let exchange = exchange.clone();
            std::thread::spawn(move || while exchange(&stream).is_some() {});
        }
    });
    port
}
