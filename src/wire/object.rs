//! Compact JSON objects with their members in the order they are written.

use std::fmt::Display;
use std::io::Write;

use super::json_text::write_string;

/// An object under construction; [`Object::end`] closes it.
#[must_use]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub fn begin(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object {
            out,
            is_empty: true,
        }
    }

    pub fn string(&mut self, name: &str, value: &str) {
        write_string(value, self.name(name));
    }

    /// A value that prints without a character to escape, as a string.
    pub fn quoted(&mut self, name: &str, value: impl Display) {
        let out = self.name(name);
        out.push(b'"');
        write_display(out, value);
        out.push(b'"');
    }

    /// A number or another literal.
    pub fn literal(&mut self, name: &str, value: impl Display) {
        write_display(self.name(name), value);
    }

    pub fn null(&mut self, name: &str) {
        self.name(name).extend_from_slice(b"null");
    }

    pub fn optional_string(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.null(name),
        }
    }

    pub fn optional_quoted(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.quoted(name, value),
            None => self.null(name),
        }
    }

    pub fn optional_literal(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.literal(name, value),
            None => self.null(name),
        }
    }

    pub fn object(&mut self, name: &str, members: impl FnOnce(&mut Object)) {
        let mut object = Object::begin(self.name(name));
        members(&mut object);
        object.end();
    }

    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Vec<u8>, T),
    ) {
        let out = self.name(name);
        out.push(b'[');
        for (index, value) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item(out, value);
        }
        out.push(b']');
    }

    pub fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(name, self.out);
        self.out.push(b':');
        self.out
    }
}

fn write_display(out: &mut Vec<u8>, value: impl Display) {
    #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
    write!(out, "{value}").expect("writing to a Vec cannot fail");
}
