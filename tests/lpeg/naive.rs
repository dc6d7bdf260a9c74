//! Patterns out of bytes, and the plainest matcher that there can be: what the machine has to agree with.
//!
//! Shared by the tests and by the fuzz target.

use heka::lpeg::tree::{BuildError, Builder, Kind, Op, Tree};
use heka::lpeg::{Capture, Extent, Limits, Machine, Natives, Stop, compile};

/// What a match of either ends with: the position, and its captures as (position, kind and value, or none for an end).
pub type Outcome = Option<(usize, Vec<(u32, Option<(Kind, u32)>)>)>;

/// Steps after which the plain matcher gives up.
const MAX_STEPS: u32 = 100_000;
const MAX_LEVEL: u32 = 150;
const MAX_EVENTS: usize = 1000;

/// Reads a pattern, in postfix notation, and the same as Lua; what is left of the bytes is the subject.
pub fn read(bytes: &[u8]) -> Option<(Builder, String, &[u8])> {
    let mut stack: Vec<(Builder, String)> = Vec::new();
    let (&count, mut rest) = bytes.split_first()?;
    for _ in 0..=count % 48 {
        let (&code, after) = rest.split_first()?;
        rest = after;
        let mut operand = || {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            Some(byte)
        };
        let mut made = Builder::default();
        let text;
        let built;
        if code % 24 < 8 || stack.is_empty() {
            built = Ok(());
            text = match code % 8 {
                0 | 1 => {
                    let letters: Vec<u8> =
                        (0..operand()? % 4).map(|_| Some(b'a' + operand()? % 3)).collect::<Option<_>>()?;
                    made.literal(&letters).ok()?;
                    format!("P{:?}", String::from_utf8_lossy(&letters))
                }
                2 => {
                    let (first, last) = (b'a' + operand()? % 3, b'a' + operand()? % 3);
                    made.set(heka::lpeg::ByteSet::range(first, last));
                    format!("R'{}{}'", first as char, last as char)
                }
                3 => {
                    let n = (operand()? % 7) as i32 - 3;
                    made.any(n);
                    format!("P({n})")
                }
                4 => {
                    let flag = operand()? % 2 == 0;
                    made.leaf(if flag { Op::True } else { Op::False });
                    format!("P({flag})")
                }
                5 => {
                    made.empty_capture(Kind::Position, 0);
                    "Cp()".into()
                }
                6 => {
                    let name = operand()? as u32 % 3 + 1;
                    made.leaf(Op::OpenCall { name });
                    format!("V({name})")
                }
                _ => {
                    let (from, to) = (operand()? as u32 * 3, 0x80 + operand()? as u32 * 300);
                    made.leaf(Op::Utf8 { from, to });
                    format!("utfR({from}, {to})")
                }
            };
        } else {
            let (top, shown) = stack.pop()?;
            let two = |stack: &mut Vec<(Builder, String)>| stack.pop();
            let tree = top.tree();
            (built, text) = match code % 24 {
                8..=10 => {
                    let (below, first) = two(&mut stack)?;
                    (made.seq(below.tree(), tree, 0), format!("({first} * {shown})"))
                }
                11..=13 => {
                    let (below, first) = two(&mut stack)?;
                    (made.choice(below.tree(), tree, 0), format!("({first} + {shown})"))
                }
                14 => {
                    let (below, first) = two(&mut stack)?;
                    (made.minus(below.tree(), tree, 0), format!("({first} - {shown})"))
                }
                15 | 16 => {
                    let n = (operand()? % 7) as i32 - 3;
                    (made.repeat(tree, n), format!("({shown})^{n}"))
                }
                17 => (made.wrap(Op::And, tree), format!("#({shown})")),
                18 => (made.wrap(Op::Not, tree), format!("-({shown})")),
                19 => (made.behind(tree), format!("B({shown})")),
                20 | 21 => {
                    let (kind, value, before, after) = match operand()? % 9 {
                        0 => (Kind::Simple, 0, "C(", ")"),
                        1 => (Kind::Table, 0, "Ct(", ")"),
                        2 => (Kind::Group, 0, "Cg(", ")"),
                        3 => (Kind::Group, 1, "Cg(", ", 'x')"),
                        4 => (Kind::Substitution, 0, "Cs(", ")"),
                        5 => (Kind::Text, 2, "((", ") / '<%0%1>')"),
                        6 => (Kind::Function, 3, "((", ") / f)"),
                        7 => (Kind::Number, 1, "((", ") / 1)"),
                        _ => (Kind::Fold, 4, "Cf(", ", f)"),
                    };
                    (made.wrap(Op::Capture { kind, value }, tree), format!("{before}{shown}{after}"))
                }
                22 => {
                    let value = operand()? as u32 % 4 + 1;
                    (made.wrap(Op::RunTime { value }, tree), format!("Cmt({shown}, m[{value}])"))
                }
                _ => {
                    let mut rules = vec![(top, shown)];
                    rules.extend((0..operand()? % 3).filter_map(|_| stack.pop()));
                    made.begin_grammar();
                    let count = rules.len() as u32;
                    let added = (1..).zip(&rules).try_for_each(|(name, (rule, _))| made.add_rule(name, rule.tree(), 0));
                    let built = added.and_then(|()| made.finish_grammar(|name| (name <= count).then(|| name - 1)));
                    (
                        built,
                        format!("P{{{}}}", rules.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")),
                    )
                }
            };
        }
        // What can't be made is something else.
        match built {
            Ok(()) => stack.push((made, text)),
            Err(_) => {
                made.any(1);
                stack.push((made, "P(1)".into()));
            }
        }
    }
    let (pattern, text) = stack.pop()?;
    Some((pattern, text, rest))
}

/// What the match-time function of that number says where it is called: a new position and a number of values.
fn answer(value: u32, at: usize, len: usize) -> Option<(usize, u32)> {
    match value {
        1 => Some((at, 0)),
        2 => (at < len).then_some((at + 1, 1)),
        3 => at.is_multiple_of(2).then_some((at, 2)),
        _ => None,
    }
}

struct NoNatives;

impl Natives for NoNatives {
    fn matches(&mut self, _: u32, _: &[u8], _: usize) -> Option<usize> {
        None
    }
}

/// What the machine says; an error when it gives up.
pub fn run_machine(tree: Tree<'_>, subject: &[u8]) -> Result<Outcome, Stop> {
    let program = match compile(tree) {
        Ok(program) => program,
        Err(BuildError::OutsideGrammar(_) | BuildError::TooLarge) => return Err(Stop::Failed),
        Err(error) => panic!("{error:?}"),
    };
    let mut machine = Machine::default();
    let mut limits = Limits { stack: 2000, captures: 10_000, steps: 300_000 };
    machine.begin(0);
    loop {
        match machine.run(program.borrow(), subject, &mut limits, &mut NoNatives) {
            Stop::Matched(end) => return Ok(Some((end, events(&machine.captures)))),
            Stop::Failed => return Ok(None),
            Stop::RunTime(at) => {
                let open = machine.last_open().expect("a function is called for an open capture");
                let value = machine.captures[open].value;
                let first = machine.dynamics.iter().filter(|&&place| (place as usize) < open).count() as u32;
                match answer(value, at, subject.len()) {
                    Some((to, count)) => machine.resume(open, to, first, count),
                    None => machine.reject(),
                }
            }
            stop => return Err(stop),
        }
    }
}

fn events(captures: &[Capture]) -> Vec<(u32, Option<(Kind, u32)>)> {
    let mut events = Vec::new();
    for capture in captures {
        // The size of a table is a hint of the compiler's.
        let value = if capture.kind == Kind::Table { 0 } else { capture.value };
        match capture.extent {
            Extent::Open => events.push((capture.start, Some((capture.kind, value)))),
            Extent::Close => events.push((capture.start, None)),
            Extent::Until(end) => events.extend([(capture.start, Some((capture.kind, value))), (end, None)]),
        }
    }
    events
}

/// What the plain matcher says; none when it gives up.
pub fn run_naive(tree: Tree<'_>, subject: &[u8]) -> Option<Outcome> {
    let mut naive = Naive { tree, subject, events: Vec::new(), steps: 0, level: 0, rules: Vec::new() };
    let end = naive.node(0, 0)?;
    Some(end.map(|end| (end, naive.events)))
}

struct Naive<'a> {
    tree: Tree<'a>,
    subject: &'a [u8],
    events: Vec<(u32, Option<(Kind, u32)>)>,
    steps: u32,
    level: u32,
    rules: Vec<usize>,
}

