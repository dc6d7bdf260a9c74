//! Regexes whose cost is known before it is spent.
//!
//! The crate's search takes a step a byte as long as its automaton of states that were met stays small. Where it doesn't
//! (`(a|b)*a.{200}`), each byte costs as much as the regex has states: 15 µs with 900 counted repetitions.

use std::sync::OnceLock;

use regex::bytes::Regex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{Compiler, Config, NFA};
use regex_automata::util::{pool::Pool, prefilter::Prefilter, syntax};
use regex_automata::{Input, MatchKind};

use super::eval::Effort;

/// Bytes that a search passes in one step.
const BYTES: usize = 4;

/// Up to so many bytes × states the worst is bearable (a millisecond), and the crate's search has more tricks.
const BEARABLE: usize = 1 << 17;

/// Bytes × states for a step, where a search may take its worst.
const WORST: usize = 8;

/// What it costs to find out that an automaton grows too large.
const GIVEN_UP: usize = 3_000_000;

#[derive(Debug)]
pub(super) struct BoundedRegex {
    regex: Regex,
    automaton: OnceLock<Automaton>,
}

/// One for each thread that searches.
type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>;

#[derive(Debug)]
struct Automaton {
    states: usize,
    lazy: Option<(DFA, Caches)>,
}

impl BoundedRegex {
    pub fn new(regex: Regex) -> BoundedRegex {
        BoundedRegex { regex, automaton: OnceLock::new() }
    }

    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether a value matches; false, too, when there are no steps left to find out.
    #[inline]
    pub fn is_match(&self, value: &[u8], effort: &Effort) -> bool {
        let automaton = self.automaton.get_or_init(|| Automaton::new(self.regex.as_str()));
        let worst = value.len().saturating_mul(automaton.states);
        if worst <= BEARABLE {
            return effort.take(value.len() / BYTES + worst / WORST) && self.regex.is_match(value);
        }
        automaton.search(value, effort).unwrap_or_else(|| effort.take(worst / WORST) && self.regex.is_match(value))
    }
}

impl Automaton {
    fn new(regex: &str) -> Automaton {
        let syntax = syntax::Config::new().utf8(false);
        let Ok(hir) = syntax::parse_with(regex, &syntax) else { return Automaton { states: usize::MAX, lazy: None } };
        let Ok(nfa) = Compiler::new().configure(Config::new().utf8(false)).build_from_hir(&hir) else {
            return Automaton { states: usize::MAX, lazy: None };
        };
        Automaton {
            states: nfa.states().len(),
            lazy: lazy(nfa, Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &hir)),
        }
    }

    /// Nothing when the automaton grows too large for its value.
    fn search(&self, value: &[u8], effort: &Effort) -> Option<bool> {
        let (dfa, caches) = self.lazy.as_ref()?;
        if !effort.take(value.len() / BYTES) {
            return Some(false);
        }
        let found = dfa.try_search_fwd(&mut caches.get(), &Input::new(value).earliest(true));
        if found.is_err() {
            effort.take(GIVEN_UP);
        }
        found.ok().map(|found| found.is_some())
    }
}

fn lazy(nfa: NFA, prefilter: Option<Prefilter>) -> Option<(DFA, Caches)> {
    // Given up where each state is good for few bytes; the crate begins three times anew before it does.
    let config = DFA::config()
        .prefilter(prefilter)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0))
        .minimum_bytes_per_state(Some(10));
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
    let made = dfa.clone();
    Some((dfa, Pool::new(Box::new(move || made.create_cache()))))
}
