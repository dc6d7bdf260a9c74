//! The Lua host: scripts written for Heka, within limits that they can't leave.
//!
//! A [`Sandbox`] is one script in one LuaJIT state. It knows nothing of where messages come from or go to.
//!
//! Limits. Memory is counted by the allocator. Instructions are counted by a hook, exactly, because the compiler is
//! off: a loop of simple arithmetic then takes 10 ns an iteration instead of 3, but decoders spend their time in
//! native grammars, and a budget means the same in a test and in production. Once a limit is passed the hook raises
//! at every further instruction, so `pcall` can't hold on to it. A library call that never returns (a pathological
//! `string.find`) is out of the hook's reach: a watchdog ends the process.

mod budget;
mod decoder;
mod encode;
mod host;
mod library;
mod lpeg;
mod number;
mod raw;
mod record;
mod scripts;
mod settings;
mod stage;
mod watchdog;
mod write;

use std::ffi::{c_int, c_void};

use mlua::chunk::ChunkMode;
use mlua::ffi;
use mlua::{Lua, LuaOptions, StdLib};

pub use decoder::{Decoded, Decoder};
pub use host::ConfigValue;
pub use scripts::{ModulePath, Script};
pub use settings::{Limits, Section, Settings};
pub use stage::{DecodeStage, OnFailure};

use crate::message::Index;
use budget::Budget;
use host::Host;
use raw::State;

/// What a call of `process_message` answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// A negative status, with the script's words.
    Rejected(Option<String>),
}

/// Why a sandbox has ended: Heka's text. Every later call answers the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminated(pub String);

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
    /// Keeps the state alive.
    _lua: Lua,
    state: State,
    process: c_int,
    host: *mut Host,
    budget: Box<Budget>,
    memory_limit: usize,
    heartbeat: watchdog::Heartbeat,
    usage: Usage,
    terminated: Option<String>,
}

/// Sets what all sandboxes of a process share. Call it first thing in `main`.
pub fn prepare_process() {
    // SAFETY: called before any thread is started. Lua's os.date and os.time go by this variable.
    unsafe { std::env::set_var("TZ", "UTC") };
}

impl Sandbox {
    /// Loads a script: it runs once, under its limits, and must define `process_message`.
    ///
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(settings: &Settings) -> Result<Sandbox, String> {
        let plain = |error: mlua::Error| first_line(&error.to_string());
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS | StdLib::JIT;
        let lua = Lua::new_with(libraries, LuaOptions::new()).map_err(plain)?;
        let mut host = Host::new(settings.limits.output, settings.strict_nil, settings.modules.clone());
        host.config = settings.config.clone();
        host.zone = settings.zone()?;
        host.memory_limit = settings.limits.memory;
        let host = Box::into_raw(Box::new(host));
        let mut sandbox = Sandbox {
            state: std::ptr::null_mut(),
            _lua: lua.clone(),
            process: ffi::LUA_NOREF,
            host,
            budget: Box::new(Budget::new(settings.limits.instructions)),
            memory_limit: settings.limits.memory,
            heartbeat: watchdog::Heartbeat::new(settings.limits.instructions > 0),
            usage: Usage::default(),
            terminated: None,
        };
        let budget: *const Budget = &*sandbox.budget;
        sandbox.host_mut().budget = budget;
        let mut state = std::ptr::null_mut();
        // SAFETY: runs in a protected call; the host and the budget outlive the state (see the order of the fields and
        // `drop`).
        unsafe {
            lua.exec_raw::<()>((), |l| {
                state = l;
                host::register(l, host.cast());
                lpeg::register(l);
            })
            .map_err(plain)?;
            sandbox.state = state;
            let find: mlua::Function =
                lua.exec_raw((), |l| raw::push_function(l, find_module, host.cast())).map_err(plain)?;
            let open: mlua::Function =
                lua.exec_raw((), |l| raw::push_function(l, open_native, host.cast())).map_err(plain)?;
            let guard: mlua::Function =
                lua.exec_raw((), |l| raw::push_function(l, record::guard, host.cast())).map_err(plain)?;
            let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude").set_mode(ChunkMode::Text);
            prelude.call::<()>((find, open, guard)).map_err(plain)?;
            lua.gc_collect().map_err(plain)?;
            if settings.limits.memory > 0 {
                lua.set_memory_limit(settings.limits.memory).map_err(plain)?;
            }
            let budget = &sandbox.budget;
            lua.exec_raw::<()>((), |l| budget.watch(l)).map_err(plain)?;
        }
        sandbox.load(&lua, &settings.script)?;
        Ok(sandbox)
    }

