//! `dead-letters list`: a table, or an object a line.

use std::ops::ControlFlow;
use std::time::Duration;

use super::marks::Marks;
use super::{ListArgs, say};
use crate::cli::failure::Failure;
use crate::cli::streams;
use crate::kafka::letters::{Letter, LetterReader};
use crate::wire::object::Object;
use crate::wire::trace::base64;

/// Characters of a key in the table.
const KEY_SHOWN_MAX: usize = 40;

const HEAD: [&str; 6] = ["at", "reason", "detail", "record", "key", "bytes"];

type Row = [String; 6];

/// Why reading breaks off.
enum Break {
    Enough,
    Failed(Failure),
}

pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let cluster = args.timeout.connect(&config)?;
    let timeout = Duration::from_secs(args.timeout.timeout);
    let reader = LetterReader::new(&cluster, &config, timeout)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut count = 0;
    let mut visit = |letter: Letter<'_>| {
        let marks = Marks::of(&letter);
        if !marks.is_of(args.reason.as_deref()) {
            return ControlFlow::Continue(());
        }
        if count == args.limit {
            return ControlFlow::Break(Break::Enough);
        }
        count += 1;
        if !args.json {
            rows.push(row(&letter, &marks));
            return ControlFlow::Continue(());
        }
        match say(&object(&letter, &marks, args.values)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => ControlFlow::Break(Break::Failed(failure)),
        }
    };
    let mut end = ControlFlow::Continue(());
    for partition in partitions(args, reader.partitions()?) {
        end = reader.read(partition, None, &mut visit)?;
        if end.is_break() {
            break;
        }
    }
    if !rows.is_empty() {
        table(&rows)?;
    }
    match end {
        ControlFlow::Break(Break::Failed(failure)) => return Err(failure),
        ControlFlow::Break(Break::Enough) => {
            streams::note(format_args!(
                "there are more than {count}; raise --limit to see them"
            ));
        }
        ControlFlow::Continue(()) if count == 0 => streams::note(format_args!("there are none")),
        ControlFlow::Continue(()) => {}
    }
    Ok(())
}

fn partitions(args: &ListArgs, all: u16) -> std::ops::Range<u16> {
    match args.partition {
        Some(partition) if partition < all => partition..partition + 1,
        Some(_) => 0..0,
        None => 0..all,
    }
}

fn row(letter: &Letter<'_>, marks: &Marks<'_>) -> Row {
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let record = match (marks.topic, marks.partition, marks.offset) {
        (Some(topic), Some(partition), Some(offset)) => format!("{topic} {partition}@{offset}"),
        _ => "-".to_owned(),
    };
    let key = letter.key.map_or("-".into(), String::from_utf8_lossy);
    let shown = key.chars().take(KEY_SHOWN_MAX);
    let key: String = shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let cut = if marks.is_truncated { "+" } else { "" };
    [
        format!("{}@{}", letter.partition, letter.offset),
        text(marks.reason),
        text(marks.detail),
        record,
        key,
        letter
            .value
            .map_or("null".to_owned(), |value| format!("{}{cut}", value.len())),
    ]
}

/// Columns as wide as what they hold; the last, a number, to the right.
fn table(rows: &[Row]) -> Result<(), Failure> {
    let head: Row = HEAD.map(str::to_owned);
    let mut widths = [0; 6];
    for row in rows.iter().chain([&head]) {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    for row in [&head].into_iter().chain(rows) {
        let mut line = String::new();
        for (column, (text, width)) in row.iter().zip(widths).enumerate() {
            line += &match column {
                5 => format!("{text:>width$}"),
                _ => format!("{text:width$}  "),
            };
        }
        say(line.as_bytes())?;
    }
    Ok(())
}

fn object(letter: &Letter<'_>, marks: &Marks<'_>, has_values: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.literal("partition", letter.partition);
    object.literal("offset", letter.offset);
    object.optional_string("reason", marks.reason);
    object.optional_string("detail", marks.detail);
    object.optional_string("stage", marks.stage);
    object.optional_literal("schema_id", marks.schema_id);
    object.literal("truncated", marks.is_truncated);
    object.object("record", |record| {
        record.optional_string("topic", marks.topic);
        record.optional_literal("partition", marks.partition);
        record.optional_literal("offset", marks.offset);
        record.optional_literal("timestamp_ms", marks.timestamp_millis);
    });
    text_or_base64(&mut object, ["key", "key_base64"], letter.key);
    object.optional_literal("value_bytes", letter.value.map(<[u8]>::len));
    if has_values {
        text_or_base64(&mut object, ["value", "value_base64"], letter.value);
    }
    object.end();
    out
}

fn text_or_base64(object: &mut Object<'_>, names: [&str; 2], bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => object.null(names[0]),
        Some((_, Ok(text))) => object.string(names[0], text),
        Some((bytes, Err(_))) => object.quoted(names[1], base64(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>(key: &'a [u8], headers: &'a [(&'a [u8], Option<&'a [u8]>)]) -> Letter<'a> {
        Letter {
            partition: 3,
            offset: 17,
            key: Some(key),
            value: None,
            headers,
        }
    }

    #[test]
    fn a_record_that_is_not_ours_is_shown_too() {
        let foreign = letter(b"a\nb", &[]);
        let marks = Marks::of(&foreign);
        assert_eq!(
            row(&foreign, &marks),
            ["3@17", "-", "-", "-", "a\u{fffd}b", "null"]
        );
        let shown = String::from_utf8(object(&foreign, &marks, true)).expect("JSON");
        assert_eq!(
            shown,
            "{\"partition\":3,\"offset\":17,\"reason\":null,\"detail\":null,\"stage\":null,\
             \"schema_id\":null,\"truncated\":false,\"record\":{\"topic\":null,\"partition\":null,\
             \"offset\":null,\"timestamp_ms\":null},\"key\":\"a\\nb\",\"value_bytes\":null,\"value\":null}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let letter = letter(b"\xff", &[]);
        let shown = object(&letter, &Marks::of(&letter), false);
        let shown = String::from_utf8(shown).expect("JSON");
        assert!(shown.contains("\"key_base64\":\"/w==\""), "{shown}");
    }
}
