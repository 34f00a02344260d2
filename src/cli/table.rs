//! Tables as text for a person.

use std::fmt::Write;

/// Rows of equal length in columns: the first `name_columns` to the left, the others to the right,
/// two spaces between.
pub fn aligned<const N: usize>(rows: &[[String; N]], name_columns: usize) -> String {
    let rows: Vec<&[String]> = rows.iter().map(<[String; N]>::as_slice).collect();
    aligned_rows(&rows, name_columns)
}

/// The same where the number of columns is known to the caller only.
pub fn aligned_rows(rows: &[&[String]], name_columns: usize) -> String {
    let columns = rows.first().map_or(0, |row| row.len());
    let width_of = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).filter_map(width_of).collect();
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = if column < name_columns {
                write!(line, "{gap}{cell:<width$}")
            } else {
                write!(line, "{gap}{cell:>width$}")
            };
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}
