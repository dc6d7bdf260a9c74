//! A progress bar on stderr, for a finite input and a person who watches.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a finite input has been read; does nothing where nobody looks.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// `total` bytes in all. Hidden unless stderr is a terminal and standard output is not.
    pub fn new(total: Option<u64>) -> Progress {
        let watched = std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
        let Some(total) = total.filter(|&total| watched && total > 0) else { return Progress(None) };
        let bar = ProgressBar::new(total);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        Progress(Some(bar))
    }

    pub fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    pub fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
