//! How the values of a writer schema lie in a datum.
//!
//! Schemas are read here, not by the `apache-avro` crate: a container file's header is hostile
//! input, and that parser panics on some names and copies a whole type for each alias. This one
//! keeps what a reader needs, refuses nothing that it can read over, and costs memory and time in
//! proportion to the text. [`Plan`](super::Plan) is the only caller.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::DEPTH_MAX;

/// Most bytes of a schema's text.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Most types, named or not, of one schema.
const TYPES_MAX: usize = 16_384;

/// Most bytes of a full name. Each type keeps its own, namespace included, which many may share.
const NAME_BYTES_MAX: usize = 1_024;

/// Most characters of a name shown in an error.
const NAME_SHOWN_MAX: usize = 80;

/// A writer schema that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema has {bytes} bytes, more than {SCHEMA_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the schema is not JSON")]
    NotJson(#[from] serde_json::Error),
    #[error("the schema nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the schema has more than {TYPES_MAX} types")]
    TooManyTypes,
    #[error("the schema uses the unknown type {0:?}")]
    UnknownName(String),
    #[error("the schema defines {0:?} twice")]
    DefinedTwice(String),
    #[error("the schema has a name of more than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("the schema has a type without a usable {0:?}")]
    Lacks(&'static str),
    #[error("the schema has a union directly within a union")]
    NestedUnion,
}

/// All types of one schema. References between types are indices, so recursive types are finite.
#[derive(Debug)]
pub(super) struct Layout {
    nodes: Vec<Node>,
    root: NodeId,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NodeId(usize);

/// One type, logical types seen through except those that matter to a reader.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// A long that counts so many units in a millisecond since 1970.
    Timestamp {
        per_milli: i64,
    },
    Float,
    Double,
    Text,
    /// Bytes that may be promoted to text.
    Bytes,
    /// Bytes of a decimal: promoted to text they would read as another number.
    DecimalBytes,
    Fixed(usize),
    Enum(Box<[Box<str>]>),
    Array(NodeId),
    Map(NodeId),
    Union(Box<[NodeId]>),
    Record(Box<Record>),
    /// A record whose fields are still being read.
    Unfinished,
}

#[derive(Debug)]
pub(super) struct Record {
    /// Full name, such as `meterfold.ApiCallV1`.
    pub name: String,
    pub fields: Vec<(String, NodeId)>,
    /// The fields that take space in a datum; only these are walked when the record is skipped, so
    /// that work stays in proportion to the datum.
    pub sized_fields: Box<[NodeId]>,
}

impl Layout {
    pub fn of_schema(text: &str) -> Result<Layout, SchemaError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLong { bytes: text.len() });
        }
        let schema = serde_json::from_str(text)?;
        let mut builder = Builder {
            nodes: Vec::new(),
            named: HashMap::new(),
        };
        let root = builder.schema(&schema, "", 0)?;
        Ok(Layout {
            nodes: builder.nodes,
            root,
        })
    }

    pub const fn root(&self) -> NodeId {
        self.root
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Values of this type take no bytes.
    pub fn is_empty(&self, id: NodeId) -> bool {
        is_empty(self.node(id))
    }
}

fn is_empty(node: &Node) -> bool {
    match node {
        Node::Null | Node::Fixed(0) => true,
        Node::Record(record) => record.sized_fields.is_empty(),
        _ => false,
    }
}

struct Builder {
    nodes: Vec<Node>,
    named: HashMap<String, NodeId>,
}

