//! The matcher language, by cases: expression, message, expected answer.

use heka::matcher::Matcher;
use heka::message::MessageView;
use proptest::prelude::*;

const M1: &str = "0a10a0a1a2a3a4a54ba788a9aaabacadaeaf10959a97ece39fe7cb171a0a7765622e6163636573732206656467652d3728\
    043216474554202f612f623f783d3120226f6b2220697427733a04322e313040b7024a00520a0a01732205616c70686152100a0173220462\
    657461220567616d6d61520c0a02627910012a044142004352170a016e10021a0142320dc80100f9ffffffffffffffff01521b0a01641003\
    1a026d733a10000000000000d03f0000000000408f4052090a0174100442020100520d0a066e756d737472220332303052050a0165100052\
    0d0a036120622206737061636564520e0a04706174682206433a5c746d7052110a03626967100232088180808080808010520a0a036f6e65\
    1002320101520b0a03796573220454525545520b0a017522066e61c3af7665520b0a026e6c22056c310a6c32520a0a02736c2204612f6224";
const M0: &str = "0a10a0a1a2a3a4a54ba788a9aaabacadaeaf1001";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn every_case_has_its_answer() {
    let (m1, m0) = (bytes(M1), bytes(M0));
    let (m1, m0) = (MessageView::new(&m1).unwrap(), MessageView::new(&m0).unwrap());
    let cases = include_str!("cases/matcher.txt").lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases {
        let text = case[5..].replace('␤', "\n").replace('⇥', "\t").replace('␀', "\0");
        let message = if &case[2..4] == "M1" { &m1 } else { &m0 };
        let answer = match Matcher::parse(&text) {
            Err(_) => "E",
            Ok(matcher) if matcher.matches(message) => "T",
            Ok(_) => "F",
        };
        if answer != &case[..1] {
            wrong.push(format!("{answer} instead of {case}"));
        }
        count += 1;
    }
    assert!(count > 300, "{count} cases only");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn refusals_point_at_the_column() {
    let cases = [
        ("", 1, "expected a variable, TRUE, FALSE or (, found the end"),
        ("type == 'x'", 1, "unknown variable \"type\": did you mean Type?"),
        ("status >= 500", 1, "unknown variable \"status\": a field is written Fields[status]"),
        ("Type = 'x'", 6, "expected == != < <= > >= =~ or !~ (did you mean ==?), found \"=\""),
        ("Severity == '4'", 13, "expected a number, found \"'\""),
        ("Type == web", 9, "expected a string in quotes, found \"web\""),
        ("Type == 'x' AND Pid == 1", 13, "expected && or || or the end (did you mean &&?), found \"AND\""),
        ("Payload =~ /(/", 12, "bad regex: unclosed group"),
        ("Payload =~ /a", 12, "this regex has no closing /"),
        ("Type == 'é' && (Pid == 1", 25, "expected && or || or ), found the end"),
        ("!TRUE", 1, "expected a variable or ( (there is no NOT), found \"!\""),
    ];
    for (text, column, message) in cases {
        let error = Matcher::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
        assert_eq!((error.column, error.message.as_str()), (column, message), "{text}");
    }
}

#[test]
fn hostile_expressions_are_refused() {
    let parentheses = "(".repeat(10_000) + "TRUE" + &")".repeat(10_000);
    let long_regex = format!("Payload =~ /{}/", "(a|b)*".repeat(200_000));
    let wide_regex = "Payload =~ /((a{1000}){1000}){1000}/".to_string();
    let deep_regex = format!("Payload =~ /{}a{}/", "(".repeat(5_000), ")".repeat(5_000));
    let long_pattern = format!("Payload =~ '{}'", "a-".repeat(20_000));
    for text in [parentheses, long_regex, wide_regex, deep_regex, long_pattern] {
        assert!(Matcher::parse(&text).is_err(), "{}…", &text[..40]);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(Fields\\[a\\]|Type|Pid|==|=~|[()&|'\"/%\\\\ é0-9.e-]|NIL|TRUE|\\PC){0,30}") {
        let m1 = bytes(M1);
        if let Ok(matcher) = Matcher::parse(&text) {
            matcher.matches(&MessageView::new(&m1).unwrap());
        }
    }

    #[test]
    fn no_bytes_make_the_view_panic(mut message in Just(bytes(M1)), edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..8)) {
        for (at, byte) in edits {
            let at = at % message.len();
            message[at] = byte;
        }
        if let Some(view) = MessageView::new(&message) {
            let values: usize = view.fields().map(|field| field.values().count()).sum();
            prop_assert!(values <= message.len());
        }
    }
}
