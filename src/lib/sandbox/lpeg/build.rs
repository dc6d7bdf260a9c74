//! The functions and operators that make patterns.

use std::ffi::c_int;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};
use super::pattern::{self, Pattern, capture, coerce, finish, wrap};
use super::{TONUMBER, push_name, raise_build_error};
use crate::lpeg::ByteSet;
use crate::lpeg::tree::{BuildError, Builder, Kind, MAX_RULES, Op, Tree};

/// LPeg's bound for numbers in patterns.
const MAX_NUMBER: ffi::lua_Integer = i16::MAX as ffi::lua_Integer;

/// `P(value)`.
pub unsafe extern "C-unwind" fn p(state: State) -> c_int {
    // SAFETY: this and all below: see `pattern`. Nothing that needs a destructor is held while something may raise.
    unsafe {
        ffi::luaL_checkany(state, 1);
        coerce(state, 1);
        ffi::lua_settop(state, 1);
        1
    }
}

/// `S(bytes)`.
pub unsafe extern "C-unwind" fn s(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { push_set(state, ByteSet::of(check_bytes(state, 1))) }
}

/// `R("az", …)`.
pub unsafe extern "C-unwind" fn r(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let mut set = ByteSet::EMPTY;
        for argument in 1..=ffi::lua_gettop(state) {
            match check_bytes(state, argument) {
                &[first, last] => set = set.union(ByteSet::range(first, last)),
                _ => {
                    ffi::luaL_argerror(state, argument, c"range must have two characters".as_ptr());
                }
            }
        }
        push_set(state, set)
    }
}

unsafe fn push_set(state: State, set: ByteSet) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        Host::of(state).lpeg.builder.set(set);
        finish(state, Ok(()), 0);
        1
    }
}

/// `utfR(first, last)`: one code point in UTF-8.
pub unsafe extern "C-unwind" fn utf_range(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let (from, to) = (ffi::luaL_checkinteger(state, 1), ffi::luaL_checkinteger(state, 2));
        if from > to {
            ffi::luaL_argerror(state, 2, c"empty range".as_ptr());
        }
        if to > 0x10ffff {
            ffi::luaL_argerror(state, 2, c"invalid code point".as_ptr());
        }
        if from < 0 {
            ffi::luaL_argerror(state, 1, c"invalid code point".as_ptr());
        }
        if to < 0x80 {
            return push_set(state, ByteSet::range(from as u8, to as u8));
        }
        Host::of(state).lpeg.builder.leaf(Op::Utf8 { from: from as u32, to: to as u32 });
        finish(state, Ok(()), 0);
        1
    }
}

/// `B(pattern)`.
pub unsafe extern "C-unwind" fn b(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let body = coerce(state, 1);
        let built = Host::of(state).lpeg.builder.behind(Pattern::tree(body));
        finish(state, built, 0);
        1
    }
}

/// `V(name)`.
pub unsafe extern "C-unwind" fn v(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let named = ffi::lua_type(state, 1) > ffi::LUA_TNIL;
        Host::of(state).lpeg.builder.leaf(Op::OpenCall { name: named as u32 });
        push_with_value(state, named as u32)
    }
}

/// Pushes the pattern that was built, with the value at 1 if it has one.
unsafe fn push_with_value(state: State, values: u32) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        finish(state, Ok(()), values);
        if values > 0 {
            ffi::lua_createtable(state, 1, 0);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_rawseti(state, -2, 1);
            ffi::lua_setfenv(state, -2);
        }
        1
    }
}

pub unsafe extern "C-unwind" fn c(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { capture(state, Kind::Simple, false) }
}

pub unsafe extern "C-unwind" fn c_t(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { capture(state, Kind::Table, false) }
}

pub unsafe extern "C-unwind" fn c_s(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { capture(state, Kind::Substitution, false) }
}

/// `Cg(pattern [, name])`.
pub unsafe extern "C-unwind" fn c_g(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { capture(state, Kind::Group, ffi::lua_type(state, 2) > ffi::LUA_TNIL) }
}

/// `Cf(pattern, function)`.
pub unsafe extern "C-unwind" fn c_f(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        capture(state, Kind::Fold, true)
    }
}

/// `pattern % function`.
pub unsafe extern "C-unwind" fn accumulate(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        capture(state, Kind::Accumulator, true)
    }
}

/// `Cmt(pattern, function)`.
pub unsafe extern "C-unwind" fn c_mt(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        let body = coerce(state, 1);
        wrap(state, body, Op::RunTime { value: (*body).values + 1 }, true)
    }
}

pub unsafe extern "C-unwind" fn c_p(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        Host::of(state).lpeg.builder.empty_capture(Kind::Position, 0);
        finish(state, Ok(()), 0);
        1
    }
}

/// `Carg(n)`.
pub unsafe extern "C-unwind" fn c_arg(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let number = ffi::luaL_checkinteger(state, 1);
        if !(1..=MAX_NUMBER).contains(&number) {
            ffi::luaL_argerror(state, 1, c"invalid argument index".as_ptr());
        }
        Host::of(state).lpeg.builder.empty_capture(Kind::Argument, number as u32);
        finish(state, Ok(()), 0);
        1
    }
}

