//! The text of JSON strings: which bytes stand for themselves, and how the others are written.
//!
//! All JSON that the program prints gets its strings from [`write_string`], so that equal text has
//! equal bytes in every file, topic and answer (`interfaces.md` 3). Nothing here knows of objects
//! or numbers; the scanner of [`json`](super::json) shares [`skip_plain`].

/// Appends `text` as a JSON string with its quotes, escaping `"`, `\` and U+0000 to U+001F only.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let others = skip_plain(rest);
        out.extend_from_slice(&rest[..rest.len() - others.len()]);
        let Some((&byte, after)) = others.split_first() else {
            break;
        };
        write_escape(byte, out);
        rest = after;
    }
    out.push(b'"');
}

/// What follows the leading run of bytes that a JSON string holds as they are: it starts at the
/// first `"`, `\` or control character, or is empty. Bytes from 0x80 up are plain.
#[inline]
pub fn skip_plain(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return &rest[(special.trailing_zeros() / 8) as usize..];
        }
        rest = after;
    }
    skip_plain_tail(rest)
}

/// Kept out of line: a scanner meets it only at the end of a record.
#[inline(never)]
fn skip_plain_tail(bytes: &[u8]) -> &[u8] {
    let plain_len = bytes.iter().position(|&byte| is_special(byte));
    &bytes[plain_len.unwrap_or(bytes.len())..]
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Eight bytes at once: the lowest set bit is the top bit of the first special byte. Bits above
/// that one may be wrong, because a subtraction borrows from the next byte.
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let not_quote = word ^ (ONES * b'"' as u64);
    let quote = not_quote.wrapping_sub(ONES) & !not_quote;
    let not_backslash = word ^ (ONES * b'\\' as u64);
    let backslash = not_backslash.wrapping_sub(ONES) & !not_backslash;
    (control | quote | backslash) & TOPS
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).expect("escapes are ASCII")
    }

    #[test]
    fn escapes_what_it_must_and_nothing_else() {
        for (text, json) in [
            ("", r#""""#),
            ("team-7", r#""team-7""#),
            ("a\"b\\c/d", r#""a\"b\\c/d""#),
            ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
            (
                "\0\u{b}\u{1f}\u{20}\u{7f}\u{80}",
                "\"\\u0000\\u000b\\u001f \u{7f}\u{80}\"",
            ),
            ("チーム🚀1\u{2028}", "\"チーム🚀1\u{2028}\""),
            (
                "nothing to escape in here\n",
                r#""nothing to escape in here\n""#,
            ),
        ] {
            assert_eq!(written(text), json);
        }
    }

    #[test]
    fn every_byte_is_classed_alike_in_a_word_and_in_the_tail() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut word = [b'x'; 8];
                word[place] = byte;
                let expected = if is_special(byte) { place } else { 8 };
                assert_eq!(skip_plain(&word), &word[expected..], "{byte} at {place}");
                let short = &word[..7];
                assert_eq!(
                    skip_plain(short),
                    &short[expected.min(7)..],
                    "{byte} at {place}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_by_another_reader(text in any::<String>()) {
            let read: String = serde_json::from_str(&written(&text)).expect("a JSON string");
            prop_assert_eq!(read, text);
        }

        #[test]
        fn plain_bytes_end_at_the_first_special_byte(bytes: Vec<u8>) {
            let plain_len = bytes.iter().take_while(|&&byte| !is_special(byte)).count();
            prop_assert_eq!(skip_plain(&bytes), &bytes[plain_len..]);
        }
    }
}
