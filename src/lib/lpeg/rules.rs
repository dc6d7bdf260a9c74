//! Grammars: rules that call each other, put together and checked.

use std::num::NonZeroU16;

use super::tree::{BuildError, Builder, MAX_NODES, MAX_RULES, Op, Tree, UNBOUNDED};

/// Where a search for the rule to blame gives up; LPeg's figure, so that both blame the same.
const BLAME_DEPTH: usize = 250;

impl Builder {
    /// Begins a grammar.
    pub fn begin_grammar(&mut self) {
        self.clear();
        self.push(Op::Grammar { nullable: false, no_fail: false, captures: false, fixed_len: None });
    }

    /// Adds a rule; the first one is where the grammar starts.
    ///
    /// # Errors
    /// The grammar gets too large or too deep.
    pub fn add_rule(&mut self, name: u32, body: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        let at = self.nodes.len();
        self.push(Op::Rule { name, nullable: false, no_fail: false, captures: false, fixed_len: None });
        self.append(body, shift);
        self.nodes[at].size = (self.nodes.len() - at) as u32;
        // Closed each time, so that it can't outgrow its limits.
        self.close(self.depth.saturating_sub(1).max(body.depth + 1))
    }

    /// Resolves the calls in a grammar, which has a rule at least (`resolve`: the place of the rule of that name), and
    /// checks it.
    ///
    /// # Errors
    /// A rule is missing, may call itself without consuming, or has a loop that may.
    pub fn finish_grammar(&mut self, mut resolve: impl FnMut(u32) -> Option<u32>) -> Result<(), BuildError> {
        for node in &mut self.nodes {
            // Grammars inside of this one have no open calls any more.
            if let Op::OpenCall { name } = node.op {
                node.op = Op::Call { rule: resolve(name).ok_or(BuildError::UndefinedRule(name))? };
            }
        }
        let rules: Vec<usize> = self.tree().children(0).collect();
        if rules.len() > MAX_RULES {
            return Err(BuildError::TooManyRules);
        }
        type Rules<'a> = &'a dyn Fn(u32) -> bool;
        let fixpoint = |holds: fn(Tree<'_>, usize, Rules<'_>) -> bool| fixpoint(self.tree(), &rules, holds);
        let nullable = fixpoint(|tree, at, rule| tree.nullable_with(at, &rule));
        check_left_recursion(self.tree(), &rules, &nullable)?;
        check_loops(self.tree(), &rules, &nullable)?;
        let no_fail = fixpoint(|tree, at, rule| tree.no_fail_with(at, &rule));
        let captures = fixpoint(|tree, at, rule| tree.has_captures_with(at, &rule));
        let mut lens = vec![None; rules.len()];
        // Rules mostly call later ones; a chain that calls back and forth more often has no fixed length to us.
        for _ in 0..4 {
            for (place, &at) in rules.iter().enumerate().rev() {
                let len = self.tree().fixed_len_with(at + 1, &|rule| lens[rule as usize]);
                lens[place] = len.filter(|&len| len < u16::MAX as usize);
            }
        }
        let fixed = |place: usize| lens[place].and_then(|len| NonZeroU16::new(len as u16 + 1));
        for (place, &at) in rules.iter().enumerate() {
            if let Op::Rule { name, .. } = self.nodes[at].op {
                let (nullable, no_fail, captures) = (nullable[place], no_fail[place], captures[place]);
                self.nodes[at].op = Op::Rule { name, nullable, no_fail, captures, fixed_len: fixed(place) };
            }
        }
        let (nullable, no_fail, captures) = (nullable[0], no_fail[0], captures[0]);
        self.nodes[0].op = Op::Grammar { nullable, no_fail, captures, fixed_len: fixed(0) };
        Ok(())
    }
}

/// Finds for which rules a statement holds that depends on the rules they call, beginning with "for none".
fn fixpoint(tree: Tree<'_>, rules: &[usize], holds: fn(Tree<'_>, usize, &dyn Fn(u32) -> bool) -> bool) -> Vec<bool> {
    let mut callers = vec![Vec::new(); rules.len()];
    for (place, &at) in rules.iter().enumerate() {
        for call in calls(tree, at) {
            let known: &mut Vec<usize> = &mut callers[call];
            if known.last() != Some(&place) {
                known.push(place);
            }
        }
    }
    let mut known = vec![false; rules.len()];
    let mut open: Vec<usize> = (0..rules.len()).rev().collect();
    while let Some(place) = open.pop() {
        if !known[place] && holds(tree, rules[place] + 1, &|rule| known[rule as usize]) {
            known[place] = true;
            open.extend(callers[place].iter().filter(|&&caller| !known[caller]));
        }
    }
    known
}

