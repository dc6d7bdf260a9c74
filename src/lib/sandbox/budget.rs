//! What one call of a script may use: instructions, the steps of native code on its behalf, and the native stack.

use std::cell::Cell;
use std::ffi::c_int;

use mlua::ffi;

use super::raw::{self, State};

/// Instructions between two looks at the budget.
const STEP: c_int = 1000;
/// What native code does in as much time as Lua runs one instruction: steps of a match, nodes of a pattern.
const STEPS_AN_INSTRUCTION: u64 = 10;
/// Bytes of native stack that functions calling scripts calling functions may take: `string.gsub` takes 8.4 KB a level.
/// Between two looks a script can take about 2 MB more.
const NATIVE_STACK: usize = 2 << 20;
/// What a thread that runs scripts needs.
pub const THREAD_STACK: usize = 8 << 20;

/// The budget of one sandbox. Apart from the host, since the hook may run whenever Lua does.
#[derive(Default)]
pub struct Budget {
    /// 0 is no limit.
    limit: u64,
    used: Cell<u64>,
    exceeded: Cell<bool>,
    /// Where the native stack stood when the script was called.
    stack: Cell<usize>,
}

impl Budget {
    pub fn new(limit: u64) -> Budget {
        Budget { limit, ..Budget::default() }
    }

    /// Begins a call.
    #[inline]
    pub fn begin(&self) {
        self.used.set(0);
        self.stack.set(stack_pointer());
    }

    pub fn used(&self) -> u64 {
        self.used.get()
    }

    pub fn exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// Installs the hook that counts.
    ///
    /// # Safety
    /// The budget must outlive the state; runs in a protected call.
    pub unsafe fn watch(&self, state: State) {
        let step = if self.limit == 0 { STEP } else { STEP.min(self.limit.try_into().unwrap_or(STEP)) };
        // SAFETY: three pushes, taken by the registry.
        unsafe {
            raw::push_bytes(state, KEY);
            ffi::lua_pushlightuserdata(state, (self as *const Budget).cast_mut().cast());
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
            ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, step);
        }
    }

    /// Steps that are left.
    #[inline]
    pub fn steps(&self) -> u64 {
        match self.limit {
            0 => u64::MAX,
            limit => limit.saturating_sub(self.used.get()).saturating_mul(STEPS_AN_INSTRUCTION),
        }
    }

    /// Takes note of how many steps are left now.
    #[inline]
    pub fn set_steps(&self, left: u64) {
        if self.limit > 0 {
            self.used.set(self.limit.saturating_sub(left / STEPS_AN_INSTRUCTION));
        }
    }

    /// Counts the steps of something that was done, and raises if they were too many.
    ///
    /// # Safety
    /// As any function that may raise.
    pub unsafe fn charge(&self, state: State, steps: usize) {
        let left = self.steps().saturating_sub(steps as u64);
        self.set_steps(left);
        if left == 0 {
            // SAFETY: see above.
            unsafe { self.exceed(state) };
        }
    }

    /// Raises: now, and from now on at every instruction, so that no `pcall` helps.
    ///
    /// # Safety
    /// As any function that may raise.
    pub unsafe fn exceed(&self, state: State) -> ! {
        self.exceeded.set(true);
        self.used.set(self.limit);
        // SAFETY: one push, for which a C function always has room.
        unsafe {
            ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, 1);
            raw::push_bytes(state, b"instruction_limit exceeded");
            ffi::lua_error(state)
        }
    }

    /// Raises when calls within calls have taken too much of the native stack.
    ///
    /// # Safety
    /// As any function that may raise.
    #[inline]
    pub unsafe fn check_stack(&self, state: State) {
        if self.stack.get().saturating_sub(stack_pointer()) > NATIVE_STACK {
            // SAFETY: see above.
            unsafe { raw::raise(state, "C stack overflow") };
        }
    }
}

/// About where the native stack stands. It grows downwards on every machine that LuaJIT knows.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here) as usize
}

/// Where the hook finds the budget, in the registry.
const KEY: &[u8] = b"heka.budget";

unsafe extern "C-unwind" fn count_instructions(state: State, _: *mut ffi::lua_Debug) {
    // SAFETY: the registry holds the pointer since before the hook was set; the stack is left as it was.
    unsafe {
        raw::push_bytes(state, KEY);
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
        let budget = ffi::lua_touserdata(state, -1).cast::<Budget>();
        ffi::lua_settop(state, -2);
        let Some(budget) = budget.as_ref() else { return };
        budget.check_stack(state);
        budget.used.set(budget.used.get() + ffi::lua_gethookcount(state) as u64);
        if budget.limit > 0 && budget.used.get() >= budget.limit {
            budget.exceed(state);
        }
    }
}
