//! The Lua host: scripts written for Heka, within limits that they can't leave.
//!
//! A [`Sandbox`] is one script in one LuaJIT state. It knows nothing of where messages come from or go to.
//!
//! Limits. Memory is counted by the allocator. Instructions are counted by a hook, exactly, because the compiler is
//! off: a loop of simple arithmetic then takes 10 ns an iteration instead of 3, but scripts spend their time in native
//! functions, and a budget means the same in a test and in production. Once a limit is passed the hook raises at every
//! further instruction, so `pcall` can't hold on to it. What patterns do counts as instructions too, and no other library
//! call takes longer than the memory that it may use allows; where many take long (joining long texts) the processor's
//! time is limited.

mod args;
mod at_hand;
mod budget;
pub mod cases;
mod clock;
mod decoder;
mod encode;
mod encoder;
mod environment;
mod filter;
mod host;
mod inject;
mod lasting;
mod lpeg;
mod lua;
mod lua51;
pub mod manager;
mod native;
mod number;
mod options;
mod preserve;
mod profile;
mod raw;
mod record;
mod runner;
mod scripts;
mod settings;
mod sorted;
mod stage;
mod state_file;
mod write;

use std::ffi::c_int;

use mlua::ffi;

pub use args::{HostArgs, LastingScriptArgs, ScriptArgs, named_script};
pub use clock::Clock;
pub use decoder::{Decoded, Decoder};
pub use encoder::{Encoded, Encoder};
pub use filter::{FilterOptions, FilterStage};
pub use host::{ConfigValue, Identity, Kind};
pub use scripts::{ModulePath, Script};
pub use settings::{Limits, OutputSection, Section, Settings};
pub use stage::{DecodeStage, OnFailure};

use crate::message::MessageView;
use budget::Budget;
use host::Host;
use lua::Lua;
use raw::State;

/// What a call of `process_message` answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// A negative status, with the script's words.
    Rejected {
        status: i64,
        words: Option<String>,
    },
}

/// Why a sandbox has ended: Heka's text. Every later call answers the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminated(pub String);

/// What ended it: how far its state can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// An error of the script's.
    Error,
    /// It ran into its memory or instruction limit.
    Limit,
    /// It said itself that it can't go on.
    Fatal,
}

/// What a script has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub memory: usize,
    pub max_memory: usize,
    pub max_instructions: u64,
    pub max_output: usize,
}

/// One script, loaded.
pub struct Sandbox {
    // Fields are dropped in order: the state is closed before what its functions and its hook point to is freed.
    lua: Lua,
    process: c_int,
    /// `LUA_NOREF` without one.
    timer: c_int,
    host: OwnedHost,
    budget: Box<Budget>,
    memory_limit: usize,
    usage: Usage,
    terminated: Option<String>,
    cause: Cause,
}

/// Sets what all sandboxes of a process share. Call it first thing in `main`.
pub fn prepare_process() {
    // SAFETY: called before any thread is started. Lua's os.date and os.time go by this variable.
    unsafe { std::env::set_var("TZ", "UTC") };
}

impl Sandbox {
    /// Loads a script: it runs once, under its limits, and must define `process_message`, or be a filter with a timer.
    ///
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(settings: &Settings) -> Result<Sandbox, String> {
        let mut sandbox = Sandbox::prepare(settings)?;
        sandbox.load(&settings.script)?;
        // A filter may be there for its timer alone.
        let timer_alone = settings.identity.kind == Kind::Filter && sandbox.has_timer();
        if sandbox.process == ffi::LUA_NOREF && !timer_alone {
            return Err(format!("{}: process_message() function was not found", settings.script.name));
        }
        Ok(sandbox)
    }

    /// A state with everything in it but the script.
    ///
    /// # Errors
    /// When the configuration is wrong, or there is no memory.
    pub fn prepare(settings: &Settings) -> Result<Sandbox, String> {
        budget::check_that_instructions_are_counted()?;
        let lua = Lua::new()?;
        let mut host = Host::new(settings.limits.output, settings.strict_nil, settings.modules.clone());
        host.config = settings.config.clone();
        // Known to scripts as in later lua_sandbox: some have to cut what they write.
        let limit = ConfigValue::Number(settings.limits.output as f64);
        host.config.entry("output_limit".into()).or_insert(limit);
        host.zone = settings.zone()?;
        host.clock = settings.clock;
        host.memory_limit = settings.limits.memory;
        host.identity = settings.identity.clone();
        let kind = settings.identity.kind;
        let host = Box::into_raw(Box::new(host));
        let mut sandbox = Sandbox {
            lua,
            process: ffi::LUA_NOREF,
            timer: ffi::LUA_NOREF,
            host: OwnedHost(host),
            budget: Box::new(Budget::new(settings.limits.instructions)),
            memory_limit: settings.limits.memory,
            usage: Usage::default(),
            terminated: None,
            cause: Cause::Error,
        };
        let budget: *const Budget = &*sandbox.budget;
        sandbox.host_mut().budget = budget;
        // SAFETY: a protected call; the host and the budget outlive the state (see the order of the fields).
        sandbox.lua.protect(|state| unsafe {
            environment::open(state, host.cast());
            host::register(state, host.cast(), kind);
            (*host).keys = encode::make_keys(state);
            lpeg::register(state);
            (*budget).watch(state);
        })?;
        sandbox.lua.collect();
        sandbox.lua.set_limit(settings.limits.memory);
        Ok(sandbox)
    }

