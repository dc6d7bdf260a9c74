//! Any pattern on any subject: the machine agrees with the plain matcher, and the sandbox stays whole.

#![no_main]

use heka::sandbox::{Limits, ModulePath, Sandbox, Script, Settings};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/lpeg/naive.rs"]
mod naive;

fuzz_target!(|bytes: &[u8]| {
    let Some((pattern, text, subject)) = naive::read(bytes) else { return };
    let expected = naive::run_naive(pattern.tree(), subject);
    if let (Some(expected), Ok(found)) = (expected, naive::run_machine(pattern.tree(), subject)) {
        assert_eq!(found, expected, "{text} on {subject:?}");
    }
    // The same with values: nothing but the absence of a crash is looked at.
    let quoted: String = subject.iter().map(|byte| format!("\\{byte:03}")).collect();
    let code = format!(
        "local l = require 'lpeg'\n\
         local P, R, V, C, Cp, Ct, Cg, Cs, Cf, Cmt, B, utfR = l.P, l.R, l.V, l.C, l.Cp, l.Ct, l.Cg, l.Cs, l.Cf, l.Cmt, l.B, l.utfR\n\
         local function f(...) return ... end\n\
         local m = {{ function() return true end, function(_, at, x) return at + 1, x end,\n\
             function(s) return true, l.match(Ct(C(1)^0), s), {{}} end, function() error 'no' end }}\n\
         local ok, p = pcall(function() return {text} end)\n\
         if ok then pcall(l.match, p, '{quoted}', 1) end\n\
         function process_message() return 0 end\n"
    );
    let settings = Settings {
        script: Script::new("fuzz.lua", code),
        limits: Limits { memory: 4 << 20, instructions: 100_000, output: 1024 },
        config: Default::default(),
        modules: ModulePath::default(),
        strict_nil: false,
        clock: None,
        identity: Default::default(),
        max_failures: 0,
    };
    let _ = Sandbox::new(&settings);
});
