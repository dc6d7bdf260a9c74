//! Statistics of circular buffers against scipy's and numpy's.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::Workdir;
use serde_json::{Value, json};

const SERIES: usize = 200;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() * limit as f64) as usize
    }
}

/// A series: noise of one of several kinds, some of it missing, some with a step at its end.
fn series(random: &mut Random) -> Value {
    let win = 3 + random.below(6);
    let length = 60 + random.below(60);
    let (kind, missing) = (random.below(4), random.below(3) as f64 * 0.1);
    let step = if random.below(2) == 0 { random.next() * 20.0 } else { 0.0 };
    let values: Vec<Value> = (0..length)
        .map(|place| {
            let noise = random.next() * 10.0;
            let value = match kind {
                // Ties, as counts have them.
                0 => noise.floor(),
                1 => noise,
                2 => noise * 1e-7 + 1.0,
                _ => noise - place as f64 / 7.0,
            };
            let value = if place + 1 + win >= length { value + step } else { value };
            if random.next() < missing { Value::Null } else { json!(value) }
        })
        .collect();
    let n1 = 5 + random.below(20);
    let hwin = if random.below(2) == 0 { 0 } else { win + random.below(20) };
    json!({
        "values": values, "n1": n1, "n2": 5 + random.below(20), "continuity": random.below(4) > 0, "win": win,
        "hwin": hwin, "sd": 0.5 + random.next() * 2.0,
    })
}

#[test]
fn anomaly_detection_agrees_with_scipy_and_numpy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    if !python.exists() {
        println!("skipped: tests/run.sh installs scipy");
        return;
    }
    let work = Workdir::new();
    let mut random = Random(42);
    let all: Vec<Value> = (0..SERIES).map(|_| series(&mut random)).collect();
    work.write("series", all.iter().map(|series| format!("{series}\n")).collect::<String>());
    let mut script = String::from(
        "require 'circular_buffer' require 'string' local anomaly = require 'anomaly'\n\
         local function show(x) return x and x == x and string.format('%.17g', x) or 'nil' end\n\
         local function check(n1, n2, continuity, win, hwin, sd, values)\n\
             local b = circular_buffer.new(#values, 1, 1)\n\
             for i, v in ipairs(values) do if v ~= 'nan' then b:set((i - 1) * 1e9, 1, v) end end\n\
             local u, p = b:mannwhitneyu(1, 0, (n1 - 1) * 1e9, n1 * 1e9, (n1 + n2 - 1) * 1e9, continuity)\n\
             local now = b:current_time()\n\
             local average = b:compute('avg', 1, now - win * 1e9, now - 1e9)\n\
             local oldest = hwin > 0 and math.max(0, now - (2 * win + hwin) * 1e9) or 0\n\
             local deviation = b:compute('sd', 1, oldest, now - (2 * win + 1) * 1e9)\n\
             local config = anomaly.parse_config(string.format('roc(\"x\", 1, %d, %d, %.17f, false, false)', win, hwin, sd))\n\
             local text = anomaly.detect(now, 'x', b, config)\n\
             print(show(u), show(p), show(average), show(deviation), text and 'hit' or 'no')\n\
         end\n\
         require 'math'\n",
    );
    for series in &all {
        let values: Vec<String> = series["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| if value.is_null() { "'nan'".into() } else { value.to_string() })
            .collect();
        let number = |name: &str| series[name].to_string();
        let _ = writeln!(
            script,
            "check({}, {}, {}, {}, {}, {}, {{{}}})",
            number("n1"),
            number("n2"),
            number("continuity"),
            number("win"),
            number("hwin"),
            number("sd"),
            values.join(",")
        );
    }
    work.write("check.lua", script);
    let ours = work.sh("heka-lua --instruction-limit 0 --memory-limit 0 check.lua").ok();
    let theirs = work.sh(&format!("{} {}/tests/statistics.py < series", python.display(), root.display())).ok();
    let (mut tests, mut hits) = (0, 0);
    assert_eq!((ours.text().lines().count(), theirs.text().lines().count()), (SERIES, SERIES));
    for ((line, expected), series) in ours.text().lines().zip(theirs.text().lines()).zip(&all) {
        let words: Vec<&str> = line.split('\t').collect();
        let expected: Value = serde_json::from_str(expected).unwrap();
        for (word, name) in words.iter().zip(["u", "p", "average", "deviation"]) {
            match (word.parse::<f64>().ok(), expected[name].as_f64()) {
                (Some(found), Some(wanted)) => {
                    assert!(
                        (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0),
                        "{name}: {found}, not {wanted}: {series}"
                    );
                    tests += 1;
                }
                (found, wanted) => assert_eq!(found, wanted, "{name}: {series}"),
            }
        }
        assert_eq!(words[4] == "hit", expected["hit"].as_bool().unwrap(), "{series}\n{line}\n{expected}");
        hits += (words[4] == "hit") as usize;
    }
    assert!(tests > 3 * SERIES && (10..SERIES - 10).contains(&hits), "{tests} numbers, {hits} hits");
}
