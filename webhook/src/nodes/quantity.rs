//! Amounts of CPU, memory and other resources, as Kubernetes writes them: `250m`, `1.5Gi`, `4`, `1e3`.

use std::str::FromStr;

/// An amount of a resource, in thousandths: CPU in millicores, memory in thousandths of a byte.
///
/// What is below a thousandth is rounded up, what is above 18 petabytes is that much, as good as Kubernetes needs it
/// to compare requests with what a node has.
///
/// # Source
/// `k8s.io/apimachinery/pkg/api/resource`, the grammar above `Quantity`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Quantity(u64);

impl Quantity {
    /// The amount in thousandths.
    pub fn thousandths(self) -> u64 {
        self.0
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).map(Self).ok_or_else(|| QuantityError { text: text.to_owned() })
    }
}

/// `[+]digits[.digits][suffix]` in thousandths.
fn parse(text: &str) -> Option<u64> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let number = unsigned.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(number)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes()).map(|digit| u128::from(digit - b'0'));
    let value = digits().fold(0_u128, |value, digit| value.saturating_mul(10).saturating_add(digit));
    let scale = i32::try_from(fraction.len()).ok()?;
    let exact = match suffix {
        "Ki" => shifted(value.saturating_mul(1 << 10), 3 - scale),
        "Mi" => shifted(value.saturating_mul(1 << 20), 3 - scale),
        "Gi" => shifted(value.saturating_mul(1 << 30), 3 - scale),
        "Ti" => shifted(value.saturating_mul(1 << 40), 3 - scale),
        "Pi" => shifted(value.saturating_mul(1 << 50), 3 - scale),
        "Ei" => shifted(value.saturating_mul(1 << 60), 3 - scale),
        decimal => shifted(value, exponent(decimal)?.saturating_add(3).saturating_sub(scale)),
    };
    Some(u64::try_from(exact).unwrap_or(u64::MAX))
}

/// The power of ten that a decimal suffix stands for.
fn exponent(suffix: &str) -> Option<i32> {
    Some(match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
    })
}

/// `value × 10^power`, rounded up.
fn shifted(value: u128, power: i32) -> u128 {
    let factor = 10_u128.checked_pow(power.unsigned_abs());
    match (factor, power >= 0) {
        (Some(factor), true) => value.saturating_mul(factor),
        (Some(factor), false) => value.div_ceil(factor),
        (None, true) if value > 0 => u128::MAX,
        (None, true) => 0,
        (None, false) => u128::from(value > 0),
    }
}

/// A text that is no amount.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{}` is not an amount: a number such as `250m`, `1.5Gi` or `4`", .text.escape_debug())]
pub struct QuantityError {
    /// The text, as given.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<u64>) {
        assert_eq!(text.parse().ok().map(Quantity::thousandths), want, "input: {text:?}");
    }

    #[test]
    fn reads_what_kubernetes_writes() {
        check("0", Some(0));
        check("4", Some(4_000));
        check("250m", Some(250));
        check("1.5", Some(1_500));
        check(".5", Some(500));
        check("5.", Some(5_000));
        check("+1", Some(1_000));
        check("8039468Ki", Some(8_039_468 * 1_024 * 1_000));
        check("1.5Gi", Some(3 * (1 << 29) * 1_000));
        check("12E", Some(u64::MAX)); // exa, not an exponent
        check("12E3", Some(12_000_000));
        check("1e-2", Some(10));
        check("100k", Some(100_000_000));
    }

    #[test]
    fn rounds_up_so_that_a_request_is_never_taken_for_less() {
        check("1n", Some(1));
        check("1u", Some(1));
        check("0.0001", Some(1));
        check("1000001n", Some(2));
        check("1e-99", Some(1));
        check("0e-99", Some(0));
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        check("1e99", Some(u64::MAX));
        check("0e99", Some(0));
        check("99999999999999999999999999999999999999999999", Some(u64::MAX));
        check("16Ei", Some(u64::MAX));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", "-1", "m", ".", "1.2.3", "1 Gi", "1GB", "1e", "1ee3", "½", "１"] {
            check(text, None);
        }
    }
}
