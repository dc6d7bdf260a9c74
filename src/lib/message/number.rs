//! Numbers as decimal text, without an allocation.

/// Appends a whole number.
#[inline]
pub fn put_integer(buf: &mut Vec<u8>, number: impl itoa::Integer) {
    buf.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a fraction of a second: a point and nine digits, without zeros at the end; nothing when it is 0.
pub fn put_fraction(buf: &mut Vec<u8>, ns: u32) {
    if ns == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    let mut rest = ns;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    buf.push(b'.');
    buf.extend_from_slice(&digits[..digits.len() - zeros]);
}

/// A double that is whole, and has as few digits as an integer has: its shortest text is the integer's. Not so -0.
#[inline]
pub fn whole(number: f64) -> Option<i64> {
    let integer = number as i64;
    // 2^53: up to there doubles have all whole numbers.
    let exact = integer as f64 == number && integer.unsigned_abs() < 1 << 53;
    (exact && (integer != 0 || number.is_sign_positive())).then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_doubles_look_like_integers(number in prop_oneof![
            any::<f64>(),
            any::<i64>().prop_map(|number| number as f64),
            (-1_000_000i64..1_000_000).prop_map(|number| number as f64 / 4.0),
            Just(-0.0),
        ]) {
            let minus_zero = number == 0.0 && number.is_sign_negative();
            let integer = number.fract() == 0.0 && number.abs() < (1u64 << 53) as f64 && !minus_zero;
            prop_assert_eq!(whole(number).is_some(), integer);
            if let Some(integer) = whole(number) {
                let mut text = Vec::new();
                put_integer(&mut text, integer);
                prop_assert_eq!(String::from_utf8(text).unwrap(), format!("{number}"));
            }
        }
    }
}
