//! A position in a datum that only moves forward: single values are read, unread ones skipped.
//!
//! Every length and count is checked against the bytes that are there before it is used. Skipping
//! takes time in proportion to the bytes skipped, and recursion ends at [`DEPTH_MAX`].

use super::layout::{Layout, Node, NodeId};
use super::{DEPTH_MAX, TEXT_GROWTH_MAX};

/// The bytes are not a datum of the writer schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Corrupt;

/// What a field of the writer holds, as far as any field of an event could be made of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Null, or a field that the writer does not have.
    Absent,
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// Of a type that no field is read from.
    Unusable,
}

pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// Bytes that were not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads one value to where it is wanted: handing it up costs more than reading it. `depth` is
    /// that of the record it stands in.
    pub fn read(
        &mut self,
        layout: &'a Layout,
        mut id: NodeId,
        depth: usize,
        value: &mut Value<'a>,
    ) -> Result<(), Corrupt> {
        if let Node::Union(branches) = layout.node(id) {
            id = *branches.get(self.index()?).ok_or(Corrupt)?;
        }
        match layout.node(id) {
            Node::Null => *value = Value::Absent,
            Node::Text => *value = Value::Text(self.text()?),
            Node::Long => *value = Value::Integer(self.long()?),
            Node::Timestamp { per_milli: 1 } => *value = Value::Timestamp(self.long()?),
            Node::Timestamp { per_milli } => {
                *value = Value::Timestamp(self.long()?.div_euclid(*per_milli));
            }
            Node::Int => *value = Value::Integer(i64::from(self.int()?)),
            Node::Boolean => *value = Value::Boolean(self.boolean()?),
            Node::Bytes => {
                *value = str::from_utf8(self.sized()?).map_or(Value::Unusable, Value::Text);
            }
            Node::Enum(symbols) => {
                let symbol: &str = symbols.get(self.index()?).ok_or(Corrupt)?;
                let readable = symbol.len() <= TEXT_GROWTH_MAX;
                *value = if readable {
                    Value::Text(symbol)
                } else {
                    Value::Unusable
                };
            }
            _ => {
                self.skip(layout, id, depth)?;
                *value = Value::Unusable;
            }
        }
        Ok(())
    }

    /// Moves over one value. `depth` is that of the record, array or map it stands in.
    pub fn skip(&mut self, layout: &Layout, id: NodeId, depth: usize) -> Result<(), Corrupt> {
        match layout.node(id) {
            Node::Null => Ok(()),
            Node::Boolean => self.boolean().map(drop),
            Node::Int => self.int().map(drop),
            Node::Long | Node::Timestamp { .. } => self.long().map(drop),
            Node::Float => self.take(4).map(drop),
            Node::Double => self.take(8).map(drop),
            Node::Text | Node::Bytes | Node::DecimalBytes => self.sized().map(drop),
            Node::Fixed(size) => self.take(*size).map(drop),
            Node::Enum(symbols) => symbols.get(self.index()?).map(drop).ok_or(Corrupt),
            Node::Union(branches) => {
                let branch = *branches.get(self.index()?).ok_or(Corrupt)?;
                self.skip(layout, branch, depth)
            }
            Node::Record(record) => {
                let depth = deeper(depth)?;
                record
                    .sized_fields
                    .iter()
                    .try_for_each(|field| self.skip(layout, *field, depth))
            }
            Node::Array(items) => {
                let depth = deeper(depth)?;
                let empty = layout.is_empty(*items);
                // Items that take no bytes are not walked: their number bounds nothing.
                self.skip_blocks(|cursor| {
                    if empty {
                        Ok(false)
                    } else {
                        cursor.skip(layout, *items, depth).map(|()| true)
                    }
                })
            }
            Node::Map(values) => {
                let depth = deeper(depth)?;
                self.skip_blocks(|cursor| {
                    cursor.sized()?;
                    cursor.skip(layout, *values, depth).map(|()| true)
                })
            }
            Node::Unfinished => Err(Corrupt),
        }
    }

    /// Moves over the blocks of an array or map. `skip_item` tells whether items take any bytes.
    fn skip_blocks(
        &mut self,
        mut skip_item: impl FnMut(&mut Self) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        loop {
            match self.long()? {
                0 => return Ok(()),
                // A negative count is followed by the block's length in bytes.
                ..0 => self.sized().map(drop)?,
                count => {
                    for _ in 0..count {
                        if !skip_item(self)? {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Index of a union's branch or an enumeration's symbol.
    #[inline]
    pub fn index(&mut self) -> Result<usize, Corrupt> {
        usize::try_from(self.long()?).map_err(|_| Corrupt)
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str, Corrupt> {
        simdutf8::basic::from_utf8(self.sized()?).map_err(|_| Corrupt)
    }

    #[inline]
    fn sized(&mut self) -> Result<&'a [u8], Corrupt> {
        let len = usize::try_from(self.long()?).map_err(|_| Corrupt)?;
        self.take(len)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Corrupt)?;
        self.rest = rest;
        Ok(taken)
    }

    fn boolean(&mut self) -> Result<bool, Corrupt> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Corrupt),
        }
    }

    fn int(&mut self) -> Result<i32, Corrupt> {
        i32::try_from(self.long()?).map_err(|_| Corrupt)
    }

    #[inline]
    fn long(&mut self) -> Result<i64, Corrupt> {
        let (&first, rest) = self.rest.split_first().ok_or(Corrupt)?;
        if first < 0x80 {
            self.rest = rest;
            return Ok(unzigzag(u64::from(first)));
        }
        let (value, len) = read_long(self.rest).ok_or(Corrupt)?;
        self.rest = &self.rest[len..];
        Ok(value)
    }
}

fn deeper(depth: usize) -> Result<usize, Corrupt> {
    if depth < DEPTH_MAX {
        Ok(depth + 1)
    } else {
        Err(Corrupt)
    }
}

/// Reads the `long` at the start of `bytes` and tells how many bytes it takes.
pub(super) fn read_long(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        // Of the tenth byte only the lowest bit has room.
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Some((unzigzag(value), index + 1));
        }
    }
    None
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
