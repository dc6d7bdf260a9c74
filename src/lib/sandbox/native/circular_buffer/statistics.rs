//! Statistics of a column.

#[derive(Clone, Copy)]
pub enum Function {
    Sum,
    Avg,
    Sd,
    Min,
    Max,
    Variance,
}

impl Function {
    pub const ALL: [(&'static str, Function); 6] = [
        ("sum", Function::Sum),
        ("avg", Function::Avg),
        ("sd", Function::Sd),
        ("min", Function::Min),
        ("max", Function::Max),
        ("variance", Function::Variance),
    ];

    /// Over the values that are there, and how many there are.
    pub fn compute(self, values: impl Iterator<Item = f64> + Clone) -> (f64, usize) {
        let values = values.filter(|value| !value.is_nan());
        let count = values.clone().count();
        let sum: f64 = values.clone().sum();
        let mean = sum / count as f64;
        let variance = || values.clone().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
        let result = match self {
            // The sum of no numbers is written -0 by Rust.
            Function::Sum => sum + 0.0,
            Function::Avg => mean,
            Function::Variance => variance(),
            Function::Sd => variance().sqrt(),
            Function::Min => values.fold(f64::NAN, f64::min),
            Function::Max => values.fold(f64::NAN, f64::max),
        };
        (result, count)
    }
}

/// The Mann-Whitney U of the values of the first sample (marked true) and its one-sided p by the normal approximation,
/// corrected for ties. Values that are not there are the lowest, and tie.
pub fn rank_sum_test(values: &mut [(f64, bool)], continuity: bool) -> Option<(f64, f64)> {
    let key = |value: f64| if value.is_nan() { f64::NEG_INFINITY } else { value };
    values.sort_unstable_by(|a, b| {
        a.0.is_nan()
            .cmp(&b.0.is_nan())
            .reverse()
            .then(key(a.0).partial_cmp(&key(b.0)).unwrap_or(std::cmp::Ordering::Equal))
    });
    let total = values.len() as f64;
    let (mut ties, mut rank_sum, mut first_count) = (0.0, 0.0, 0.0);
    let mut at = 0;
    let tied = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
    while let Some((value, _)) = values.get(at).copied() {
        let size = values[at..].iter().take_while(|(other, _)| tied(*other, value)).count();
        // The mean of the ranks at + 1 to at + size.
        let rank = at as f64 + (size as f64 + 1.0) / 2.0;
        let group = &values[at..at + size];
        let firsts = group.iter().filter(|(_, first)| *first).count() as f64;
        rank_sum += rank * firsts;
        first_count += firsts;
        let size_f = size as f64;
        ties += size_f.powi(3) - size_f;
        at += size;
    }
    let correction = 1.0 - ties / (total.powi(3) - total);
    if correction <= 0.0 {
        return None;
    }
    let product = first_count * (total - first_count);
    let u = rank_sum - first_count * (first_count + 1.0) / 2.0;
    let larger = u.max(product - u);
    let deviation = (correction * product * (total + 1.0) / 12.0).sqrt();
    let step = if continuity { 0.5 } else { 0.0 };
    let z = ((larger - step - product / 2.0) / deviation).abs();
    Some((u, 0.5 * libm::erfc(z / std::f64::consts::SQRT_2)))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::number;
    use super::*;

    #[test]
    fn the_rank_sum_test_gives_what_upstream_prints() {
        let series = |value: fn(i32) -> f64| (0..40).map(|second| (value(second), second < 20)).collect::<Vec<_>>();
        let rounded = |(u, p): (f64, f64)| (u, number::general(p, 14));
        let seven = series(|second| f64::from(second * 7 % 11));
        assert_eq!(rounded(rank_sum_test(&mut seven.clone(), true).unwrap()), (189.0, "0.38775365361845".into()));
        assert_eq!(rounded(rank_sum_test(&mut seven.clone(), false).unwrap()), (189.0, "0.38256214226383".into()));
        let swapped: Vec<_> = seven.iter().map(|(value, first)| (*value, !first)).collect();
        assert_eq!(rounded(rank_sum_test(&mut swapped.clone(), true).unwrap()), (211.0, "0.38775365361845".into()));
        let mut last = series(|second| if second == 39 { 5.0 } else { f64::NAN });
        assert_eq!(rounded(rank_sum_test(&mut last, true).unwrap()), (190.0, "0.17105612630848".into()));
        assert_eq!(rank_sum_test(&mut series(|_| f64::NAN), true), None);
    }
}
