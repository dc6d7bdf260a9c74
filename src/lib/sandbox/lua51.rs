//! Scripts as Lua 5.1 reads them, in words that LuaJIT takes.
//!
//! Lines stay where they are. Two things differ: a backslash before a character that needs none stands for nothing
//! (`"%d\.%d"`), and a function with `...` that doesn't use it has its arguments in `arg` (LUA_COMPAT_VARARG).

use std::borrow::Cow;

/// What `arg` is: the arguments, and how many they are. A script may have another environment, without `select`.
const ARG: &[u8] = b" local arg={...} do local s=select arg.n=s and s('#',...) or #arg end ";

/// The script in words that LuaJIT takes; the same text when there is nothing to change, as nearly always.
pub fn translate(code: &[u8]) -> Cow<'_, [u8]> {
    let edits = Reader { code, at: 0, edits: Vec::new(), blocks: Vec::new() }.read();
    if edits.is_empty() {
        return code.into();
    }
    let mut made = Vec::with_capacity(code.len() + edits.len() * ARG.len());
    let mut from = 0;
    for edit in edits {
        let (at, skipped, inserted) = match edit {
            Edit::Backslash(at) => (at, 1, &b""[..]),
            Edit::Arg(at) => (at, 0, ARG),
        };
        made.extend_from_slice(code.get(from..at).unwrap_or_default());
        made.extend_from_slice(inserted);
        from = at + skipped;
    }
    made.extend_from_slice(code.get(from..).unwrap_or_default());
    made.into()
}

#[derive(Clone, Copy)]
enum Edit {
    /// A backslash to be left out.
    Backslash(usize),
    /// Where the body of a function begins that wants `arg`.
    Arg(usize),
}

impl Edit {
    fn place(self) -> usize {
        match self {
            Edit::Backslash(at) | Edit::Arg(at) => at,
        }
    }
}

/// What ends with `end` or `until`.
enum Block {
    Other,
    /// Where its body begins, and whether that uses `...` and `arg`; only with `...` among its parameters.
    Function(Option<Vararg>),
}

struct Vararg {
    body: usize,
    dots: bool,
    arg: bool,
}

struct Reader<'c> {
    code: &'c [u8],
    at: usize,
    edits: Vec<Edit>,
    blocks: Vec<Block>,
}

