//! An explanation laid out for a person: sections of facts and tables, whatever they are shown on.

pub struct Document {
    pub title: String,
    pub sections: Vec<Section>,
}

#[derive(Default)]
pub struct Section {
    pub heading: String,
    /// (what, how much)
    pub facts: Vec<(String, String)>,
    pub tables: Vec<Table>,
}

pub struct Table {
    pub columns: Vec<&'static str>,
    /// So many columns hold names, those after them numbers.
    pub name_columns: usize,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

impl Section {
    pub fn new(heading: impl Into<String>) -> Section {
        Section {
            heading: heading.into(),
            ..Section::default()
        }
    }

    pub fn fact(&mut self, what: impl Into<String>, how_much: impl Into<String>) {
        self.facts.push((what.into(), how_much.into()));
    }

    /// Adds a table that has rows.
    pub fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.tables.push(table);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.tables.is_empty()
    }
}
