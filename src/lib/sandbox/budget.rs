//! What one call of a script may use: instructions, the steps of native code on its behalf, and the native stack.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mlua::ffi;

use super::lua::Lua;
use super::raw::{self, State};

/// Instructions between two looks at the budget.
const STEP: c_int = 1000;
/// What a call may take of the processor's time for each instruction of its limit, and at least. Some instructions (joining
/// long texts) and library functions take as long as many.
const TIME_AN_INSTRUCTION: Duration = Duration::from_nanos(300);
const LEAST_TIME: Duration = Duration::from_millis(300);
/// A call that has taken longer is looked at more often.
const SLOW: Duration = Duration::from_millis(30);
const SLOW_STEP: c_int = 20;
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
    limit: Cell<u64>,
    used: Cell<u64>,
    exceeded: Cell<bool>,
    /// Where the native stack stood when the script was called.
    stack: Cell<usize>,
    /// When the hook first ran in the call.
    begun: Cell<Option<Instant>>,
    /// The thread's processor time when the call turned out to be slow.
    slow: Cell<Option<Duration>>,
}

impl Budget {
    pub fn new(limit: u64) -> Budget {
        Budget { limit: Cell::new(limit), ..Budget::default() }
    }

    /// Begins a call.
    #[inline]
    pub fn begin(&self) {
        self.used.set(0);
        self.begun.set(None);
        self.stack.set(stack_pointer());
    }

    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Begins something that has another limit; answers the one that held before.
    pub fn set_limit(&self, limit: u64) -> u64 {
        self.begin();
        self.limit.replace(limit)
    }

    pub fn exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// Installs the hook that counts.
    ///
    /// # Safety
    /// The budget must outlive the state; runs in a protected call.
    pub unsafe fn watch(&self, state: State) {
        // SAFETY: three pushes, taken by the registry.
        unsafe {
            raw::push_bytes(state, KEY);
            ffi::lua_pushlightuserdata(state, (self as *const Budget).cast_mut().cast());
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
            ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, self.step());
        }
    }

    /// Steps that are left.
    #[inline]
    pub fn steps(&self) -> u64 {
        match self.limit.get() {
            0 => u64::MAX,
            limit => limit.saturating_sub(self.used.get()).saturating_mul(STEPS_AN_INSTRUCTION),
        }
    }

    /// Takes note of how many steps are left now.
    #[inline]
    pub fn set_steps(&self, left: u64) {
        if self.limit.get() > 0 {
            self.used.set(self.limit.get().saturating_sub(left / STEPS_AN_INSTRUCTION));
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
        self.used.set(self.limit.get());
        // SAFETY: one push, for which a C function always has room.
        unsafe {
            ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, 1);
            raw::push_bytes(state, b"instruction_limit exceeded");
            ffi::lua_error(state)
        }
    }

    /// Whether the call has taken too much time. The processor's time is asked for, which costs a system call, only in a
    /// call that is slow by the clock on the wall.
    fn out_of_time(&self, state: State) -> bool {
        let Some(begun) = self.begun.get() else {
            self.begun.set(Some(Instant::now()));
            if self.slow.take().is_some() {
                // SAFETY: as `watch`; the call before was slow, this one need not be.
                unsafe { ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, self.step()) };
            }
            return false;
        };
        let Some(processor) = self.slow.get() else {
            if begun.elapsed() > SLOW {
                self.slow.set(Some(processor_time()));
                // SAFETY: as `watch`.
                unsafe { ffi::lua_sethook(state, Some(count_instructions), ffi::LUA_MASKCOUNT, SLOW_STEP) };
            }
            return false;
        };
        let limit = LEAST_TIME.max(TIME_AN_INSTRUCTION.saturating_mul(self.limit.get().min(u32::MAX.into()) as u32));
        begun.elapsed() > limit && processor_time().saturating_sub(processor) > limit
    }

    /// Instructions between two calls of the hook.
    fn step(&self) -> c_int {
        if self.limit.get() == 0 { STEP } else { STEP.min(self.limit.get().try_into().unwrap_or(STEP)) }
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

/// Runs a loop, once in a process, and sees whether the hook is called as often as it has to be. Limits rest on that: LuaJIT
/// doesn't call it from code that it has compiled.
///
/// # Errors
/// When scripts can't be stopped here.
pub fn check_that_instructions_are_counted() -> Result<(), String> {
    static COUNTED: OnceLock<bool> = OnceLock::new();
    let counted = *COUNTED.get_or_init(|| Lua::new().is_ok_and(|lua| loop_is_counted(&lua)));
    let words = "scripts don't run here: their instructions are not counted, so none could be stopped (LuaJIT's \
                 compiler is on: something has opened its library)";
    if counted { Ok(()) } else { Err(words.into()) }
}

fn loop_is_counted(lua: &Lua) -> bool {
    // Hot after some fifty rounds, of four instructions each.
    const LOOP: &[u8] = b"local n = 0 for i = 1, 2000 do n = n + i % 7 end";
    const EVERY: c_int = 50;
    const LEAST: u32 = 100;
    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }
    unsafe extern "C-unwind" fn count(_: State, _: *mut ffi::lua_Debug) {
        CALLS.set(CALLS.get() + 1);
    }
    CALLS.set(0);
    let run = lua.protect(|state| {
        // SAFETY: in a protected call; the text is valid for so many bytes.
        unsafe {
            ffi::lua_sethook(state, Some(count), ffi::LUA_MASKCOUNT, EVERY);
            if ffi::luaL_loadbufferx(state, LOOP.as_ptr().cast(), LOOP.len(), c"=loop".as_ptr(), c"t".as_ptr()) == 0 {
                ffi::lua_call(state, 0, 0);
            }
        }
    });
    run.is_ok() && CALLS.get() >= LEAST
}

/// What the thread has taken of the processor's time.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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
        if budget.limit.get() == 0 {
            return;
        }
        if budget.used.get() >= budget.limit.get() || budget.out_of_time(state) {
            budget.exceed(state);
        }
    }
}
