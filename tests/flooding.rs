//! Texts that fall into one chain of LuaJIT's table of strings, were its hash seeded as it once was: who could choose what a
//! log says made a filter that counts by text 25 times slower. Each state has a seed of its own now.

mod common;

use std::collections::HashSet;

use common::{Random, Workdir};

/// LuaJIT's hashes of texts (lj_str.c), of 24 bytes here: one of some of the bytes, and one of all where too many are alike.
mod hash {
    fn word(text: &[u8; 24], at: usize) -> u32 {
        u32::from_le_bytes(text[at..at + 4].try_into().unwrap())
    }

    pub fn sparse(seed: u64, text: &[u8; 24]) -> u32 {
        let mut h = 24 ^ seed as u32 ^ word(text, 20);
        let (mut a, mut b) = (word(text, 0), word(text, 10));
        h = (h ^ b).wrapping_sub(b.rotate_left(14));
        b = b.wrapping_add(word(text, 5));
        a = (a ^ h).wrapping_sub(h.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        (h ^ b).wrapping_sub(b.rotate_left(16))
    }

    pub fn dense(seed: u64, sparse: u32, text: &[u8; 24]) -> u32 {
        let mut h = sparse;
        let mut b = (h ^ (seed >> 32) as u32).rotate_left(4).swap_bytes();
        let mut a = seed as u32;
        for part in [12, 0] {
            a = a.wrapping_add(word(text, part));
            b = b.wrapping_add(word(text, part + 4));
            h = h.wrapping_add(word(text, part + 8));
            h = (h ^ b).wrapping_sub(b.rotate_left(14));
            a = (a ^ h).wrapping_sub(h.rotate_left(11));
            b = (b ^ a).wrapping_sub(a.rotate_left(25));
        }
        h = (h ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ h).wrapping_sub(h.rotate_left(4));
        (b ^ a).wrapping_sub(a.rotate_left(14))
    }
}

/// The seed without -DLUAJIT_SECURITY_PRNG: the first number of its generator with the state that stands in the source.
const OLD_SEED: u64 = 0xae9c_b511_a844_5040;
const LINES: usize = 2000;
/// The table of strings has as many chains as strings.
const CHAINS: u32 = 1 << 11;

/// Lines that fall into one chain, by either hash.
fn colliding() -> Vec<[u8; 24]> {
    let mut text = *b"linexxxx0000xxxxxxxxline";
    let of = |text: &[u8; 24]| {
        let sparse = hash::sparse(OLD_SEED, text);
        (sparse, hash::dense(OLD_SEED, sparse, text) % CHAINS)
    };
    let wanted = of(&text);
    let mut found = Vec::new();
    for number in 0u64.. {
        // Those that the first hash doesn't look at.
        for (place, at) in [4, 9, 14, 15, 16, 17, 18, 19].into_iter().enumerate() {
            text[at] = b'a' + (number >> (4 * place) & 15) as u8;
        }
        if of(&text) == wanted {
            found.push(text);
            if found.len() == LINES {
                break;
            }
        }
    }
    found
}

#[test]
fn texts_made_for_a_known_seed_do_nothing() {
    let dir = Workdir::new();
    dir.write(
        "count.lua",
        "local counts = {} function process_message()
            local text = read_message('Payload') counts[text] = (counts[text] or 0) + 1 return 0 end",
    );
    let mut random = Random(7);
    let any: Vec<[u8; 24]> = (0..LINES).map(|_| std::array::from_fn(|_| b'a' + (random.next() % 26) as u8)).collect();
    let hostile = colliding();
    assert_eq!(hostile.iter().collect::<HashSet<_>>().len(), LINES);
    let seconds = |name: &str, lines: &[[u8; 24]]| -> f64 {
        let text: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        dir.write(name, text.repeat(40));
        dir.sh(&format!("heka-tail {name} > {name}.hpb")).ok();
        // Processor time, the least of three.
        let run = format!("TIMEFORMAT=%U; time heka-sandbox --lua ./count.lua --memory-limit 0 {name}.hpb");
        (0..3).map(|_| dir.sh(&run).stderr.trim().parse().unwrap()).fold(f64::MAX, f64::min)
    };
    let (plain, attacked) = (seconds("any", &any), seconds("hostile", &hostile));
    // It was seventeen times as much.
    assert!(attacked < 3.0 * plain + 0.05, "{attacked} s instead of {plain} s");
}

/// The order in which tables are walked is nobody's to rely on, but it is the same in every run, and what leaves has one that
/// is stated.
#[test]
fn replays_are_equal_byte_for_byte() {
    let dir = Workdir::new();
    dir.write(
        "walk.lua",
        "require 'cjson' require 'string'
        counts = {}
        function process_message()
            local text = read_message('Payload')
            counts[text] = (counts[text] or 0) + 1
            return 0
        end
        function timer_event(ns)
            for text, count in pairs(counts) do add_to_payload(text, ' ', count, '\\n') end
            inject_payload('txt', 'walked')
            inject_payload('json', 'encoded', cjson.encode(counts))
            output(counts)
            inject_payload('txt', 'put out')
            inject_message{Type = 'fields', Fields = counts}
        end",
    );
    dir.sh("for n in $(seq 300); do echo key$((n * 7919 % 211)); done | heka-tail > in.hpb").ok();
    let run = "heka-sandbox --lua ./walk.lua --ticker 60 --output-limit 1M in.hpb";
    let payloads = |name: &str| {
        dir.sh(&format!("{run} | heka-match \"Fields[payload_name] == '{name}'\" | heka-cat --format payload"))
            .ok()
            .stdout
    };
    let names = ["walked", "encoded", "put out"];
    let first: Vec<Vec<u8>> = names.map(payloads).into();
    for _ in 0..5 {
        assert_eq!(first, names.map(payloads));
    }
    // By key, where the script says no order.
    let keys = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text).into_owned();
        text.split(['{', ',']).filter_map(|part| Some(part.split_once(':')?.0.to_string())).collect()
    };
    for text in &first[1..] {
        let keys = keys(text);
        assert!(keys.len() > 100 && keys.is_sorted(), "{keys:?}");
    }
    let fields = dir.sh(&format!("{run} | heka-match \"Type == 'heka.sandbox.fields'\" | heka-cat --format json")).ok();
    let fields: serde_json::Value = serde_json::from_str(fields.text()).unwrap();
    let names: Vec<&str> =
        fields["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert!(names.len() > 100 && names.is_sorted(), "{names:?}");
}