/// The rules that are called in the rule or grammar at `at`, those of grammars inside of it left out.
fn calls(tree: Tree<'_>, at: usize) -> impl Iterator<Item = usize> {
    let (mut next, end) = (at + 1, tree.end(at));
    std::iter::from_fn(move || {
        while next < end {
            let node = next;
            match tree.op(node) {
                Op::Grammar { .. } => next = tree.end(node),
                Op::Call { rule } => {
                    next += 1;
                    return Some(rule as usize);
                }
                _ => next += 1,
            }
        }
        None
    })
}

/// Refuses rules that can come back to themselves without consuming.
fn check_left_recursion(tree: Tree<'_>, rules: &[usize], nullable: &[bool]) -> Result<(), BuildError> {
    let mut left = vec![Vec::new(); rules.len()];
    for (place, &at) in rules.iter().enumerate() {
        left_calls(tree, at + 1, nullable, &mut left[place]);
    }
    // A rule that only leads to rules that end does end; what is left over can go on for ever.
    let mut waiting: Vec<usize> = left.iter().map(Vec::len).collect();
    let mut callers = vec![Vec::new(); rules.len()];
    for (place, calls) in left.iter().enumerate() {
        calls.iter().for_each(|&call| callers[call].push(place));
    }
    let mut ended: Vec<usize> = (0..rules.len()).filter(|&place| waiting[place] == 0).collect();
    while let Some(place) = ended.pop() {
        for &caller in &callers[place] {
            waiting[caller] -= 1;
            if waiting[caller] == 0 {
                ended.push(caller);
            }
        }
    }
    let Some(mut place) = (0..rules.len()).find(|&place| waiting[place] > 0) else { return Ok(()) };
    for _ in 0..BLAME_DEPTH {
        place = left[place].iter().copied().find(|&call| waiting[call] > 0).unwrap_or(place);
    }
    Err(BuildError::LeftRecursive(rule_name(tree, rules[place])))
}

/// The rules that may be called before anything is consumed. Answers whether the node itself may consume nothing.
fn left_calls(tree: Tree<'_>, at: usize, nullable: &[bool], found: &mut Vec<usize>) -> bool {
    match tree.op(at) {
        Op::Call { rule } => {
            found.push(rule as usize);
            nullable[rule as usize]
        }
        Op::Seq => tree.children(at).all(|child| left_calls(tree, child, nullable, found)),
        // All of them are looked at, whatever the first one says.
        Op::Choice => tree.children(at).fold(false, |any, child| left_calls(tree, child, nullable, found) | any),
        Op::Capture { .. } | Op::RunTime { .. } => left_calls(tree, at + 1, nullable, found),
        Op::Not | Op::And => {
            left_calls(tree, at + 1, nullable, found);
            true
        }
        Op::Repeat { min, .. } => left_calls(tree, at + 1, nullable, found) || min == 0,
        _ => tree.nullable(at),
    }
}

/// Refuses unbounded loops whose body may consume nothing. As LPeg does, it passes over rules that nobody calls.
fn check_loops(tree: Tree<'_>, rules: &[usize], nullable: &[bool]) -> Result<(), BuildError> {
    let mut called = vec![false; rules.len()];
    called[0] = true;
    calls(tree, 0).for_each(|rule| called[rule] = true);
    for (&rule, _) in rules.iter().zip(&called).filter(|(_, called)| **called) {
        let mut at = rule + 1;
        while at < tree.end(rule) {
            match tree.op(at) {
                // It was checked when it was made.
                Op::Grammar { .. } => at = tree.end(at),
                Op::Repeat { max: UNBOUNDED, .. } if tree.nullable_with(at + 1, &|rule| nullable[rule as usize]) => {
                    return Err(BuildError::EmptyLoopInRule(rule_name(tree, rule)));
                }
                _ => at += 1,
            }
        }
    }
    Ok(())
}

fn rule_name(tree: Tree<'_>, at: usize) -> u32 {
    match tree.op(at) {
        Op::Rule { name, .. } => name,
        _ => 0,
    }
}

/// Nodes are counted in 32 bits.
const _: () = assert!(MAX_NODES < u32::MAX as usize);
