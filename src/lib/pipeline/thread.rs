//! Threads, and what becomes of a program when one of them panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use super::{Exit, Failure, report};

/// Starts a thread. If it panics the program ends: what it was there for would never be done, and others would wait for
/// it. What is safe on disk stays so.
///
/// # Errors
/// When no thread can be had.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    spawn_with_stack(name, None, run)
}

/// The same with a stack of so many bytes.
///
/// # Errors
/// When no thread can be had.
pub fn spawn_with_stack<T: Send + 'static>(
    name: &str,
    stack: Option<usize>,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let mut builder = std::thread::Builder::new().name(name.into());
    if let Some(bytes) = stack {
        builder = builder.stack_size(bytes);
    }
    let guarded = move || match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(_) => std::process::exit(Exit::Failed as i32),
    };
    builder.spawn(guarded).map_err(|error| Failure::failed(format!("no thread could be started: {error}")))
}

/// Panics are defects of ours: one line says where, instead of several.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let words = text_of(payload);
        let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        report(&format!("internal error{place}, please report it: {words}"));
    }));
}

fn text_of(payload: &dyn Any) -> &str {
    let fixed = payload.downcast_ref::<&str>().copied();
    fixed.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
