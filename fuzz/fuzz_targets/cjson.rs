//! Any text: cjson reads it or refuses it, and what it reads it writes again.

#![no_main]

use heka::message::{MessageBuilder, MessageView, TextHeader};
use heka::sandbox::{Kind, Sandbox, Script, ScriptArgs, Section};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let code = "require 'cjson'\n\
                function process_message()\n\
                    local ok, value = pcall(cjson.decode, read_message('Payload'))\n\
                    if ok then pcall(cjson.encode, value) end\n\
                    return 0\n\
                end\n";
    let script = Script::new("fuzz.lua", code);
    let settings = ScriptArgs::default().settings_of(script, &Section::default(), Kind::Decoder);
    let mut sandbox = Sandbox::new(&settings).expect("the script loads");
    let mut message = Vec::new();
    MessageBuilder::new(&mut message, &[1; 16], 1).text(TextHeader::Payload, bytes);
    let view = MessageView::new(&message).expect("a message");
    let _ = sandbox.process(view);
});
