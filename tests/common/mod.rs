//! What the black-box tests share: a fresh folder, the built programs on the PATH, processes that end with the test.

#![allow(dead_code)]

pub mod http;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use heka::message::schema::Message;
use heka::stream::{Deframer, Frame, Step};

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Ran {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Asserts success and silence on stderr.
    pub fn ok(self) -> Ran {
        assert!(self.status.success() && self.stderr.is_empty(), "{:?}: {}", self.status, self.stderr);
        self
    }

    /// Asserts one line on stderr that contains `words`, and the exit status.
    pub fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.stderr.lines().count(), 1, "one line expected: {}", self.stderr);
        assert!(self.stderr.contains(words), "{:?} not in {}", words, self.stderr);
        assert_eq!(self.code(), code, "{}", self.stderr);
    }
}

impl Ran {
    /// All of these are somewhere in what it says.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        for words in words {
            assert!(self.stderr.contains(words), "{words:?} expected in: {}", self.stderr);
        }
    }

    /// Asserts that each line on stderr contains these words.
    pub fn fails_with(&self, lines: &[&str]) {
        let found: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(found.len(), lines.len(), "{}", self.stderr);
        for (line, words) in found.iter().zip(lines) {
            assert!(line.contains(words), "{words:?} not in {line}");
        }
    }
}

/// A folder of a test's own.
pub struct Workdir(tempfile::TempDir);

impl Workdir {
    pub fn new() -> Workdir {
        Workdir(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::io::Write;
        let mut file = fs::File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        let path = format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap());
        command.args(["-c", &format!("set -o pipefail; {script}")]);
        command.current_dir(self.0.path()).env("PATH", path).env("DATA", data_dir()).env_remove("HEKA_HEC_TOKEN");
        // cargo sets it for tests; a cargo that a test runs would take it for a change and build everything again.
        command.env_remove("CFLAGS");
        // Nor may what cargo tells the test about its package: ring's build script looks at it, and all would be built anew.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_MANIFEST") || name.starts_with("CARGO_PKG_")) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a shell pipeline in the folder.
    pub fn sh(&self, script: &str) -> Ran {
        let output = self.command(script).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran { stdout: output.stdout, stderr, status: output.status }
    }

    /// Starts a shell pipeline; all of it is killed at the latest when the answer is dropped.
    pub fn start(&self, script: &str) -> Background {
        use std::os::unix::process::CommandExt;
        // bash must outlive a signal to the group, to wait for the pipeline.
        let mut command = self.command(&format!("trap : TERM INT USR1; {script}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Background { child: command.spawn().unwrap() }
    }

    /// Makes an authority, ca.pem, and two certificates that come from it: a server's, cert.pem with key.pem, and
    /// client.pem with client.key of CN=web1. False where openssl is missing.
    pub fn certificates(&self) -> bool {
        if !have("openssl") {
            return false;
        }
        self.write("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
        let mut commands = vec![
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority".to_string(),
        ];
        for (certificate, key, subject) in
            [("cert.pem", "key.pem", "/CN=localhost"), ("client.pem", "client.key", "/O=Example/CN=web1")]
        {
            commands.push(format!("req -newkey rsa:2048 -nodes -keyout {key} -out request.pem -subj {subject}"));
            commands.push(format!(
                "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {certificate}"
            ));
        }
        for command in commands {
            self.sh(&format!("openssl {command} 2>/dev/null")).ok();
        }
        true
    }

    /// Starts `heka-listen --hec` writing to a file; answers its port.
    pub fn listen(&self, options: &str, out: &str) -> (Background, u16) {
        self.write("token", "s3cret\n");
        let mut server =
            self.start(&format!("exec heka-listen --hec 127.0.0.1:0 --token-file token {options} >> {out}"));
        let line = server.stderr_line();
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        (server, port.unwrap_or_else(|| panic!("no port in {line:?}")))
    }
}

/// A pipeline that runs beside the test.
pub struct Background {
    pub child: Child,
}

impl Background {
    /// The next line that it prints on stderr.
    pub fn stderr_line(&mut self) -> String {
        let mut line = String::new();
        // Byte by byte: a buffered reader would keep what comes after the line.
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut byte = [0];
        while stderr.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0] as char);
        }
        line
    }

    pub fn stdout(&mut self) -> impl BufRead + use<> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    /// Sends a signal to every process of the pipeline.
    pub fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
    }

    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let until = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "still running after {at_most:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Waits until something is so; the tests' only way to wait.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "not within 30 seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn binaries() -> PathBuf {
    // tests/run.sh names those that users run; without it the tests' own build is taken.
    match std::env::var_os("HEKA_PROGRAMS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_BIN_EXE_heka-cat")).parent().unwrap().to_path_buf(),
    }
}

pub fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The frames of a stream, and how many bytes were none.
pub fn frames(stream: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let mut deframer = Deframer::new(64 << 20);
    let (mut frames, mut skipped) = (Vec::new(), 0);
    let mut rest = stream;
    loop {
        match deframer.step() {
            Step::Frame(frame) => frames.push(frame.raw().to_vec()),
            Step::Gap(gap) => skipped += gap.bytes,
            Step::Incomplete if rest.is_empty() => break,
            Step::Incomplete => {
                let space = deframer.space();
                let part = rest.len().min(space.len());
                space[..part].copy_from_slice(&rest[..part]);
                deframer.filled(part);
                rest = &rest[part..];
            }
        }
    }
    (frames, skipped)
}

/// The messages of a stream that has nothing else in it.
pub fn messages(stream: &[u8]) -> Vec<Message> {
    let (frames, skipped) = frames(stream);
    assert_eq!(skipped, 0);
    frames.iter().map(|raw| prost::Message::decode(Frame::parse(raw).unwrap().message()).unwrap()).collect()
}

pub fn payloads(stream: &[u8]) -> Vec<String> {
    let text = |message: Message| String::from_utf8_lossy(&message.payload.unwrap_or_default()).into_owned();
    messages(stream).into_iter().map(text).collect()
}

/// A field's values as text, with its representation: `82 B`.
pub fn field(message: &Message, name: &str) -> Option<String> {
    let field = message.fields.iter().find(|field| field.name == name.as_bytes())?;
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let values: Vec<String> = match field.value_type.unwrap_or(0) {
        0 => field.value_string.iter().map(text).collect(),
        1 => field.value_bytes.iter().map(text).collect(),
        2 => field.value_integer.iter().map(|number| format!("int {number}")).collect(),
        3 => field.value_double.iter().map(|number| number.to_string()).collect(),
        _ => field.value_bool.iter().map(|flag| flag.to_string()).collect(),
    };
    let representation = field.representation.as_ref().map(|text| format!(" {}", String::from_utf8_lossy(text)));
    Some(values.join(",") + &representation.filter(|text| text.len() > 1).unwrap_or_default())
}

/// What `--stats` says among other lines.
#[track_caller]
pub fn stats(said: &str) -> serde_json::Value {
    said.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("no statistics in {said}"))
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// splitmix64: the same seed, the same kills.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A port of the loopback that nobody listens on.
pub fn free_port() -> u16 {
    // Below what the kernel gives to clients: a port of theirs may be taken before a server that is started has it.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    loop {
        let port = 10_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether a test that needs a program from Debian can run; says so when it can't.
pub fn have(program: &str) -> bool {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let there = dirs.iter().any(|dir| Path::new(dir).join(program).exists());
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}