    /// Runs a script's text once, under its limits, and takes note of what it defines.
    ///
    /// # Errors
    /// Lua's words, with file and line.
    pub fn load(&mut self, script: &Script) -> Result<(), String> {
        if script.code.starts_with('\x1b') {
            return Err(format!("{}: compiled scripts are not loaded", script.name));
        }
        let code = lua51::translate(script.code.as_bytes());
        let entry = self.lua.load(&script.name, &code)?;
        let called = self.call(entry, 0, |_| 0);
        // The text is not needed any more.
        // SAFETY: the reference is ours, and used no more.
        unsafe { ffi::luaL_unref(self.lua.state, ffi::LUA_REGISTRYINDEX, entry) };
        called?;
        self.process = self.lua.global_function("process_message")?.unwrap_or(ffi::LUA_NOREF);
        self.timer = self.lua.global_function("timer_event")?.unwrap_or(ffi::LUA_NOREF);
        self.lua.collect();
        Ok(())
    }

    /// Runs a referenced function under the limits; results stay on the stack.
    #[inline]
    fn call(
        &mut self,
        function: c_int,
        results: c_int,
        push_arguments: impl FnOnce(State) -> c_int,
    ) -> Result<(), String> {
        self.budget.begin();
        // SAFETY: a push of a reference that is there, arguments that are numbers and flags, and a protected call.
        // Nothing outside of it can raise: nothing allocates.
        let status = unsafe {
            ffi::lua_rawgeti(self.lua.state, ffi::LUA_REGISTRYINDEX, function as i64);
            let count = push_arguments(self.lua.state);
            ffi::lua_pcall(self.lua.state, count, results, 0)
        };
        let used = self.budget.used();
        self.usage.max_instructions = self.usage.max_instructions.max(used);
        if status == 0 {
            return Ok(());
        }
        let message = self.lua.take_error(status);
        let limit = self.budget.exceeded() || status == ffi::LUA_ERRMEM;
        self.cause = if limit { Cause::Limit } else { Cause::Error };
        Err(if self.budget.exceeded() { "instruction_limit exceeded".into() } else { with_remedy(message) })
    }

    /// Gives the script a message.
    #[inline]
    pub fn process(&mut self, message: MessageView<'_>) -> Result<Outcome, Terminated> {
        if let Some(reason) = &self.terminated {
            return Err(Terminated(reason.clone()));
        }
        if self.process == ffi::LUA_NOREF {
            return Ok(Outcome::Done);
        }
        // SAFETY: the message outlives this call.
        unsafe { self.host_mut().begin(message) };
        let called = self.call(self.process, 2, |_| 0);
        self.host_mut().at_hand.end();
        let answer = called.and_then(|()| self.answer());
        answer.map_err(|text| self.terminate(format!("process_message() {text}")))
    }

    /// Whether the script has a `process_message`.
    pub fn has_process(&self) -> bool {
        self.process != ffi::LUA_NOREF
    }

    /// Whether the script has a `timer_event`.
    pub fn has_timer(&self) -> bool {
        self.timer != ffi::LUA_NOREF
    }

    /// Calls the script's `timer_event(ns, shutdown)`; without one nothing happens.
    pub fn timer_event(&mut self, ns: i64, shutdown: bool) -> Result<(), Terminated> {
        if let Some(reason) = &self.terminated {
            return Err(Terminated(reason.clone()));
        }
        self.host_mut().begin_call();
        if !self.has_timer() {
            return Ok(());
        }
        // SAFETY: two pushes onto an empty stack.
        let arguments = |state| unsafe {
            ffi::lua_pushnumber(state, ns as f64);
            ffi::lua_pushboolean(state, shutdown as c_int);
            2
        };
        self.call(self.timer, 0, arguments).map_err(|text| self.terminate(format!("timer_event() {text}")))?;
        self.collect();
        // As Heka does.
        self.lua.collect();
        Ok(())
    }

