//! Numbers as text, in the forms that scripts and files expect.

use std::io::Write as _;

/// C's `%.{precision}g`.
pub fn general(number: f64, precision: usize) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{number:.decimals$}")).to_string()
}

/// Appends what `add_to_payload` prints: at most 8 decimals, `%.17g` beyond 31 bits.
pub fn put_payload(number: f64, out: &mut Vec<u8>) {
    // Writing into memory can't fail.
    let _ = if number.is_nan() {
        write!(out, "nan")
    } else if !number.is_finite() || number.abs() > 2_147_483_647.0 {
        write!(out, "{}", general(number, 17))
    } else if number.fract() == 0.0 {
        write!(out, "{}", number as i64)
    } else {
        let text = format!("{number:.8}");
        match without_zeros(&text) {
            "-0" => write!(out, "0"),
            short => write!(out, "{short}"),
        }
    };
}

/// Appends a finite number in the fewest digits that Lua reads back as the same.
pub fn put_exact(number: f64, out: &mut Vec<u8>) {
    let plain = number == 0.0 || (1e-5..1e17).contains(&number.abs());
    let _ = if plain { write!(out, "{number}") } else { write!(out, "{number:e}") };
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_heka_prints_them() {
        let cases = [
            (1.0 / 3.0, "0.33333333"),
            (1e-9, "0"),
            (99.999999999, "100"),
            (-0.1, "-0.1"),
            (2147483648.0, "2147483648"),
            (1e18, "1e+18"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (5.0, "5"),
        ];
        for (number, text) in cases {
            let mut printed = Vec::new();
            put_payload(number, &mut printed);
            assert_eq!(String::from_utf8(printed).unwrap(), text);
        }
        assert_eq!(general(12345678901234567.0, 14), "1.2345678901235e+16");
        assert_eq!(general(0.0001, 14), "0.0001");
        assert_eq!(general(100.0, 14), "100");
    }
}
