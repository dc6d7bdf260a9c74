//! Many expressions, one pass over each message.
//!
//! Each variable is read once per message, however many expressions name it. Most expressions can only be true if some
//! text or number is what they ask for, or has some text in it: these conditions stand in tables, so that one look-up
//! (for text within text: one search) for each variable answers which few expressions are worth evaluating.

use std::collections::{BTreeMap, HashMap};

use aho_corasick::AhoCorasick;
use regex_syntax::hir::literal::Extractor;

use super::eval::{Found, evaluate, find};
use super::pattern::Pattern;
use super::{Expr, Matcher, Number, Relation, Test, Variable};
use crate::message::{FieldView, MessageView, Value};

/// Texts that a regex may begin with, at most; one with more is evaluated for each message.
const MAX_LITERALS: usize = 64;
/// Texts within texts that a search may find in one value; with more, all entries are evaluated.
const MAX_FOUND: usize = 4096;

/// A set of expressions, each with a number of the caller's.
#[derive(Default)]
pub struct MatcherSet {
    entries: BTreeMap<usize, Expr<usize>>,
    /// What the entries' variables are; their values for the message at hand are found at the same places.
    variables: Vec<Variable>,
    tables: Option<Tables>,
    values: Vec<Found<'static>>,
    given_up: Vec<usize>,
}

/// Made anew when the set has changed.
#[derive(Default)]
struct Tables {
    /// Places of variables that are no fields.
    headers: Vec<usize>,
    /// For each name of a field: instance, element, place.
    fields: HashMap<Vec<u8>, Vec<(usize, usize, usize)>>,
    /// A bit for each of these names, so that most others are passed over without a look-up (a message of 10 fields then
    /// takes 0.16 µs less).
    marks: u64,
    /// Place of a variable, and the entries to evaluate if it is that text, that number (as bits), has that text in it.
    texts: BTreeMap<usize, HashMap<Vec<u8>, Vec<usize>>>,
    numbers: BTreeMap<usize, HashMap<u64, Vec<usize>>>,
    literals: Vec<Literals>,
    /// Entries that have no such condition.
    others: Vec<usize>,
}

/// Texts that one variable may have in it.
struct Literals {
    place: usize,
    search: AhoCorasick,
    /// The entries of each text.
    entries: Vec<Vec<usize>>,
}

/// What has to be so for an expression to be true.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Condition {
    Text(usize, Vec<u8>),
    Number(usize, u64),
    Contains(usize, Vec<u8>),
}

impl MatcherSet {
    /// Adds an expression, or replaces that of the same number.
    pub fn insert(&mut self, number: usize, matcher: Matcher) {
        let variables = &mut self.variables;
        let expr = renamed(matcher.expr, &mut |variable| {
            variables.iter().position(|known| *known == variable).unwrap_or_else(|| {
                variables.push(variable);
                variables.len() - 1
            })
        });
        self.entries.insert(number, expr);
        self.tables = None;
    }

    pub fn remove(&mut self, number: usize) {
        if self.entries.remove(&number).is_some() {
            self.tables = None;
            self.forget_variables();
        }
    }

    /// Variables that no entry names any more would be looked for in each message.
    fn forget_variables(&mut self) {
        let mut places: Vec<Option<usize>> = vec![None; self.variables.len()];
        let mut kept = Vec::new();
        for expr in self.entries.values_mut() {
            each_variable(expr, &mut |place| {
                *place = *places[*place].get_or_insert_with(|| {
                    kept.push(self.variables[*place].clone());
                    kept.len() - 1
                });
            });
        }
        self.variables = kept;
    }

    /// The numbers of the expressions that were given up for their cost since the last call, and so did not match.
    pub fn take_given_up(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.given_up)
    }

    /// Puts the numbers of the expressions that select the message into `hits`, ascending.
    #[inline]
    pub fn matches(&mut self, message: &MessageView<'_>, hits: &mut Vec<usize>) {
        hits.clear();
        let tables = self.tables.get_or_insert_with(|| Tables::new(&self.entries, &self.variables));
        let mut values: Vec<Found<'_>> = std::mem::take(&mut self.values);
        values.resize(self.variables.len(), Found::Field(None));
        tables.read(message, &self.variables, &mut values);
        tables.candidates(&values, hits);
        hits.sort_unstable();
        hits.dedup();
        let (entries, given_up) = (&self.entries, &mut self.given_up);
        hits.retain(|number| {
            let Some(expr) = entries.get(number) else { return false };
            evaluate(expr, &|place: &usize| values[*place]).unwrap_or_else(|| {
                given_up.push(*number);
                false
            })
        });
        // Empty, it can be lent to the next message: the allocation stays.
        values.clear();
        self.values = values.into_iter().map(|_| Found::Field(None)).collect();
    }
}

