//! Kept state: a script's global data as statements that make it again.
//!
//! The text is a Lua chunk, one statement a line, in the form of lua_sandbox's files: either side reads what the other
//! wrote. Functions, threads, tables with a metatable (libraries) and objects that can't be saved are left out.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::io::Write as _;

use mlua::ffi;

use super::Sandbox;
use super::host::Host;
use super::lua::Lua;
use super::native::{class_of, put_quoted};
use super::number;
use super::raw::{self, State};
use super::record;

/// Tables within tables that are kept.
const MAX_DEPTH: usize = 200;
/// Bytes of statements that are run at a time: LuaJIT takes at most 65536 constants in one function.
const CHUNK: usize = 64 * 1024;
/// What a statement of a state file may take, by the file's length: some 20 bytes make one, of a dozen instructions.
const RESTORE_INSTRUCTIONS: u64 = 1_000_000;
const INSTRUCTIONS_A_BYTE: u64 = 10;
const MEMORY_A_BYTE: usize = 16;
/// Begins the line that guards a file against a script of another version.
const GUARD: &[u8] = b"if _PRESERVATION_VERSION and _PRESERVATION_VERSION ~= ";
const VERSION: &str = "_PRESERVATION_VERSION";

/// What is written, and what has been met on the way.
struct Walk {
    host: *mut Host,
    out: Vec<u8>,
    path: Vec<u8>,
    /// Where each table and object was first.
    seen: HashMap<*const c_void, Vec<u8>>,
    error: Option<String>,
}

impl Sandbox {
    /// The state as text.
    ///
    /// # Errors
    /// When something can't be kept: Heka's words.
    pub fn save_state(&mut self) -> Result<Vec<u8>, String> {
        let version = self.lua.global_number(VERSION).unwrap_or(0.0) as i64;
        let mut walk = Walk {
            host: self.host.0,
            out: Vec::with_capacity(4096),
            path: b"_G".to_vec(),
            seen: HashMap::new(),
            error: None,
        };
        let _ = writeln!(walk.out, "{}{version} then return end", String::from_utf8_lossy(GUARD));
        let state = self.lua.state;
        let error = self.with_limits(0, 0, |_| {
            // SAFETY: the walk outlives the call, and nothing in it is dropped by an error that leaves it.
            unsafe {
                let status = ffi::lua_cpcall(state, save_globals, (&raw mut walk).cast());
                let message = (status != 0).then(|| raw::string(state, -1).map(String::from_utf8_lossy));
                let message = message.map(|text| text.unwrap_or_default().into_owned());
                ffi::lua_settop(state, 0);
                message
            }
        });
        match walk.error.or(error) {
            Some(message) => Err(message),
            None => Ok(walk.out),
        }
    }

    /// Runs the statements of a state file, unless they are of another version. `name` is shown in errors.
    ///
    /// # Errors
    /// Lua's words, with file and line.
    pub fn restore_state(&mut self, name: &str, text: &[u8]) -> Result<(), String> {
        let mut lines = statements(text).peekable();
        let mut line = 0;
        if let Some(version) = lines.peek().and_then(|first| first.strip_prefix(GUARD)) {
            let version = version.split(|byte| *byte == b' ').next().unwrap_or_default();
            let saved = std::str::from_utf8(version).ok().and_then(|text| text.parse::<f64>().ok());
            // A script that sets none takes anything.
            if self.lua.global_number(VERSION).is_some_and(|wanted| saved != Some(wanted)) {
                return Ok(());
            }
            lines.next();
            line = 1;
        }
        // What the file can need by its length: somebody else may have written it.
        let instructions = RESTORE_INSTRUCTIONS.saturating_add(text.len() as u64 * INSTRUCTIONS_A_BYTE);
        let memory = match self.memory_limit {
            0 => 0,
            limit => limit.saturating_add(text.len().saturating_mul(MEMORY_A_BYTE)),
        };
        let restored = self.with_limits(instructions, memory, |lua| {
            while lines.peek().is_some() {
                // Errors count lines from the beginning of the file.
                let mut chunk = vec![b'\n'; line];
                let start = chunk.len();
                while let Some(statement) =
                    lines.next_if(|next| chunk.len() == start || chunk.len() - start + next.len() < CHUNK)
                {
                    line += 1 + memchr::memchr_iter(b'\n', statement).count();
                    chunk.extend_from_slice(statement);
                    chunk.push(b'\n');
                }
                let function = lua.load(name, &chunk)?;
                // SAFETY: a push of a reference that is there, and a protected call.
                let status = unsafe {
                    ffi::lua_rawgeti(lua.state, ffi::LUA_REGISTRYINDEX, function as i64);
                    let status = ffi::lua_pcall(lua.state, 0, 0, 0);
                    ffi::luaL_unref(lua.state, ffi::LUA_REGISTRYINDEX, function);
                    status
                };
                if status != 0 {
                    return Err(lua.take_error(status));
                }
            }
            lua.collect();
            Ok(())
        });
        // What reading the file took is no concern of the script's.
        self.usage.max_memory = 0;
        restored
    }

    /// Limits of instructions and bytes; 0 is none.
    fn with_limits<T>(&mut self, instructions: u64, memory: usize, run: impl FnOnce(&Lua) -> T) -> T {
        let limit = self.budget.set_limit(instructions);
        self.lua.set_limit(memory);
        let result = run(&self.lua);
        self.lua.set_limit(self.memory_limit);
        self.budget.set_limit(limit);
        result
    }
}