impl Builder {
    fn schema(
        &mut self,
        schema: &Value,
        namespace: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        if depth >= DEPTH_MAX {
            return Err(SchemaError::TooDeep);
        }
        match schema {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace, depth),
            Value::Object(object) => self.object(object, namespace, depth),
            _ => Err(SchemaError::Lacks("type")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<NodeId, SchemaError> {
        let primitive = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int,
            "long" => Node::Long,
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" => Node::Bytes,
            "string" => Node::Text,
            _ => {
                let known = self.named.get(&full_name(name, namespace)?);
                return known
                    .copied()
                    .ok_or_else(|| SchemaError::UnknownName(shown(name)));
            }
        };
        self.add(primitive)
    }

    fn union(
        &mut self,
        branches: &[Value],
        namespace: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            let id = self.schema(branch, namespace, depth + 1)?;
            if matches!(self.nodes[id.0], Node::Union(_)) {
                return Err(SchemaError::NestedUnion);
            }
            ids.push(id);
        }
        self.add(Node::Union(ids.into()))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let of = object.get("type").ok_or(SchemaError::Lacks("type"))?;
        match of.as_str() {
            Some("record" | "error") => self.record(object, namespace, depth),
            Some("enum") => self.enumeration(object, namespace),
            Some("fixed") => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let id = self.add(Node::Fixed(size.ok_or(SchemaError::Lacks("size"))?))?;
                self.define(names(object, namespace)?.0, id)
            }
            Some("array") => {
                let items = object.get("items").ok_or(SchemaError::Lacks("items"))?;
                let items = self.schema(items, namespace, depth + 1)?;
                self.add(Node::Array(items))
            }
            Some("map") => {
                let values = object.get("values").ok_or(SchemaError::Lacks("values"))?;
                let values = self.schema(values, namespace, depth + 1)?;
                self.add(Node::Map(values))
            }
            Some(name) => match logical(name, object.get("logicalType").and_then(Value::as_str)) {
                Some(node) => self.add(node),
                None => self.by_name(name, namespace),
            },
            None => self.schema(of, namespace, depth + 1),
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<NodeId, SchemaError> {
        let (name, namespace) = names(object, namespace)?;
        let id = self.add(Node::Unfinished)?;
        self.define(name.clone(), id)?;
        let members = object.get("fields").and_then(Value::as_array);
        let mut fields = Vec::new();
        let mut seen = HashSet::new();
        for member in members.ok_or(SchemaError::Lacks("fields"))? {
            let field = member
                .get("name")
                .and_then(Value::as_str)
                .ok_or(SchemaError::Lacks("name"))?;
            if !seen.insert(field) {
                return Err(SchemaError::DefinedTwice(shown(field)));
            }
            let of = member.get("type").ok_or(SchemaError::Lacks("type"))?;
            fields.push((field.to_owned(), self.schema(of, &namespace, depth + 1)?));
        }
        let sized_fields = fields
            .iter()
            .map(|(_, field)| *field)
            .filter(|field| !is_empty(&self.nodes[field.0]))
            .collect();
        self.nodes[id.0] = Node::Record(Box::new(Record {
            name,
            fields,
            sized_fields,
        }));
        Ok(id)
    }

    fn enumeration(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, SchemaError> {
        let symbols = object.get("symbols").and_then(Value::as_array);
        let symbols = symbols
            .and_then(|symbols| {
                symbols
                    .iter()
                    .map(|symbol| symbol.as_str().map(Box::from))
                    .collect()
            })
            .ok_or(SchemaError::Lacks("symbols"))?;
        let id = self.add(Node::Enum(symbols))?;
        self.define(names(object, namespace)?.0, id)
    }

    fn define(&mut self, name: String, id: NodeId) -> Result<NodeId, SchemaError> {
        let shown = shown(&name);
        match self.named.insert(name, id) {
            None => Ok(id),
            Some(_) => Err(SchemaError::DefinedTwice(shown)),
        }
    }

    fn add(&mut self, node: Node) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= TYPES_MAX {
            return Err(SchemaError::TooManyTypes);
        }
        self.nodes.push(node);
        Ok(NodeId(self.nodes.len() - 1))
    }
}

/// A logical type that matters to a reader; all others are read as what they annotate.
fn logical(annotated: &str, logical_type: Option<&str>) -> Option<Node> {
    match (annotated, logical_type?) {
        ("long", "timestamp-millis") => Some(Node::Timestamp { per_milli: 1 }),
        ("long", "timestamp-micros") => Some(Node::Timestamp { per_milli: 1_000 }),
        ("long", "timestamp-nanos") => Some(Node::Timestamp {
            per_milli: 1_000_000,
        }),
        ("bytes", "decimal" | "big-decimal") => Some(Node::DecimalBytes),
        _ => None,
    }
}

/// Full name of a named type, and the namespace of the names within it.
fn names(object: &Map<String, Value>, enclosing: &str) -> Result<(String, String), SchemaError> {
    let name = object
        .get("name")
        .and_then(Value::as_str)
        .ok_or(SchemaError::Lacks("name"))?;
    let own = object.get("namespace").and_then(Value::as_str);
    let full = full_name(name, own.unwrap_or(enclosing))?;
    let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
    Ok((full.clone(), namespace.to_owned()))
}

fn full_name(name: &str, namespace: &str) -> Result<String, SchemaError> {
    if name.len() + namespace.len() > NAME_BYTES_MAX {
        return Err(SchemaError::NameTooLong);
    }
    Ok(match namespace {
        "" => name.to_owned(),
        _ if name.contains('.') => name.to_owned(),
        _ => format!("{namespace}.{name}"),
    })
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).collect()
}