/// `Cb(name)`.
pub unsafe extern "C-unwind" fn c_b(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        ffi::luaL_checkany(state, 1);
        Host::of(state).lpeg.builder.empty_capture(Kind::Backreference, 1);
        push_with_value(state, 1)
    }
}

/// `Cc(value, …)`.
pub unsafe extern "C-unwind" fn c_c(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let count = ffi::lua_gettop(state);
        Host::of(state).lpeg.builder.constants(1, count as u32);
        finish(state, Ok(()), count as u32);
        if count > 0 {
            ffi::lua_createtable(state, count, 0);
            for value in 1..=count {
                ffi::lua_pushvalue(state, value);
                ffi::lua_rawseti(state, -2, value as i64);
            }
            ffi::lua_setfenv(state, -2);
        }
        1
    }
}

/// `pattern / value`.
pub unsafe extern "C-unwind" fn divide(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        match ffi::lua_type(state, 2) {
            ffi::LUA_TFUNCTION => {
                ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, TONUMBER.as_ptr());
                let numeral = ffi::lua_rawequal(state, -1, 2) != 0;
                ffi::lua_settop(state, 2);
                capture(state, if numeral { Kind::Numeral } else { Kind::Function }, true)
            }
            ffi::LUA_TTABLE => capture(state, Kind::Query, true),
            ffi::LUA_TSTRING => capture(state, Kind::Text, true),
            ffi::LUA_TNUMBER => {
                let number = raw::integer(state, 2);
                if !(0..=MAX_NUMBER).contains(&number) {
                    ffi::luaL_argerror(state, 1, c"invalid number".as_ptr());
                }
                let body = coerce(state, 1);
                wrap(state, body, Op::Capture { kind: Kind::Number, value: number as u32 }, false)
            }
            _ => ffi::luaL_argerror(state, 2, c"invalid replacement value".as_ptr()),
        }
    }
}

pub unsafe extern "C-unwind" fn and(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let body = coerce(state, 1);
        wrap(state, body, Op::And, false)
    }
}

pub unsafe extern "C-unwind" fn not(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let body = coerce(state, 1);
        wrap(state, body, Op::Not, false)
    }
}

/// `pattern ^ n`.
pub unsafe extern "C-unwind" fn repeat(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let count = ffi::luaL_checkinteger(state, 2);
        let body = coerce(state, 1);
        let count = count.clamp(-i32::MAX as ffi::lua_Integer, i32::MAX as ffi::lua_Integer) as i32;
        let built = Host::of(state).lpeg.builder.repeat(Pattern::tree(body), count);
        finish(state, built, (*body).values);
        if (*body).values > 0 {
            ffi::lua_getfenv(state, 1);
            ffi::lua_setfenv(state, -2);
        }
        1
    }
}

pub unsafe extern "C-unwind" fn seq(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { join(state, Builder::seq) }
}

pub unsafe extern "C-unwind" fn choice(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { join(state, Builder::choice) }
}

pub unsafe extern "C-unwind" fn minus(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe { join(state, Builder::minus) }
}

type Join = fn(&mut Builder, Tree<'_>, Tree<'_>, u32) -> Result<(), BuildError>;

/// Pushes a pattern of the two at 1 and 2. Their values are put into one table, unless they share one.
unsafe fn join(state: State, how: Join) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        let (first, second) = (coerce(state, 1), coerce(state, 2));
        let (one, two) = ((*first).values, (*second).values);
        ffi::lua_settop(state, 2);
        let shared = one > 0 && two > 0 && {
            ffi::lua_getfenv(state, 1);
            ffi::lua_getfenv(state, 2);
            let same = ffi::lua_rawequal(state, 3, 4) != 0;
            ffi::lua_settop(state, 2);
            same
        };
        let both = one > 0 && two > 0 && !shared;
        let shift = if both { one } else { 0 };
        let built = how(&mut Host::of(state).lpeg.builder, Pattern::tree(first), Pattern::tree(second), shift);
        finish(state, built, if both { one + two } else { one.max(two) });
        if both {
            ffi::lua_createtable(state, (one + two) as c_int, 0);
            pattern::copy_values(state, 1, first, 0);
            pattern::copy_values(state, 2, second, one);
            ffi::lua_setfenv(state, 3);
        } else if one > 0 || two > 0 {
            ffi::lua_getfenv(state, if one > 0 { 1 } else { 2 });
            ffi::lua_setfenv(state, 3);
        }
        1
    }
}