    /// Lets the script print, to standard output.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn allow_print(&mut self) -> Result<(), String> {
        // SAFETY: one push in a protected call, taken by the global.
        self.lua.protect(|state| unsafe {
            raw::push_function(state, host::print, std::ptr::null_mut());
            ffi::lua_setglobal(state, c"print".as_ptr());
        })
    }

    /// The type that an encoder gave its last payload.
    pub fn payload_kind(&self) -> &[u8] {
        &self.host().payload_kind
    }

    /// What is in the payload buffer, which is empty then.
    pub fn take_payload(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.host_mut().payload)
    }

    /// What time it is for the messages that the script injects, and how many of them a call may inject (0: any number).
    pub fn set_injection(&mut self, now: Option<i64>, limit: usize) {
        let host = self.host_mut();
        (host.clock, host.inject_limit) = (now, limit);
    }

    /// The two results of `process_message`, taken from the stack.
    #[inline]
    fn answer(&mut self) -> Result<Outcome, String> {
        // SAFETY: two results are on the stack; reading them converts nothing.
        let (status, kind, words) = unsafe {
            let status =
                (ffi::lua_type(self.lua.state, -2) == ffi::LUA_TNUMBER).then(|| ffi::lua_tonumber(self.lua.state, -2));
            let words = raw::string(self.lua.state, -1).map(|text| String::from_utf8_lossy(text).into_owned());
            let kind = ffi::lua_type(self.lua.state, -1);
            ffi::lua_settop(self.lua.state, 0);
            (status, kind, words)
        };
        self.collect();
        let Some(status) = status else { return Err("must return a numeric status code".into()) };
        if kind != ffi::LUA_TNIL && kind != ffi::LUA_TSTRING {
            return Err("must return a nil or string error message".into());
        }
        match status as i64 {
            0 => Ok(Outcome::Done),
            status if status < 0 => Ok(Outcome::Rejected { status, words }),
            _ => {
                self.cause = Cause::Fatal;
                Err(format!("FATAL: {}", words.unwrap_or_default()))
            }
        }
    }

    /// Close to the memory limit garbage is collected at once: LuaJIT doesn't when an allocation is refused.
    #[inline]
    fn collect(&mut self) {
        let used = self.lua.used();
        self.usage.memory = used;
        self.usage.max_memory = self.usage.max_memory.max(used);
        if self.memory_limit > 0 && used > self.memory_limit / 2 {
            self.lua.collect();
        }
    }

    /// Ends the sandbox; every later call answers the same.
    pub fn terminate(&mut self, reason: String) -> Terminated {
        self.collect();
        self.terminated = Some(reason.clone());
        Terminated(reason)
    }

    fn cause(&self) -> Cause {
        self.cause
    }

    /// Lets a sandbox that an error has ended go on, in a new state where the old one is not to be trusted: after a limit,
    /// and where most of its memory stays taken.
    ///
    /// # Errors
    /// When the script can't be loaded again.
    fn resume(&mut self, settings: &Settings) -> Result<(), String> {
        self.terminated = None;
        // Garbage is collected only where there may be much of it.
        self.collect();
        if self.cause == Cause::Error && (self.memory_limit == 0 || self.lua.used() <= self.memory_limit / 2) {
            return Ok(());
        }
        let usage = self.usage();
        *self = Sandbox::new(settings)?;
        self.usage = usage;
        self.host_mut().max_output = usage.max_output;
        Ok(())
    }

    /// The messages that the last call injected.
    pub fn injected(&self) -> impl Iterator<Item = &[u8]> {
        let host = self.host();
        let starts = std::iter::once(0).chain(host.ends.iter().copied());
        starts.zip(&host.ends).map(|(start, &end)| &host.out[start..end])
    }

    /// How many messages the last call injected.
    pub fn injected_count(&self) -> usize {
        self.host().ends.len()
    }

    /// The message of the last call as `write_message` left it; `None` when it was not changed.
    pub fn edited(&self) -> Option<&[u8]> {
        self.host().at_hand.edited()
    }

    pub fn usage(&self) -> Usage {
        Usage { max_output: self.host().max_output, ..self.usage }
    }

    fn host(&self) -> &Host {
        // SAFETY: made by `Box::into_raw` in `prepare`, freed when the sandbox is; scripts reach it only inside `call`, which takes
        // the sandbox mutably.
        unsafe { &*self.host.0 }
    }

    fn host_mut(&mut self) -> &mut Host {
        // SAFETY: as above.
        unsafe { &mut *self.host.0 }
    }
}

/// Modules that become a global of their name when they are required.
const MODULES: [&str; 12] = [
    "bloom_filter",
    "circular_buffer",
    "cjson",
    "cuckoo_filter",
    "hyperloglog",
    "lpeg",
    "math",
    "os",
    "sax",
    "string",
    "struct",
    "table",
];

/// Names the module that has to be required, where that is what an error is about.
fn with_remedy(message: String) -> String {
    let (_, name) = message.split_once("attempt to index global '").unwrap_or_default();
    let (name, _) = name.split_once("' (a nil value)").unwrap_or_default();
    match MODULES.contains(&name) {
        true => format!("{message}: the script has to say require \"{name}\" first"),
        false => message,
    }
}

/// What the state's functions point to, freed after the state.
struct OwnedHost(*mut Host);

impl Drop for OwnedHost {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; the state that points to it is closed (see the fields of the sandbox).
        drop(unsafe { Box::from_raw(self.0) });
    }
}
