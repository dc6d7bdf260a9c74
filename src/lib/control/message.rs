//! What is asked of a manager: load a filter, unload it.

use crate::message::{MessageBuilder, TextHeader, ValueType, now_ns, uuid};
use crate::pipeline::hostname;

/// What a manager is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Action {
    Load,
    Unload,
}

/// Type of control messages.
const CONTROL: &[u8] = b"heka.control.sandbox";

/// Appends an encoded message that loads a filter: its script, and one section of TOML.
pub fn put_load(buf: &mut Vec<u8>, script: &[u8], config: &[u8]) {
    put(buf, Some(script), b"config", config, b"toml", b"load");
}

/// Appends an encoded message that unloads a filter, by the name of its section.
pub fn put_unload(buf: &mut Vec<u8>, name: &[u8]) {
    put(buf, None, b"name", name, b"", b"unload");
}

fn put(buf: &mut Vec<u8>, payload: Option<&[u8]>, field: &[u8], value: &[u8], representation: &[u8], action: &[u8]) {
    let mut builder = MessageBuilder::new(buf, &uuid::new_v4(), now_ns());
    builder.text(TextHeader::Type, CONTROL).text(TextHeader::Logger, b"hekad");
    if let Some(payload) = payload {
        builder.text(TextHeader::Payload, payload);
    }
    builder.text(TextHeader::Hostname, &hostname());
    builder.field(field, ValueType::String, representation, |values| values.string(value));
    builder.string_field(b"action", action, b"");
}

/// The filter that heka-sbmgrload loads: it counts, and says from time to time how much and how fast.
pub const COUNTER_SCRIPT: &str = r#"-- Counts messages; each timer says how many came since the last, and every tenth sums up.
require "math"
require "string"

count, last, rates = 0, nil, {}

function process_message()
    count = count + 1
    return 0
end

function timer_event(ns)
    if count == 0 then return end
    if last and ns > last then
        local rate = count / ((ns - last) / 1e9)
        inject_payload("txt", "rate", string.format("Got %d messages. %.2f msg/sec", count, rate))
        rates[#rates + 1] = rate
        if #rates == 10 then
            local low, high, sum = math.huge, 0, 0
            for _, value in ipairs(rates) do
                low, high, sum = math.min(low, value), math.max(high, value), sum + value
            end
            inject_payload("txt", "summary", string.format("AGG Sum. Min: %.2f Max: %.2f Mean: %.2f", low, high, sum / 10))
            rates = {}
        end
    end
    count, last = 0, ns
end
"#;

/// Name of heka-sbmgrload's filter of that number, from 0.
pub fn counter_name(number: u32) -> String {
    format!("CounterSandbox{number}")
}

/// Its configuration.
pub fn counter_config(number: u32) -> String {
    format!(
        "[{}]\ntype = \"SandboxFilter\"\nmessage_matcher = \"Type == 'hekabench'\"\nticker_interval = 1\nfilename = \"\"\npreserve_data = true\n",
        counter_name(number)
    )
}
