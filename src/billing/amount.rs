//! Exact amounts: tokens (micro-token precision) and money (`fold.md` 1).
//!
//! Usage is a plain `u64`. Tokens and money are decimals whose every operation here is exact or an
//! [`Overflow`]; the one rounding of the whole program is [`Tokens::amount`], half up.

use std::fmt;

use rust_decimal::Decimal;

/// Fraction digits of tokens.
const TOKEN_SCALE: u32 = 6;
const MICROS_PER_TOKEN: u128 = 1_000_000;

/// A value left its range (96 bits). No input that `fold.md` accepts can bring this about in a
/// realistic lifetime; it is a broken invariant, never a wrong number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount left the exact range")]
pub struct Overflow;

/// Tokens or token-equivalents, exact to the micro-token; printed without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(Decimal);

/// Money with exactly its currency's minor digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(Decimal);

impl Tokens {
    /// Scale 6 from the start: additions then never rescale.
    pub const ZERO: Tokens = Tokens(Decimal::from_parts(0, 0, 0, false, TOKEN_SCALE));

    pub fn from_micros(micros: i128) -> Result<Tokens, Overflow> {
        Decimal::try_from_i128_with_scale(micros, TOKEN_SCALE)
            .map(Tokens)
            .map_err(|_| Overflow)
    }

    /// Micro-tokens.
    pub const fn micros(self) -> i128 {
        self.0.mantissa()
    }

    pub fn from_whole(tokens: u64) -> Result<Tokens, Overflow> {
        let micros = u128::from(tokens)
            .checked_mul(MICROS_PER_TOKEN)
            .ok_or(Overflow)?;
        Tokens::from_micros(i128::try_from(micros).map_err(|_| Overflow)?)
    }

    /// `a * b` whole tokens, as of so many packs of so many credits.
    pub fn from_product(a: u64, b: u64) -> Result<Tokens, Overflow> {
        let micros = u128::from(a)
            .checked_mul(u128::from(b))
            .and_then(|whole| whole.checked_mul(MICROS_PER_TOKEN));
        Tokens::from_micros(i128::try_from(micros.ok_or(Overflow)?).map_err(|_| Overflow)?)
    }

    /// Reads `-?(0|[1-9][0-9]*)(\.[0-9]{1,6})?` of magnitude at most 10^15 (`interfaces.md` 1).
    pub fn parse(text: &str) -> Option<Tokens> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let canonical = whole == "0" || !whole.starts_with('0');
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !canonical || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if whole.len() > 16 || fraction.len() > 6 {
            return None;
        }
        let micros: i128 = format!("{whole}{fraction:0<6}").parse().ok()?;
        if micros > 1_000_000_000_000_000_000_000 {
            return None;
        }
        Tokens::from_micros(if negative {
            micros.checked_neg()?
        } else {
            micros
        })
        .ok()
    }

    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    pub fn is_positive(self) -> bool {
        !self.0.is_zero() && self.0.is_sign_positive()
    }

    pub fn is_negative(self) -> bool {
        !self.0.is_zero() && self.0.is_sign_negative()
    }

    /// Whether this is the same number as `decimal`, whatever its fraction digits.
    pub fn equals(self, decimal: Decimal) -> bool {
        self.0 == decimal
    }

    pub fn plus(self, other: Tokens) -> Result<Tokens, Overflow> {
        // Most parts of most charges are zero.
        if other.is_zero() {
            return Ok(self);
        }
        exact(self.0.checked_add(other.0)).map(Tokens)
    }

    pub fn minus(self, other: Tokens) -> Result<Tokens, Overflow> {
        if other.is_zero() {
            return Ok(self);
        }
        exact(self.0.checked_sub(other.0)).map(Tokens)
    }

    pub fn negated(self) -> Tokens {
        let mut negated = self.0;
        negated.set_sign_negative(self.is_positive());
        Tokens(negated)
    }

    /// This many token-equivalents at `unit_price`, rounded half up (away from zero) to
    /// `minor_digits` (`fold.md` 7).
    pub fn amount(self, unit_price: Decimal, minor_digits: u32) -> Result<Money, Overflow> {
        round_half_up(self.0, unit_price, minor_digits)
    }

    /// The same before it is rounded; None where that has no room for all its digits.
    pub fn exact_amount(self, unit_price: Decimal) -> Option<Decimal> {
        exact_product(self.0, unit_price)
    }
}

impl Money {
    pub fn zero(minor_digits: u32) -> Money {
        Money(Decimal::from_parts(0, 0, 0, false, minor_digits))
    }

    pub fn plus(self, other: Money) -> Result<Money, Overflow> {
        self.0.checked_add(other.0).map(Money).ok_or(Overflow)
    }

    /// Tax on this amount, rounded half up to its own minor digits.
    pub fn tax(self, rate: Decimal) -> Result<Money, Overflow> {
        round_half_up(self.0, rate, self.0.scale())
    }

    /// The same before it is rounded; None where that has no room for all its digits.
    pub fn exact_tax(self, rate: Decimal) -> Option<Decimal> {
        exact_product(self.0, rate)
    }
}

/// Beyond 96 bits a decimal gives up fraction digits, silently; here that is an overflow.
fn exact(sum: Option<Decimal>) -> Result<Decimal, Overflow> {
    sum.filter(|sum| sum.scale() == TOKEN_SCALE).ok_or(Overflow)
}

