//! Any state file: it is restored, or refused, and what was restored can be saved and restored again.

#![no_main]

use heka::sandbox::{Kind, Sandbox, Script, ScriptArgs, Section};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let code = "require 'circular_buffer' require 'hyperloglog' require 'bloom_filter' require 'cuckoo_filter'\n\
                data = circular_buffer.new(3, 2, 60, true) h = hyperloglog.new()\n\
                function process_message() return 0 end\n";
    let script = Script::new("fuzz.lua", code);
    let settings = ScriptArgs::default().settings_of(script, &Section::default(), Kind::Filter);
    let mut sandbox = Sandbox::new(&settings).expect("the script loads");
    // A file may hold any Lua, and is the user's own; loops without end are not looked for.
    if bytes.windows(5).any(|word| matches!(word, b"while" | b"until") || word.starts_with(b"for ")) {
        return;
    }
    if sandbox.restore_state("state", bytes).is_ok()
        && let Ok(saved) = sandbox.save_state()
    {
        let mut again = Sandbox::new(&settings).expect("the script loads");
        again.restore_state("state", &saved).expect("what was saved is restored");
    }
});