impl Reader<'_> {
    fn read(mut self) -> Vec<Edit> {
        // A first line of the shell's.
        if self.code.starts_with(b"#") {
            self.skip_line();
        }
        let mut before = 0;
        while let Some(&byte) = self.code.get(self.at) {
            let rest = &self.code[self.at..];
            match byte {
                b'-' if rest.starts_with(b"--") => {
                    self.at += 2;
                    if !self.long_bracket() {
                        self.skip_line();
                    }
                    continue;
                }
                b'[' if self.long_bracket() => {}
                b'"' | b'\'' => self.string(byte),
                b'.' if rest.starts_with(b"...") => {
                    if let Some(vararg) = self.function() {
                        vararg.dots = true;
                    }
                    self.at += 3;
                    before = b')';
                    continue;
                }
                b'.' if rest.starts_with(b"..") => {
                    self.at += 2;
                    before = b'+';
                    continue;
                }
                b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                    let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                    self.at += len;
                    self.word(&rest[..len], before);
                }
                b'0'..=b'9' => {
                    let number = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'.' | b'_');
                    self.at += rest.iter().take_while(number).count();
                }
                _ => self.at += 1,
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
        }
        self.edits.sort_by_key(|edit| edit.place());
        self.edits
    }

    /// The function with `...` that is being read, if the innermost function is one.
    fn function(&mut self) -> Option<&mut Vararg> {
        let innermost = self.blocks.iter_mut().rev().find_map(|block| match block {
            Block::Function(vararg) => Some(vararg),
            Block::Other => None,
        });
        innermost?.as_mut()
    }

    /// A name or a keyword; `before` is the last byte ahead of it that is no blank.
    fn word(&mut self, word: &[u8], before: u8) {
        match word {
            // Fields and methods may be called so.
            _ if before == b'.' || before == b':' => {}
            b"function" => {
                let vararg = self.parameters();
                self.blocks.push(Block::Function(vararg));
            }
            b"if" | b"do" | b"repeat" => self.blocks.push(Block::Other),
            b"end" | b"until" => {
                if let Some(Block::Function(Some(Vararg { body, dots: false, arg: true }))) = self.blocks.pop() {
                    self.edits.push(Edit::Arg(body));
                }
            }
            b"arg" => {
                // Of the nearest function that has one: those within see it.
                for block in self.blocks.iter_mut().rev() {
                    if let Block::Function(Some(vararg)) = block
                        && !vararg.dots
                    {
                        vararg.arg = true;
                        break;
                    }
                }
            }
            _ => {}
        }
    }

    /// Reads a function's name and parameters.
    fn parameters(&mut self) -> Option<Vararg> {
        let rest = self.code.get(self.at..)?;
        let open = rest.iter().position(|byte| *byte == b'(')?;
        let len = rest[open..].iter().position(|byte| *byte == b')')? + open;
        // Nothing but names, dots and commas can stand there, and comments.
        let named = rest[..len].iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:,( \t\r\n".contains(byte));
        if !named {
            return None;
        }
        self.at += len + 1;
        let dots = rest[open..len].trim_ascii_end().ends_with(b"...");
        dots.then_some(Vararg { body: self.at, dots: false, arg: false })
    }

    fn skip_line(&mut self) {
        let rest = self.code.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// Skips `[[…]]`, `[=[…]=]` and so on, if one begins here.
    fn long_bracket(&mut self) -> bool {
        let rest = self.code.get(self.at..).unwrap_or_default();
        let level = rest.iter().skip(1).take_while(|byte| **byte == b'=').count();
        if rest.first() != Some(&b'[') || rest.get(level + 1) != Some(&b'[') {
            return false;
        }
        let close = [b"]", &vec![b'='; level][..], b"]"].concat();
        let len =
            memchr::memmem::find(&rest[level + 2..], &close).map_or(rest.len(), |at| level + 2 + at + close.len());
        self.at += len;
        true
    }

    /// Skips a string in quotes, and notes what LuaJIT refuses in it.
    fn string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.code.get(self.at) {
            match byte {
                b'\\' => {
                    let escaped = self.code.get(self.at + 1).copied().unwrap_or(0);
                    // Those after the first line are LuaJIT's own, and mean there what they mean.
                    let known = b"abfnrtv\\\"'\n\r0123456789\
                        xzu"
                    .contains(&escaped);
                    if !known && escaped != 0 {
                        self.edits.push(Edit::Backslash(self.at));
                    }
                    self.at += 2;
                }
                // A line's end ends it, wrongly.
                b'\n' => return,
                _ => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn translated(code: &str) -> String {
        String::from_utf8(translate(code.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn what_only_lua_5_1_takes() {
        let arg = std::str::from_utf8(ARG).unwrap();
        let cases = [
            (r#"local p = "(%d+)\.(%d+)\-" .. '\%'"#, r#"local p = "(%d+).(%d+)-" .. '%'"#.to_string()),
            (r#"x = "\n\\.\"\x41\065""#, r#"x = "\n\\.\"\x41\065""#.into()),
            ("function f(...) return arg.n end", format!("function f(...){arg} return arg.n end")),
            (
                "local f = function(a, ... ) if a then return arg[1] end end",
                format!("local f = function(a, ... ){arg} if a then return arg[1] end end"),
            ),
            ("function f(...) return 'x'..arg[1] end", format!("function f(...){arg} return 'x'..arg[1] end")),
            (
                "function f(...) local g = function(x) return arg.n + x end return g(1) end",
                format!("function f(...){arg} local g = function(x) return arg.n + x end return g(1) end"),
            ),
            (
                "function a(...) return ... end function b(...) return arg end",
                format!("function a(...) return ... end function b(...){arg} return arg end"),
            ),
        ];
        for (code, expected) in cases {
            assert_eq!(translated(code), expected);
        }
        for same in [
            "function f(...) local arg = {...} return arg.n end",
            "function f(a) return arg end",
            "function f(...) return t.arg, t:arg() end",
            "function f(...) return 'a'..t.arg..1 ..2 end",
            "-- \"\\.\" function f(...) return arg end",
            "--[==[ \"\\.\" ]] ]==] x = [[\"\\.\"]]",
            "function f(...) x = 'arg' --[[ arg ]] end",
            "x = \"unfinished\\",
        ] {
            assert_eq!(translated(same), same);
        }
        // One whose inner function uses the dots has an `arg` of its own.
        let nested = "function f(...) g(function(...) return ... end) return arg.n end";
        assert_eq!(translated(nested), nested.replacen("...)", &format!("...){arg}"), 1));
    }

    proptest! {
        #[test]
        fn lines_stay_and_nothing_panics(code in "(function ?|\\(|\\.\\.\\.|\\)|arg|end|if|do|[\"'\\\\\\[\\]=\n -]|--|x){0,40}") {
            let made = translate(code.as_bytes()).into_owned();
            let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(lines(&made), lines(code.as_bytes()));
        }
    }
}