/// Puts a grammar in the place of the table at an index.
pub unsafe fn grammar(state: State, table: c_int) -> *mut Pattern {
    // SAFETY: see `p`. The table is read raw, so no script runs.
    unsafe {
        ffi::luaL_checkstack(state, 2 * MAX_RULES as c_int + 20, c"grammar has too many rules".as_ptr());
        let base = ffi::lua_gettop(state);
        ffi::lua_createtable(state, 0, 0);
        let places = base + 1;
        ffi::lua_createtable(state, 0, 0);
        let values = base + 2;
        push_first_rule(state, table);
        let mut rules: u32 = 1;
        let key = |rule: u32| values + 2 * rule as c_int - 1;
        ffi::lua_pushvalue(state, key(1));
        ffi::lua_pushinteger(state, 1);
        ffi::lua_rawset(state, places);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let first = raw::number(state, -2) == Some(1.0) || ffi::lua_rawequal(state, -2, key(1)) != 0;
            if first {
                ffi::lua_settop(state, -2);
                continue;
            }
            if pattern::get(state, -1).is_none() {
                raise_about_rule(state, "rule '", ffi::lua_gettop(state) - 1);
            }
            if rules as usize == MAX_RULES {
                ffi::luaL_argerror(state, table, c"grammar has too many rules".as_ptr());
            }
            rules += 1;
            ffi::lua_pushvalue(state, key(rules));
            ffi::lua_pushinteger(state, rules as ffi::lua_Integer);
            ffi::lua_rawset(state, places);
            // The next step of the iteration takes it.
            ffi::lua_pushvalue(state, key(rules));
        }
        let mut count = 0;
        Host::of(state).lpeg.builder.begin_grammar();
        for rule in 1..=rules {
            count += 1;
            ffi::lua_pushvalue(state, key(rule));
            ffi::lua_rawseti(state, values, count as i64);
            let Some(body) = pattern::get(state, key(rule) + 1) else { continue };
            ffi::lua_pushvalue(state, values);
            pattern::copy_values(state, key(rule) + 1, body, count);
            ffi::lua_settop(state, -2);
            if let Err(error) = Host::of(state).lpeg.builder.add_rule(count, Pattern::tree(body), count) {
                raise_build_error(state, error, values);
            }
            count += (*body).values;
        }
        let built = Host::of(state).lpeg.builder.finish_grammar(|name| {
            ffi::lua_rawgeti(state, values, name as i64);
            ffi::lua_rawget(state, places);
            let place = ffi::lua_tointeger(state, -1);
            ffi::lua_settop(state, -2);
            (place > 0).then(|| place as u32 - 1)
        });
        if let Err(error) = built {
            raise_build_error(state, error, values);
        }
        let pattern = finish(state, Ok(()), count);
        ffi::lua_pushvalue(state, values);
        ffi::lua_setfenv(state, -2);
        ffi::lua_replace(state, table);
        ffi::lua_settop(state, base);
        pattern
    }
}

/// Pushes the name of a grammar's first rule, and the rule.
unsafe fn push_first_rule(state: State, table: c_int) {
    // SAFETY: see `grammar`.
    unsafe {
        ffi::lua_rawgeti(state, table, 1);
        if ffi::lua_isstring(state, -1) != 0 {
            ffi::lua_pushvalue(state, -1);
            ffi::lua_rawget(state, table);
        } else {
            ffi::lua_pushinteger(state, 1);
            ffi::lua_insert(state, -2);
        }
        if pattern::get(state, -1).is_none() {
            if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                raise(state, "grammar has no initial rule");
            }
            raise_about_rule(state, "initial rule '", ffi::lua_gettop(state) - 1);
        }
    }
}

unsafe fn raise_about_rule(state: State, before: &str, name: c_int) -> ! {
    // SAFETY: pushes the text's parts and raises.
    unsafe {
        ffi::luaL_where(state, 1);
        raw::push_bytes(state, before.as_bytes());
        push_name(state, name);
        raw::push_bytes(state, b"' is not a pattern");
        ffi::lua_concat(state, 4);
        ffi::lua_error(state)
    }
}

/// `locale([table])`: the classes of the C locale.
pub unsafe extern "C-unwind" fn locale(state: State) -> c_int {
    // SAFETY: see `p`.
    unsafe {
        if ffi::lua_type(state, 1) <= ffi::LUA_TNIL {
            ffi::lua_settop(state, 0);
            ffi::lua_createtable(state, 0, 12);
        } else {
            ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
            ffi::lua_settop(state, 1);
        }
        type Class = fn(&u8) -> bool;
        let classes: [(&std::ffi::CStr, Class); 11] = [
            (c"alnum", u8::is_ascii_alphanumeric),
            (c"alpha", u8::is_ascii_alphabetic),
            (c"cntrl", u8::is_ascii_control),
            (c"digit", u8::is_ascii_digit),
            (c"graph", u8::is_ascii_graphic),
            (c"lower", u8::is_ascii_lowercase),
            (c"print", |byte| (0x20..0x7f).contains(byte)),
            (c"punct", u8::is_ascii_punctuation),
            (c"space", |byte| matches!(byte, b' ' | 9..=13)),
            (c"upper", u8::is_ascii_uppercase),
            (c"xdigit", u8::is_ascii_hexdigit),
        ];
        for (name, contains) in classes {
            let mut set = ByteSet::EMPTY;
            (0..=255u8).filter(contains).for_each(|byte| set.insert(byte));
            push_set(state, set);
            ffi::lua_setfield(state, 1, name.as_ptr());
        }
        1
    }
}
