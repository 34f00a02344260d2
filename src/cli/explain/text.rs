//! An explanation as text for a terminal.

use crate::cli::table::aligned_rows;
use crate::wire::shown_text::printable;

use super::document::{Document, Section, Table};

pub fn write(document: &Document) -> String {
    let mut text = format!("{}\n", printable(&document.title));
    for section in &document.sections {
        write_section(section, &mut text);
    }
    text
}

fn write_section(section: &Section, text: &mut String) {
    text.push('\n');
    if !section.heading.is_empty() {
        text.push_str(&printable(&section.heading));
        text.push('\n');
    }
    let facts: Vec<[String; 2]> = section
        .facts
        .iter()
        .map(|(what, how_much)| [format!("  {}", printable(what)), printable(how_much)])
        .collect();
    let facts: Vec<&[String]> = facts.iter().map(<[String; 2]>::as_slice).collect();
    text.push_str(&aligned_rows(&facts, 2));
    for table in &section.tables {
        write_table(table, text);
    }
}

fn write_table(table: &Table, text: &mut String) {
    let head = table.columns.iter().map(|name| name.to_string()).collect();
    let rows = table.rows.iter().map(|row| {
        let cells = row.iter().map(|cell| printable(cell));
        cells.collect::<Vec<String>>()
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let rows: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    for line in aligned_rows(&rows, table.name_columns).lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
}
