//! Tokens and money of the reference model: whole numbers of millionths and of minor units, no
//! binary floats (`fold.md` 1).

/// Micro-tokens in one token, and millionths in one unit of a price or a rate.
pub const MICRO: i128 = 1_000_000;

/// The largest magnitude of a decimal string, a quantity, or a count of tokens, credits and packs
/// (`interfaces.md` 1).
pub const MAGNITUDE_MAX: i128 = 1_000_000_000_000_000;

/// Reads `-?(0|[1-9][0-9]*)(\.[0-9]{1,6})?` as millionths; None if it is spelled otherwise or too
/// large.
pub fn parse_decimal(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) || whole.len() > 16 {
        return None;
    }
    let mut value = whole.parse::<i128>().ok()? * MICRO;
    if let Some(fraction) = fraction {
        if !all_digits(fraction) || fraction.len() > 6 {
            return None;
        }
        value += format!("{fraction:0<6}").parse::<i128>().ok()?;
    }
    if value > MAGNITUDE_MAX * MICRO {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// Millionths as a decimal without trailing zeros, but with at least `digits_min` fraction digits.
pub fn format_decimal(millionths: i128, digits_min: usize) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let whole = millionths.abs() / MICRO;
    let mut fraction = format!("{:06}", millionths.abs() % MICRO);
    while fraction.len() > digits_min && fraction.ends_with('0') {
        fraction.pop();
    }
    while fraction.len() < digits_min {
        fraction.push('0');
    }
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Tokens as they are printed: `3`, `1.5`, `0.301388`.
pub fn format_tokens(micro: i128) -> String {
    format_decimal(micro, 0)
}

/// Money in minor units, printed with exactly the currency's digits.
pub fn format_money(minor_units: i128, digits: u32) -> String {
    let scale = 10_i128.pow(digits);
    let sign = if minor_units < 0 { "-" } else { "" };
    let (whole, fraction) = (minor_units.abs() / scale, minor_units.abs() % scale);
    if digits == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction:0width$}", width = digits as usize)
    }
}

/// Micro-tokens (or millionths of a credit) times a price in millionths, in minor units, rounded
/// half up.
pub fn price(micro: i128, price_millionths: i128, digits: u32) -> i128 {
    divide_half_up(
        micro * price_millionths * 10_i128.pow(digits),
        MICRO * MICRO,
    )
}

/// Division rounded to the nearest whole number, halves away from zero for both signs (`fold.md`
/// 7).
pub fn divide_half_up(numerator: i128, denominator: i128) -> i128 {
    let magnitude = (numerator.abs() * 2 + denominator) / (denominator * 2);
    if numerator < 0 { -magnitude } else { magnitude }
}
