//! What to read and what to skip of each datum of one writer schema.
//!
//! Made once per writer schema by Avro's resolution rules: writer fields are found by name, their
//! order, further fields and unions do not matter. A writer field of a type that ours cannot be read
//! from is no fault of the schema: it is a fault of each datum that holds a value of that type.

use super::cursor::{Corrupt, Cursor};
use super::layout::{Layout, Node, NodeId, Record, SchemaError};
use super::reader::Reader;
use super::{RECORD_BYTES_MAX, catalog};
use crate::wire::attributes::Attributes;
use crate::wire::fields::{Field, InputType};
use crate::wire::span::Decoded;

/// How to decode the datums of one writer schema.
#[derive(Debug)]
pub struct Plan {
    layout: Layout,
    root: Root,
}

/// A datum is one record, or one of several: container files that mix types hold a union.
#[derive(Debug)]
enum Root {
    One(Branch),
    Union(Vec<Branch>),
}

#[derive(Debug)]
enum Branch {
    Record(RecordPlan),
    /// Not a record, so not an event.
    Other(NodeId),
}

#[derive(Debug)]
struct RecordPlan {
    /// None: a record name that stands for no input type.
    body: Option<(&'static str, InputType)>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    node: NodeId,
    /// Where the value goes; None: nowhere.
    field: Option<Field>,
}

impl Plan {
    /// Makes the plan of a writer schema, given as JSON text.
    pub fn of_schema(text: &str) -> Result<Plan, SchemaError> {
        let layout = Layout::of_schema(text)?;
        let root = match layout.node(layout.root()) {
            Node::Union(branches) => Root::Union(
                branches
                    .iter()
                    .map(|branch| Branch::of(&layout, *branch))
                    .collect(),
            ),
            _ => Root::One(Branch::of(&layout, layout.root())),
        };
        Ok(Plan { layout, root })
    }

    /// The `type` that the schema's name stands for; None for other names and for a union.
    pub fn type_name(&self) -> Option<&'static str> {
        match &self.root {
            Root::One(Branch::Record(record)) => Some(record.body?.0),
            _ => None,
        }
    }

    /// Decodes a datum that fills `datum`. Text goes to `side`, which grows by less than the datum's
    /// length where the writer has no enumerations, else by at most
    /// [`TEXT_GROWTH_MAX`](super::TEXT_GROWTH_MAX) times it.
    pub fn decode(&self, datum: &[u8], side: &mut String) -> Decoded {
        self.decode_beside(datum, None, side)
    }

    /// The same for a datum that has attributes beside it, which must agree with it.
    pub fn decode_beside(
        &self,
        datum: &[u8],
        beside: Option<&Attributes<'_>>,
        side: &mut String,
    ) -> Decoded {
        if datum.len() > RECORD_BYTES_MAX {
            return Decoded::unreadable();
        }
        let side_len = side.len();
        match self.decode_first(datum, beside, side) {
            Some((decoded, len)) if len == datum.len() => decoded,
            _ => {
                side.truncate(side_len);
                Decoded::unreadable()
            }
        }
    }

    /// Decodes the datum at the start of `bytes` and tells its length, which is not 0. None: no
    /// datum starts here, and where the next one would start cannot be known.
    pub fn decode_next(&self, bytes: &[u8], side: &mut String) -> Option<(Decoded, usize)> {
        self.decode_first(bytes, None, side)
    }

    fn decode_first(
        &self,
        bytes: &[u8],
        beside: Option<&Attributes<'_>>,
        side: &mut String,
    ) -> Option<(Decoded, usize)> {
        let mut cursor = Cursor::new(bytes);
        let mut reader = Reader::new(side, beside);
        let record = self.read(&mut cursor, &mut reader).ok()?;
        let len = bytes.len() - cursor.rest().len();
        match (len, record) {
            (0, _) => None,
            (..=RECORD_BYTES_MAX, Some(record)) => Some((reader.decoded(record.body), len)),
            _ => Some((Decoded::unreadable(), len)),
        }
    }

    /// Reads the fields of a datum; None: it is not a record.
    fn read<'a>(
        &'a self,
        cursor: &mut Cursor<'a>,
        reader: &mut Reader<'a, '_>,
    ) -> Result<Option<&'a RecordPlan>, Corrupt> {
        let branch = match &self.root {
            Root::One(branch) => branch,
            Root::Union(branches) => branches.get(cursor.index()?).ok_or(Corrupt)?,
        };
        let record = match branch {
            Branch::Record(record) => record,
            Branch::Other(node) => {
                cursor.skip(&self.layout, *node, 0)?;
                return Ok(None);
            }
        };
        for step in &record.steps {
            match step.field {
                Some(field) => cursor.read(&self.layout, step.node, 1, reader.value_mut(field))?,
                None => cursor.skip(&self.layout, step.node, 1)?,
            }
        }
        Ok(Some(record))
    }
}

impl Branch {
    fn of(layout: &Layout, node: NodeId) -> Branch {
        match layout.node(node) {
            Node::Record(record) => Branch::Record(RecordPlan::of(layout, record)),
            _ => Branch::Other(node),
        }
    }
}

impl RecordPlan {
    fn of(layout: &Layout, record: &Record) -> RecordPlan {
        let steps = record
            .fields
            .iter()
            .map(|(name, node)| Step {
                node: *node,
                field: field_of(name),
            })
            .filter(|step| step.field.is_some() || !layout.is_empty(step.node))
            .collect();
        let type_name = catalog::type_name_of_record(&record.name);
        let body = type_name.and_then(|name| Some((name, InputType::of_name(name).ok()?)));
        RecordPlan { body, steps }
    }
}

/// The field of a writer's field. Version and type of an event are its schema's, and its members stand
/// beside the attributes.
fn field_of(name: &str) -> Option<Field> {
    match Field::of_attribute(name) {
        Some(Field::SpecVersion | Field::Type | Field::Data) => None,
        Some(attribute) => Some(attribute),
        None => Field::of_member(name),
    }
}