/// `value * factor` with exactly `digits` fraction digits, half up for both signs. Computed on
/// integers, because a decimal product of more than 28 digits would be rounded silently.
fn round_half_up(value: Decimal, factor: Decimal, digits: u32) -> Result<Money, Overflow> {
    let product = value
        .mantissa()
        .checked_mul(factor.mantissa())
        .ok_or(Overflow)?;
    let scale = value.scale().checked_add(factor.scale()).ok_or(Overflow)?;
    let magnitude = product.unsigned_abs();
    let rounded = match scale.checked_sub(digits) {
        Some(surplus) => {
            let divisor = 10_u128.checked_pow(surplus).ok_or(Overflow)?;
            let half = divisor / 2;
            magnitude
                .checked_add(half)
                .and_then(|sum| sum.checked_div(divisor))
        }
        None => {
            let missing = digits.checked_sub(scale).ok_or(Overflow)?;
            10_u128
                .checked_pow(missing)
                .and_then(|factor| magnitude.checked_mul(factor))
        }
    };
    let rounded = i128::try_from(rounded.ok_or(Overflow)?).map_err(|_| Overflow)?;
    let signed = if product < 0 {
        rounded.checked_neg().ok_or(Overflow)?
    } else {
        rounded
    };
    Decimal::try_from_i128_with_scale(signed, digits)
        .map(Money)
        .map_err(|_| Overflow)
}

/// `value * factor`, every digit of it.
fn exact_product(value: Decimal, factor: Decimal) -> Option<Decimal> {
    let product = value.mantissa().checked_mul(factor.mantissa())?;
    let scale = value.scale().checked_add(factor.scale())?;
    let product = Decimal::try_from_i128_with_scale(product, scale).ok()?;
    Some(product.normalize())
}

/// A price or rate, printed with at least `digits_min` fraction digits and no further zeros.
pub fn print_price(price: Decimal, digits_min: u32) -> String {
    let mut price = price.normalize();
    if price.scale() < digits_min {
        price.rescale(digits_min);
    }
    price.to_string()
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens::ZERO
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.micros();
        let magnitude = micros.unsigned_abs();
        let sign = if micros < 0 { "-" } else { "" };
        // Nearly all amounts fit 64 bits, in which division is cheap.
        let (whole, mut fraction) = match u64::try_from(magnitude) {
            Ok(narrow) => (u128::from(narrow / 1_000_000), narrow % 1_000_000),
            Err(_) => (
                magnitude / MICROS_PER_TOKEN,
                u64::try_from(magnitude % MICROS_PER_TOKEN).unwrap_or(0),
            ),
        };
        match u64::try_from(whole) {
            Ok(narrow) => write!(f, "{sign}{narrow}")?,
            Err(_) => write!(f, "{sign}{whole}")?,
        }
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = 6_usize;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits = digits.saturating_sub(1);
        }
        write!(f, ".{fraction:0digits$}")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Tokens {
        Tokens::parse(text).unwrap_or_else(|| panic!("{text} is an amount"))
    }

    #[test]
    fn tokens_print_without_trailing_zeros() {
        for (read, printed) in [
            ("3", "3"),
            ("1.50", "1.5"),
            ("0.301388", "0.301388"),
            ("-0.0", "0"),
            ("-7.10", "-7.1"),
        ] {
            assert_eq!(tokens(read).to_string(), printed);
        }
        assert_eq!(
            tokens("1").minus(tokens("1.000001")).map(|t| t.to_string()),
            Ok("-0.000001".into())
        );
        assert_eq!(
            Tokens::from_micros(100_000_000).map(|t| t.to_string()),
            Ok("100".into())
        );
    }

    #[test]
    fn refuses_what_is_not_a_decimal_string() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1.0000000",
            "1e3",
            " 1",
            "1_0",
            "1000000000000000.000001",
            "--1",
            "99999999999999999",
        ] {
            assert_eq!(Tokens::parse(text), None, "{text}");
        }
        assert_eq!(
            tokens("1000000000000000").micros(),
            1_000_000_000_000_000_000_000
        );
    }

    #[test]
    fn money_rounds_half_up_away_from_zero() {
        let price = Decimal::new(300, 2);
        for (count, digits, printed) in [
            ("0.301388", 2, "0.90"),
            ("1.5", 2, "4.50"),
            ("0.005", 2, "0.02"),
            ("-0.005", 2, "-0.02"),
            ("0.001666", 2, "0.00"),
            ("-0.001667", 2, "-0.01"),
            ("2.5", 0, "8"),
            ("2", 3, "6.000"),
        ] {
            assert_eq!(
                tokens(count).amount(price, digits).map(|m| m.to_string()),
                Ok(printed.into()),
                "{count}"
            );
        }
        let net = tokens("100").amount(Decimal::new(160, 0), 0);
        assert_eq!(
            net.and_then(|net| net.tax(Decimal::new(8, 2)))
                .map(|tax| tax.to_string()),
            Ok("1280".into())
        );
    }

    #[test]
    fn prices_keep_at_least_the_minor_digits() {
        assert_eq!(print_price(Decimal::new(3, 0), 2), "3.00");
        assert_eq!(print_price(Decimal::new(285_000, 5), 2), "2.85");
        assert_eq!(print_price(Decimal::new(28_512, 4), 2), "2.8512");
        assert_eq!(print_price(Decimal::new(480, 0), 0), "480");
    }

    #[test]
    fn leaving_the_range_is_an_error_not_a_number() {
        let most = Tokens::from_micros(79_228_162_514_264_337_593_543_950_335);
        assert_eq!(
            most.and_then(|most| most.plus(Tokens(Decimal::new(1, 6)))),
            Err(Overflow)
        );
        assert_eq!(
            most.and_then(|most| most.amount(Decimal::MAX, 2)),
            Err(Overflow)
        );
    }
}