fn renamed(expr: Expr, place: &mut impl FnMut(Variable) -> usize) -> Expr<usize> {
    match expr {
        Expr::Constant(value) => Expr::Constant(value),
        Expr::And(parts) => Expr::And(parts.into_iter().map(|part| renamed(part, place)).collect()),
        Expr::Or(parts) => Expr::Or(parts.into_iter().map(|part| renamed(part, place)).collect()),
        Expr::Test(variable, test) => Expr::Test(place(variable), test),
    }
}

fn each_variable(expr: &mut Expr<usize>, visit: &mut impl FnMut(&mut usize)) {
    match expr {
        Expr::Constant(_) => {}
        Expr::And(parts) | Expr::Or(parts) => parts.iter_mut().for_each(|part| each_variable(part, visit)),
        Expr::Test(place, _) => visit(place),
    }
}

impl Tables {
    fn new(entries: &BTreeMap<usize, Expr<usize>>, variables: &[Variable]) -> Tables {
        let mut tables = Tables::default();
        for (place, variable) in variables.iter().enumerate() {
            match variable {
                Variable::Field { name, instance, element } => {
                    tables.marks |= mark(name);
                    tables.fields.entry(name.clone()).or_default().push((*instance, *element, place));
                }
                _ => tables.headers.push(place),
            }
        }
        // A condition that many share tells little: of several the rarest is taken.
        let mut shared: HashMap<Condition, usize> = HashMap::new();
        for expr in entries.values() {
            count(expr, variables, &mut shared);
        }
        let mut contained: BTreeMap<usize, BTreeMap<Vec<u8>, Vec<usize>>> = BTreeMap::new();
        for (&number, expr) in entries {
            let Some((_, conditions)) = rarest(expr, variables, &shared) else {
                tables.others.push(number);
                continue;
            };
            for condition in conditions {
                match condition {
                    Condition::Text(place, text) => {
                        tables.texts.entry(place).or_default().entry(text).or_default().push(number);
                    }
                    Condition::Number(place, bits) => {
                        tables.numbers.entry(place).or_default().entry(bits).or_default().push(number);
                    }
                    Condition::Contains(place, text) => {
                        contained.entry(place).or_default().entry(text).or_default().push(number);
                    }
                }
            }
        }
        for (place, texts) in contained {
            match AhoCorasick::new(texts.keys()) {
                Ok(search) => {
                    tables.literals.push(Literals { place, search, entries: texts.into_values().collect() });
                }
                // There are too many of them.
                Err(_) => tables.others.extend(texts.into_values().flatten()),
            }
        }
        tables
    }

    /// Reads what the variables are in a message.
    fn read<'m>(&self, message: &MessageView<'m>, variables: &[Variable], values: &mut [Found<'m>]) {
        for &place in &self.headers {
            values[place] = find(&variables[place], message);
        }
        if self.fields.is_empty() {
            return;
        }
        for field in message.fields_called(|name| self.marks & mark(name) != 0) {
            for &(instance, element, place) in self.fields.get(field.name).into_iter().flatten() {
                // Names are seldom repeated: mostly the first one found is this one.
                let same = |other: &FieldView<'_>| std::ptr::eq(other.name, field.name);
                if message.field(field.name, instance).as_ref().is_some_and(same) {
                    values[place] = Found::Field(field.values().nth(element));
                }
            }
        }
    }