/// Statements end with a line, unless the line ends inside a text: with a backslash.
fn statements(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let continued = |end: &usize| rest[..*end].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        let end = memchr::memchr_iter(b'\n', rest).find(|end| !continued(end)).unwrap_or(rest.len());
        let (statement, more) = rest.split_at(end);
        rest = more.get(1..).unwrap_or_default();
        Some(statement)
    })
}

unsafe extern "C-unwind" fn save_globals(state: State) -> c_int {
    // SAFETY: called with a walk that outlives the call.
    unsafe {
        let walk = &mut *ffi::lua_touserdata(state, 1).cast::<Walk>();
        ffi::lua_settop(state, 0);
        ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        walk.seen.insert(ffi::lua_topointer(state, 1), b"_G".to_vec());
        save_table(state, 1, walk, 0);
        0
    }
}

/// Writes the entries of the table at an index, whose path is the walk's.
unsafe fn save_table(state: State, table: c_int, walk: &mut Walk, depth: usize) {
    // SAFETY: `lua_next` is given the key that it left; keys are not converted in place.
    unsafe {
        if depth > MAX_DEPTH {
            walk.error.get_or_insert(format!("serialize_data cannot preserve tables nested deeper than {MAX_DEPTH}"));
            return;
        }
        ffi::luaL_checkstack(state, 10, c"preservation".as_ptr());
        ffi::lua_pushnil(state);
        while walk.error.is_none() && ffi::lua_next(state, table) != 0 {
            let value = ffi::lua_gettop(state);
            let parent = walk.path.len();
            let is_version = depth == 0 && raw::string(state, value - 1) == Some(VERSION.as_bytes());
            if !is_version && is_kept(state, value, walk) {
                match put_key(state, value - 1, &mut walk.path) {
                    Ok(()) => save_value(state, value, walk, depth),
                    Err(kind) => walk.error = Some(format!("serialize_data cannot preserve type '{kind}'")),
                }
            }
            walk.path.truncate(parent);
            ffi::lua_settop(state, value - 1);
        }
        ffi::lua_settop(state, table);
    }
}

unsafe fn is_kept(state: State, value: c_int, walk: &Walk) -> bool {
    // SAFETY: pops what it pushes.
    unsafe {
        match ffi::lua_type(state, value) {
            ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN => true,
            ffi::LUA_TUSERDATA => class_of(state, value).is_some_and(|class| class.save.is_some()),
            ffi::LUA_TTABLE => {
                if record::is_record(state, value) {
                    record::fill(state, value, walk.host);
                    return true;
                }
                let plain = ffi::lua_getmetatable(state, value) == 0;
                if !plain {
                    ffi::lua_settop(state, -2);
                }
                plain && ffi::lua_topointer(state, value) != ffi::lua_topointer(state, ffi::LUA_GLOBALSINDEX)
            }
            _ => false,
        }
    }
}

/// Appends an index expression; otherwise the name of the type that can't be one.
unsafe fn put_key(state: State, key: c_int, path: &mut Vec<u8>) -> Result<(), &'static str> {
    // SAFETY: reads a slot.
    unsafe {
        path.push(b'[');
        match ffi::lua_type(state, key) {
            ffi::LUA_TSTRING => put_quoted(path, raw::string(state, key).unwrap_or_default()),
            ffi::LUA_TNUMBER => put_number(ffi::lua_tonumber(state, key), path),
            ffi::LUA_TBOOLEAN => put_bool(state, key, path),
            _ => return Err(raw::type_name(state, key)),
        }
        path.push(b']');
    }
    Ok(())
}

unsafe fn put_bool(state: State, index: c_int, out: &mut Vec<u8>) {
    // SAFETY: reads a slot.
    let text: &[u8] = if unsafe { ffi::lua_toboolean(state, index) } != 0 { b"true" } else { b"false" };
    out.extend_from_slice(text);
}

fn put_number(number: f64, out: &mut Vec<u8>) {
    match number {
        number if number.is_nan() => out.extend_from_slice(b"0/0"),
        f64::INFINITY => out.extend_from_slice(b"1/0"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-1/0"),
        number => number::put_exact(number, out),
    }
}

/// Writes the statements for a value that is kept.
unsafe fn save_value(state: State, value: c_int, walk: &mut Walk, depth: usize) {
    // SAFETY: the value stays on the stack.
    unsafe {
        let kind = ffi::lua_type(state, value);
        let object = matches!(kind, ffi::LUA_TTABLE | ffi::LUA_TUSERDATA);
        let known = object.then(|| walk.seen.get(&ffi::lua_topointer(state, value))).flatten();
        if kind == ffi::LUA_TUSERDATA && known.is_none() {
            walk.seen.insert(ffi::lua_topointer(state, value), walk.path.clone());
            if let Some(save) = class_of(state, value).and_then(|class| class.save) {
                save(state, value, &walk.path, &mut walk.out);
            }
            return;
        }
        walk.out.extend_from_slice(&walk.path);
        walk.out.extend_from_slice(b" = ");
        match kind {
            _ if known.is_some() => walk.out.extend_from_slice(known.map_or(b"nil", Vec::as_slice)),
            ffi::LUA_TSTRING => put_quoted(&mut walk.out, raw::string(state, value).unwrap_or_default()),
            ffi::LUA_TNUMBER => put_number(ffi::lua_tonumber(state, value), &mut walk.out),
            ffi::LUA_TBOOLEAN => put_bool(state, value, &mut walk.out),
            _ => {
                walk.out.extend_from_slice(b"{}\n");
                walk.seen.insert(ffi::lua_topointer(state, value), walk.path.clone());
                return save_table(state, value, walk, depth + 1);
            }
        }
        walk.out.push(b'\n');
    }
}
