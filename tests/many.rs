//! Many sandboxes in one process.

use heka::message::{MessageBuilder, MessageView};
use heka::sandbox::{Kind, Sandbox, Script, ScriptArgs, Section, prepare_process};

/// Bytes that the process has in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn ten_thousand_counters_take_little_memory_and_all_count() {
    prepare_process();
    let script = Script::new("counter.lua", include_str!("scripts/tutorial/counter.lua"));
    let settings = ScriptArgs::default().settings_of(script, &Section::default(), Kind::Filter);
    let count = 10_000;
    // What the process itself needs is there before.
    drop(Sandbox::new(&settings).unwrap());
    let before = resident();
    let mut sandboxes: Vec<Sandbox> = (0..count).map(|_| Sandbox::new(&settings).unwrap()).collect();
    let loaded = (resident() - before) / count;

    let mut message = Vec::new();
    MessageBuilder::new(&mut message, &[7; 16], 1);
    let view = MessageView::new(&message).unwrap();
    for sandbox in &mut sandboxes {
        sandbox.process(view).unwrap();
        sandbox.timer_event(1, false).unwrap();
        assert_eq!(sandbox.injected().count(), 1);
    }
    let used = (resident() - before) / count;
    let by_lua: usize = sandboxes.iter().map(|sandbox| sandbox.usage().memory).sum::<usize>() / count;
    println!("{count} sandboxes: {loaded} bytes each when loaded, {used} after a message and a tick; {by_lua} in Lua");
    assert!(loaded <= 32 * 1024 && used <= 32 * 1024, "{loaded} and {used} bytes each");
}