    fn load(&mut self, lua: &Lua, script: &Script) -> Result<(), String> {
        if script.code.starts_with('\x1b') {
            return Err(format!("{}: compiled scripts are not loaded", script.name));
        }
        let chunk = lua.load(script.code.as_str()).set_name(format!("@{}", script.name)).set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => first_line(&message),
            error => first_line(&error.to_string()),
        })?;
        // SAFETY: one push in a protected call; the reference is freed with the state.
        let entry: c_int = unsafe {
            let mut reference = ffi::LUA_NOREF;
            lua.exec_raw::<()>(function, |l| reference = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX))
                .map_err(|error| first_line(&error.to_string()))?;
            reference
        };
        self.call(entry, 0)?;
        let defined = lua.globals().get::<Option<mlua::Function>>("process_message");
        let Ok(Some(function)) = defined else {
            return Err(format!("{}: process_message() function was not found", script.name));
        };
        // SAFETY: as above.
        unsafe {
            let mut reference = ffi::LUA_NOREF;
            lua.exec_raw::<()>(function, |l| reference = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX))
                .map_err(|error| first_line(&error.to_string()))?;
            self.process = reference;
        }
        lua.gc_collect().map_err(|error| first_line(&error.to_string()))
    }

    /// Runs a referenced function under the limits; results stay on the stack.
    #[inline]
    fn call(&mut self, function: c_int, results: c_int) -> Result<(), String> {
        self.budget.begin();
        self.heartbeat.enter();
        // SAFETY: a push of a reference that is there, and a protected call. Nothing outside of it can raise: neither
        // allocates.
        let status = unsafe {
            ffi::lua_rawgeti(self.state, ffi::LUA_REGISTRYINDEX, function as i64);
            ffi::lua_pcall(self.state, 0, results, 0)
        };
        self.heartbeat.leave();
        let used = self.budget.used();
        self.usage.max_instructions = self.usage.max_instructions.max(used);
        if status == 0 {
            return Ok(());
        }
        // SAFETY: reads the error, then clears the stack.
        let message = unsafe {
            let message = raw::string(self.state, -1).map(|text| String::from_utf8_lossy(text).into_owned());
            let kind = raw::type_name(self.state, -1);
            ffi::lua_settop(self.state, 0);
            message.unwrap_or_else(|| format!("error object is a {kind}"))
        };
        if self.budget.exceeded() {
            return Err("instruction_limit exceeded".into());
        }
        if status == ffi::LUA_ERRMEM {
            return Err("not enough memory".into());
        }
        Err(message)
    }

    /// Gives the script a message.
    #[inline]
    pub fn process(&mut self, message: &[u8], index: Index) -> Result<Outcome, Terminated> {
        if let Some(reason) = &self.terminated {
            return Err(Terminated(reason.clone()));
        }
        self.host_mut().begin(message, index);
        let called = self.call(self.process, 2);
        self.host_mut().end();
        let answer = called.and_then(|()| self.answer());
        answer.map_err(|text| self.terminate(format!("process_message() {text}")))
    }

    /// The two results of `process_message`, taken from the stack.
    #[inline]
    fn answer(&mut self) -> Result<Outcome, String> {
        // SAFETY: two results are on the stack; reading them converts nothing.
        let (status, kind, words) = unsafe {
            let status = (ffi::lua_type(self.state, -2) == ffi::LUA_TNUMBER).then(|| ffi::lua_tonumber(self.state, -2));
            let words = raw::string(self.state, -1).map(|text| String::from_utf8_lossy(text).into_owned());
            let kind = ffi::lua_type(self.state, -1);
            ffi::lua_settop(self.state, 0);
            (status, kind, words)
        };
        self.collect();
        let Some(status) = status else { return Err("must return a numeric status code".into()) };
        if kind != ffi::LUA_TNIL && kind != ffi::LUA_TSTRING {
            return Err("must return a nil or string error message".into());
        }
        match status as i64 {
            0 => Ok(Outcome::Done),
            status if status < 0 => Ok(Outcome::Rejected(words)),
            _ => Err(format!("FATAL: {}", words.unwrap_or_default())),
        }
    }

    /// Close to the memory limit garbage is collected at once: LuaJIT doesn't when an allocation is refused.
    #[inline]
    fn collect(&mut self) {
        // SAFETY: reads a counter; a full collection runs no script (there are no finalizers of scripts).
        unsafe {
            let used = ffi::lua_gc(self.state, ffi::LUA_GCCOUNT, 0) as usize * 1024;
            self.usage.memory = used;
            self.usage.max_memory = self.usage.max_memory.max(used);
            if self.memory_limit > 0 && used > self.memory_limit / 2 {
                ffi::lua_gc(self.state, ffi::LUA_GCCOLLECT, 0);
            }
        }
    }

    /// Ends the sandbox; every later call answers the same.
    pub fn terminate(&mut self, reason: String) -> Terminated {
        self.terminated = Some(reason.clone());
        Terminated(reason)
    }

    /// The messages that the last call injected.
    pub fn injected(&self) -> impl Iterator<Item = &[u8]> {
        let host = self.host();
        let starts = std::iter::once(0).chain(host.ends.iter().copied());
        starts.zip(&host.ends).map(|(start, &end)| &host.out[start..end])
    }

    /// The message of the last call as `write_message` left it; `None` when it was not changed.
    pub fn edited(&self) -> Option<&[u8]> {
        let host = self.host();
        host.edited.then_some(&host.message[..])
    }

    pub fn usage(&self) -> Usage {
        Usage { max_output: self.host().max_output, ..self.usage }
    }

    fn host(&self) -> &Host {
        // SAFETY: made by `Box::into_raw` in `new`, freed in `drop`; scripts reach it only inside `call`, which takes
        // the sandbox mutably.
        unsafe { &*self.host }
    }

    fn host_mut(&mut self) -> &mut Host {
        // SAFETY: as above.
        unsafe { &mut *self.host }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`. The state still points to it, but runs nothing more: it has no finalizers
        // that call host functions.
        drop(unsafe { Box::from_raw(self.host) });
    }
}

/// For the prelude: the code and file of a module, or nil and what was tried.
unsafe extern "C-unwind" fn find_module(state: State) -> c_int {
    // SAFETY: the file's text is handed to the host before it is pushed, which may raise.
    unsafe {
        let name = raw::string(state, 1).unwrap_or_default();
        let host = Host::of(state);
        let found = host.find_module(name);
        if found {
            raw::push_bytes(state, &host.module_code);
        } else {
            ffi::lua_pushnil(state);
        }
        raw::push_bytes(state, host.last_error().as_bytes());
        2
    }
}

/// For the prelude: a native library, or nil.
unsafe extern "C-unwind" fn open_native(state: State) -> c_int {
    // SAFETY: one push.
    unsafe {
        let name = raw::string(state, 1).unwrap_or_default();
        let host: *mut c_void = raw::upvalue(state);
        if name == b"lpeg" {
            lpeg::open(state, host);
        } else if !library::open(state, name, host) {
            ffi::lua_pushnil(state);
        }
        1
    }
}

/// mlua adds a traceback to messages.
fn first_line(text: &str) -> String {
    let text = text.split("\nstack traceback:").next().unwrap_or_default();
    text.strip_prefix("runtime error: ").or(text.strip_prefix("syntax error: ")).unwrap_or(text).trim().to_string()
}