    fn candidates(&self, values: &[Found<'_>], hits: &mut Vec<usize>) {
        hits.extend_from_slice(&self.others);
        for (place, table) in &self.texts {
            if let Some(numbers) = text_of(values[*place]).and_then(|text| table.get(text)) {
                hits.extend_from_slice(numbers);
            }
        }
        for (place, table) in &self.numbers {
            if let Some(numbers) = bits_of(values[*place]).and_then(|bits| table.get(&bits)) {
                hits.extend_from_slice(numbers);
            }
        }
        for Literals { place, search, entries } in &self.literals {
            let Some(text) = text_of(values[*place]) else { continue };
            let mut last = None;
            for (count, found) in search.find_overlapping_iter(text).enumerate() {
                if count == MAX_FOUND {
                    hits.extend(entries.iter().flatten());
                    break;
                }
                if last.replace(found.pattern()) != Some(found.pattern()) {
                    hits.extend_from_slice(&entries[found.pattern().as_usize()]);
                }
            }
        }
    }
}

fn mark(name: &[u8]) -> u64 {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    1 << ((name.len() as u8 ^ first.rotate_left(2) ^ last) & 63)
}

/// The text that tests on a variable see. (None of a uuid's stand in tables.)
#[inline]
fn text_of(found: Found<'_>) -> Option<&[u8]> {
    match found {
        Found::Text(value) => Some(value.unwrap_or_default()),
        Found::Field(Some(Value::String(text) | Value::Bytes(text))) => Some(text),
        _ => None,
    }
}

#[inline]
fn bits_of(found: Found<'_>) -> Option<u64> {
    Some(bits(match found {
        Found::Integer(value) | Found::Field(Some(Value::Integer(value))) => value as f64,
        Found::Pid(value) => value.unwrap_or(0) as f64,
        Found::Field(Some(Value::Double(value))) => value,
        _ => return None,
    }))
}

/// Numbers that are equal have the same bits as doubles, but for the two zeros.
fn bits(number: f64) -> u64 {
    if number == 0.0 { 0 } else { number.to_bits() }
}

/// One of these has to be so for the test to hold; `None` when nothing can be said.
fn conditions(place: usize, variable: &Variable, test: &Test) -> Option<Vec<Condition>> {
    if *variable == Variable::Uuid {
        return None;
    }
    let contains = |text: &[u8]| (!text.is_empty()).then(|| vec![Condition::Contains(place, text.to_vec())]);
    match test {
        Test::Text(Relation::Equal, text) => Some(vec![Condition::Text(place, text.clone())]),
        Test::Number(Relation::Equal, number) => {
            let number = match *number {
                Number::Integer(number) => number as f64,
                Number::Double(number) => number,
            };
            Some(vec![Condition::Number(place, bits(number))])
        }
        Test::Pattern { pattern, negated: false } => match pattern {
            Pattern::Prefix(text) | Pattern::Suffix(text) => contains(text),
            Pattern::Contains(finder) => contains(finder.needle()),
            Pattern::Regex(regex) => {
                let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
                let literals = Extractor::new().extract(&parser.parse(regex.as_str()).ok()?);
                let texts = literals.literals().filter(|texts| texts.len() <= MAX_LITERALS)?;
                // Others may match where the value is no UTF-8 and is read as if it were.
                let usable = |text: &[u8]| !text.is_empty() && text.is_ascii();
                texts
                    .iter()
                    .map(|text| usable(text.as_bytes()).then(|| Condition::Contains(place, text.as_bytes().to_vec())))
                    .collect()
            }
            Pattern::Lua(_) => None,
        },
        _ => None,
    }
}

/// Counts how many tests share each condition.
fn count(expr: &Expr<usize>, variables: &[Variable], shared: &mut HashMap<Condition, usize>) {
    match expr {
        Expr::Constant(_) => {}
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| count(part, variables, shared)),
        Expr::Test(place, test) => {
            for condition in conditions(*place, &variables[*place], test).into_iter().flatten() {
                *shared.entry(condition).or_default() += 1;
            }
        }
    }
}

