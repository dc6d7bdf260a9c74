//! FILE operands and standard input, as descriptors to read blocks from.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Failure;
use super::output::describe;
use crate::compression;

/// Opens a file to be read; a FIFO also if nobody writes it yet. Of such a one a read would find the end: see
/// [`await_readable`].
///
/// # Errors
/// Those of the system.
pub fn open_to_read(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Waits until something can be read, or the writer is gone. False when a signal asks to stop.
pub fn await_readable(fd: BorrowedFd<'_>) -> bool {
    use super::{Signals, WaitOn, Wake};
    while let Some(signals) = Signals::get() {
        match signals.wait(WaitOn { readable: &[fd], ..WaitOn::default() }) {
            Wake::Readable(_) => break,
            Wake::Stop => return false,
            _ => {}
        }
    }
    true
}

/// One thing to read.
pub enum Operand {
    Stdin,
    File { path: PathBuf, file: Arc<File>, content: Option<Compressed> },
}

/// Content of a file that is compressed.
pub struct Compressed(RefCell<Box<dyn Read + Send>>);

impl Operand {
    /// Opens a path; `-` is standard input.
    pub fn open(path: &Path) -> Result<Operand, String> {
        if path.as_os_str() == "-" {
            return Ok(Operand::Stdin);
        }
        let explain = |error| format!("{}: {}", path.display(), describe(&error));
        let file = open_to_read(path).map_err(explain)?;
        if file.metadata().map_err(explain)?.is_dir() {
            return Err(format!("{}: it is a directory", path.display()));
        }
        let file = Arc::new(file);
        let mut content = None;
        if file.metadata().map_err(explain)?.is_file() {
            let mut head = [0; compression::HEAD];
            let count = file.read_at(&mut head, 0).map_err(explain)?;
            let compressed = compression::decoder(&head[..count], || BufReader::with_capacity(1 << 16, file.clone()));
            content = compressed.map(|decoder| Compressed(RefCell::new(decoder)));
        }
        Ok(Operand::File { path: path.to_path_buf(), file, content })
    }

    pub fn name(&self) -> String {
        match self {
            Operand::Stdin => "standard input".into(),
            Operand::File { path, .. } => path.display().to_string(),
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Operand::Stdin => rustix::stdio::stdin(),
            Operand::File { file, .. } => file.as_fd(),
        }
    }

    /// Reads a block; 0 is the end.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.read_block(buf).map_err(|error| Failure::failed(format!("{}: {}", self.name(), describe(&error))))
    }

    fn read_block(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = match self {
                Operand::File { content: Some(Compressed(content)), .. } => content.borrow_mut().read(buf),
                _ => rustix::io::read(self.fd(), &mut *buf).map_err(std::io::Error::from),
            };
            match count {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                count => return count,
            }
        }
    }

    pub fn is_compressed(&self) -> bool {
        matches!(self, Operand::File { content: Some(_), .. })
    }

    /// Size in bytes, of a regular file.
    pub fn size(&self) -> Option<u64> {
        let stat = rustix::fs::fstat(self.fd()).ok()?;
        let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
        regular.then_some(stat.st_size as u64)
    }

    pub fn is_regular(&self) -> bool {
        self.size().is_some()
    }

    /// Whether the file is still what its path leads to.
    pub fn has_its_name(&self) -> bool {
        let Operand::File { path, file, .. } = self else { return true };
        let (Ok(named), Ok(open)) = (std::fs::metadata(path), file.metadata()) else { return false };
        (named.dev(), named.ino()) == (open.dev(), open.ino())
    }

    /// Bytes that a read would give: the rest of a regular file, or what waits in a pipe.
    pub fn unread(&self) -> u64 {
        match self.size() {
            Some(size) => size.saturating_sub(rustix::fs::tell(self.fd()).unwrap_or(size)),
            None => rustix::io::ioctl_fionread(self.fd()).unwrap_or(0),
        }
    }

    /// Whether another program writes it: a pipe, or a socket.
    pub fn is_piped(&self) -> bool {
        use rustix::fs::FileType;
        let kind = rustix::fs::fstat(self.fd()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        matches!(kind, Ok(FileType::Fifo | FileType::Socket))
    }
}

/// A file that is appended to must not be one that is read: it would grow without end.
///
/// # Errors
/// Naming the option that the file came by.
pub fn refuse_input_as_output(operands: &[Result<Operand, String>], path: &Path, option: &str) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(output) = std::fs::metadata(path) else { return Ok(()) };
    let same = |operand: &Operand| {
        let stat = rustix::fs::fstat(operand.fd());
        output.is_file() && stat.is_ok_and(|stat| stat.st_dev == output.dev() && stat.st_ino == output.ino())
    };
    match operands.iter().flatten().find(|operand| same(operand)) {
        Some(operand) => {
            let words = format!("{option} {}: it is what is read ({})", path.display(), operand.name());
            Err(Failure::usage(words))
        }
        None => Ok(()),
    }
}

/// Whether a descriptor is a socket.
pub fn is_socket(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Socket)
}

/// The operands in order; none means standard input.
///
/// # Errors
/// When standard input would be read and is a terminal, where a program would wait without a word.
pub fn open_operands(paths: &[PathBuf], what: &str) -> Result<Vec<Result<Operand, String>>, Failure> {
    let stdin = [PathBuf::from("-")];
    let paths = if paths.is_empty() { &stdin[..] } else { paths };
    let reads_stdin = paths.iter().any(|path| path.as_os_str() == "-");
    if reads_stdin && std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("standard input is a terminal: pipe {what} in, or name a FILE")));
    }
    Ok(paths.iter().map(|path| Operand::open(path)).collect())
}

impl Operand {
    /// For reading outside the run loop: flushes `out` first when the next read would block.
    pub fn reader(&self, out: &mut super::Output) -> Result<Blocks<'_>, Failure> {
        use super::{Signals, WaitOn, Wake};
        let fd = [self.fd()];
        let now = WaitOn { readable: &fd, timeout: Some(std::time::Duration::ZERO), ..WaitOn::default() };
        if Signals::get().is_none_or(|signals| signals.wait(now) != Wake::Readable(0)) {
            out.flush()?;
        }
        Ok(Blocks(self))
    }
}

/// Reads an operand.
pub struct Blocks<'a>(&'a Operand);

impl std::io::Read for Blocks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_piped() && !await_readable(self.0.fd()) {
            return Ok(0);
        }
        self.0.read_block(buf)
    }
}