impl Naive<'_> {
    /// Where a match of the node at `pos` ends; the outer option is none when it takes too long.
    fn node(&mut self, at: usize, pos: usize) -> Option<Option<usize>> {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.level > MAX_LEVEL || self.events.len() > MAX_EVENTS {
            return None;
        }
        let kept = self.events.len();
        self.level += 1;
        let result = self.inner(at, pos)?;
        self.level -= 1;
        if result.is_none() {
            self.events.truncate(kept);
        }
        Some(result)
    }

    fn inner(&mut self, at: usize, pos: usize) -> Option<Option<usize>> {
        let rest = &self.subject[pos..];
        Some(match self.tree.op(at) {
            Op::True => Some(pos),
            Op::False => None,
            Op::Any(count) => (rest.len() >= count as usize).then_some(pos + count as usize),
            Op::Literal { at, len } => rest.starts_with(self.tree.text(at, len)).then_some(pos + len as usize),
            Op::Set { at } => rest.first().filter(|&&byte| self.tree.set(at).contains(byte)).map(|_| pos + 1),
            Op::Utf8 { from, to } => {
                let text = &rest[..rest.len().min(4)];
                let valid = match std::str::from_utf8(text) {
                    Ok(text) => text,
                    Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
                };
                // Surrogates, which Rust's text can't hold.
                let surrogate = match rest {
                    [0xed, one @ 0xa0..=0xbf, two @ 0x80..=0xbf, ..] => {
                        Some(0xd000 | (*one as u32 & 0x3f) << 6 | (*two as u32 & 0x3f))
                    }
                    _ => None,
                };
                let code = valid.chars().next().map(|c| (c as u32, c.len_utf8())).or(surrogate.map(|code| (code, 3)));
                code.filter(|(code, _)| (from..=to).contains(code)).map(|(_, len)| pos + len)
            }
            Op::Seq => {
                let mut end = pos;
                for child in self.tree.children(at) {
                    match self.node(child, end)? {
                        Some(next) => end = next,
                        None => return Some(None),
                    }
                }
                Some(end)
            }
            Op::Choice => {
                for child in self.tree.children(at) {
                    if let Some(end) = self.node(child, pos)? {
                        return Some(Some(end));
                    }
                }
                None
            }
            Op::Repeat { min, max } => {
                let (mut end, mut count) = (pos, 0);
                while count < max {
                    match self.node(at + 1, end)? {
                        Some(next) => end = next,
                        None => break,
                    }
                    count += 1;
                }
                (count >= min).then_some(end)
            }
            Op::And => {
                let kept = self.events.len();
                let found = self.node(at + 1, pos)?;
                self.events.truncate(kept);
                found.map(|_| pos)
            }
            Op::Not => {
                let kept = self.events.len();
                let found = self.node(at + 1, pos)?;
                self.events.truncate(kept);
                if found.is_none() { Some(pos) } else { None }
            }
            Op::Behind(len) => match pos.checked_sub(len as usize) {
                Some(start) => self.node(at + 1, start)?,
                None => None,
            },
            Op::Capture { kind, value } => {
                let value = if kind == Kind::Table { 0 } else { value };
                self.events.push((pos as u32, Some((kind, value))));
                let end = self.node(at + 1, pos)?;
                if let Some(end) = end {
                    self.events.push((end as u32, None));
                }
                end
            }
            Op::RunTime { value } => {
                let kept = self.events.len();
                let Some(end) = self.node(at + 1, pos)? else { return Some(None) };
                self.events.truncate(kept);
                let Some((to, count)) = answer(value, end, self.subject.len()) else { return Some(None) };
                if count > 0 {
                    let live =
                        self.events.iter().filter(|event| matches!(event.1, Some((Kind::Dynamic, _)))).count() as u32;
                    self.events.push((pos as u32, Some((Kind::Group, 0))));
                    for value in live..live + count {
                        self.events.extend([(to as u32, Some((Kind::Dynamic, value))), (to as u32, None)]);
                    }
                    self.events.push((to as u32, None));
                }
                Some(to)
            }
            Op::Grammar { .. } => {
                let outer = std::mem::replace(&mut self.rules, self.tree.children(at).collect());
                let end = self.node(at + 2, pos)?;
                self.rules = outer;
                end
            }
            Op::Call { rule } => {
                let rule = self.rules[rule as usize];
                self.node(rule + 1, pos)?
            }
            Op::Rule { .. } => self.node(at + 1, pos)?,
            Op::OpenCall { .. } | Op::Native { .. } => return None,
        })
    }
}