/// Conditions one of which has to be so for the expression to be true, and how many expressions share them. `None` when
/// nothing can be said.
fn rarest(
    expr: &Expr<usize>,
    variables: &[Variable],
    shared: &HashMap<Condition, usize>,
) -> Option<(usize, Vec<Condition>)> {
    match expr {
        Expr::Constant(true) => None,
        Expr::Constant(false) => Some((0, Vec::new())),
        Expr::And(parts) => {
            let known = parts.iter().filter_map(|part| rarest(part, variables, shared));
            known.min_by_key(|(cost, _)| *cost)
        }
        Expr::Or(parts) => {
            let mut all = (0, Vec::new());
            for part in parts {
                let (cost, conditions) = rarest(part, variables, shared)?;
                all.0 += cost;
                all.1.extend(conditions);
            }
            Some(all)
        }
        Expr::Test(place, test) => {
            let conditions = conditions(*place, &variables[*place], test)?;
            // A search costs more than a look-up.
            let cost = |condition: &Condition| {
                shared.get(condition).copied().unwrap_or(0) + matches!(condition, Condition::Contains(..)) as usize
            };
            Some((conditions.iter().map(cost).sum(), conditions))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{MessageBuilder, TextHeader};

    /// Words that collide on purpose.
    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "ab", "b", "", "abc", "ba", "\u{e9}b"])
    }

    fn test() -> impl Strategy<Value = String> {
        let variable = prop::sample::select(vec![
            "Type",
            "Payload",
            "Uuid",
            "Fields[x]",
            "Fields[y]",
            "Fields[x][1]",
            "Fields[x][0][1]",
        ]);
        let number = prop::sample::select(vec!["Severity", "Pid", "Timestamp", "Fields[x]", "Fields[y]"]);
        let text = prop::sample::select(vec!["==", "!=", "<", ">="]);
        let regex = prop::sample::select(vec!["", "^", "b?", "[ab]", "(?i)", ".", "(a|b)"]);
        prop_oneof![
            (variable.clone(), text.clone(), word()).prop_map(|(v, op, w)| format!("{v} {op} '{w}'")),
            (variable.clone(), regex, word(), "[$]?").prop_map(|(v, r, w, end)| format!("{v} =~ /{r}{w}{end}/")),
            (variable.clone(), word()).prop_map(|(v, w)| format!("{v} !~ /{w}/")),
            (variable, word()).prop_map(|(v, w)| format!("{v} =~ '{w}.'")),
            (number, text, -1i64..3).prop_map(|(v, op, n)| format!("{v} {op} {n}")),
            Just("Fields[x] == TRUE".to_string()),
            Just("Fields[y] == 1.5".to_string()),
            Just("Fields[x] == NIL".to_string()),
            Just("TRUE".to_string()),
            Just("FALSE".to_string()),
        ]
    }

    fn expression() -> impl Strategy<Value = String> {
        test().prop_recursive(3, 8, 3, |inner| {
            (prop::collection::vec(inner, 1..3), prop::sample::select(vec![" && ", " || "]))
                .prop_map(|(parts, op)| format!("({})", parts.join(op)))
        })
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let value = prop_oneof![
            word().prop_map(|word| (0, word.to_string(), 0)),
            (-1i64..3).prop_map(|n| (1, String::new(), n)),
            (0i64..4).prop_map(|n| (2, String::new(), n)),
            Just((3, String::new(), 1)),
            // No UTF-8.
            Just((4, String::new(), 0)),
        ];
        let fields = prop::collection::vec((prop::sample::select(vec!["x", "y", "z"]), value), 0..4);
        (word(), prop::option::of(word()), -1i64..3, fields).prop_map(|(kind, payload, number, fields)| {
            let mut bytes = Vec::new();
            let mut builder = MessageBuilder::new(&mut bytes, b"aaaaaaaaaaaaaaaa", number);
            builder.text(TextHeader::Type, kind.as_bytes()).severity(number as i32);
            if let Some(payload) = payload {
                builder.text(TextHeader::Payload, payload.as_bytes()).pid(number as i32);
            }
            for (name, (kind, text, number)) in fields {
                let name = name.as_bytes();
                match kind {
                    0 => builder.string_field(name, text.as_bytes(), b""),
                    1 => builder.integer_field(name, number, b""),
                    2 => builder.double_field(name, number as f64 / 2.0, b""),
                    3 => builder.bool_field(name, number == 1, b""),
                    _ => builder.string_field(name, b"a\xffb", b""),
                };
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn a_set_answers_what_its_expressions_answer(
            expressions in prop::collection::vec(expression(), 1..12),
            removed in 0usize..12,
            messages in prop::collection::vec(message(), 1..8),
        ) {
            let mut set = MatcherSet::default();
            let parse = |text: &String| Matcher::parse(text).unwrap();
            for (number, text) in expressions.iter().enumerate() {
                set.insert(number, parse(text));
            }
            set.remove(removed);
            let mut hits = Vec::new();
            for bytes in &messages {
                let view = MessageView::new(bytes).unwrap();
                set.matches(&view, &mut hits);
                let expected: Vec<usize> = (0..expressions.len())
                    .filter(|number| *number != removed && parse(&expressions[*number]).matches(&view))
                    .collect();
                prop_assert_eq!(&hits, &expected, "{:?}", expressions);
            }
        }
    }
}
