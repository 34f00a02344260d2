//! Input events in Avro: decoding by a plan per writer schema, encoding by our own schemas.
//!
//! An Avro record holds envelope and data in one, and the writer schema's name gives the type
//! (`interfaces.md` 1). A [`Plan`] is made once per writer schema; decoding is then one pass over
//! the datum without generic values, and gives what the JSON form of the same event gives, fault by
//! fault. Nothing read from the wire drives an allocation, a recursion or a loop without bound.
//!
//! Schemas come from this crate, a registry or a container file's header, never from a name found
//! in data. Kafka records and Avro files are read through here; the generator writes through here.

mod beside;
mod catalog;
mod cursor;
mod fingerprint;
mod layout;
mod plan;
mod reader;
mod writer;

use std::collections::BTreeMap;

pub use catalog::{
    derived_schema, derived_schemas, input_schema, input_schemas, input_union_schema,
};
pub use fingerprint::fingerprint;
pub use layout::{SCHEMA_BYTES_MAX, SchemaError};
pub use plan::Plan;
pub use writer::{encode, encode_branch, put_bytes, put_long};

use super::span::Decoded;
use crate::billing::event::Event;
use crate::billing::time::Instant;

/// Most bytes of a datum; of a longer one nothing is read.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of a datum and of a schema; the event's own record is the first level.
pub const DEPTH_MAX: usize = 64;

/// Most bytes of text that a byte of a datum stands for. One byte selects a symbol of an
/// enumeration, so longer symbols are not read as text.
pub const TEXT_GROWTH_MAX: usize = 31;

/// First byte of Confluent's framing; four bytes of schema id follow.
pub const CONFLUENT_MARK: u8 = 0;

/// First bytes of Avro's single-object encoding; eight bytes of fingerprint follow.
pub const SINGLE_OBJECT_MARK: [u8; 2] = [0xC3, 0x01];

/// The schemas that this build knows, by fingerprint.
pub struct Schemas {
    plans: Vec<Plan>,
    by_fingerprint: BTreeMap<u64, usize>,
    fingerprint_by_type: BTreeMap<&'static str, u64>,
}

impl Schemas {
    /// Every schema of `schemas/input` and `schemas/derived`. A derived event is known, and as an
    /// input of unknown type.
    pub fn built_in() -> Schemas {
        let mut schemas = Schemas {
            plans: Vec::new(),
            by_fingerprint: BTreeMap::new(),
            fingerprint_by_type: BTreeMap::new(),
        };
        for schema in input_schemas().chain(derived_schemas()) {
            let built_in = "a schema of this crate is valid";
            let fingerprint = fingerprint(schema).expect(built_in);
            let plan = Plan::of_schema(schema).expect(built_in);
            if let Some(type_name) = plan.type_name() {
                schemas
                    .fingerprint_by_type
                    .insert(type_name, fingerprint.standard);
            }
            let index = schemas.plans.len();
            schemas.plans.push(plan);
            schemas.by_fingerprint.insert(fingerprint.standard, index);
            schemas
                .by_fingerprint
                .insert(fingerprint.apache_avro_rust, index);
        }
        schemas
    }

    pub fn plan(&self, fingerprint: u64) -> Option<&Plan> {
        self.plans.get(*self.by_fingerprint.get(&fingerprint)?)
    }

    /// Decodes a payload in single-object encoding. One without the mark, or of an unknown schema,
    /// is unreadable.
    pub fn decode_single_object(&self, payload: &[u8], side: &mut String) -> Decoded {
        let known = split_single_object(payload)
            .and_then(|(fingerprint, datum)| Some((self.plan(fingerprint)?, datum)));
        match known {
            Some((plan, datum)) => plan.decode(datum, side),
            None => Decoded::unreadable(),
        }
    }

    /// Appends `event` in single-object encoding, by our own schema.
    pub fn encode_single_object(
        &self,
        event: &Event<&str>,
        recorded: Option<Instant>,
        out: &mut Vec<u8>,
    ) {
        let fingerprint = self.fingerprint_by_type[event.body.type_name()];
        out.extend_from_slice(&SINGLE_OBJECT_MARK);
        out.extend_from_slice(&fingerprint.to_le_bytes());
        encode(event, recorded, out);
    }
}

/// Splits the `long` off the start of `bytes`. None: none stands there.
pub fn split_long(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, len) = cursor::read_long(bytes)?;
    Some((value, &bytes[len..]))
}

/// Splits Avro's single-object encoding into the schema's fingerprint and the datum. None: the
/// bytes are not in that encoding.
pub fn split_single_object(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(&SINGLE_OBJECT_MARK)?;
    let (fingerprint, datum) = rest.split_first_chunk()?;
    Some((u64::from_le_bytes(*fingerprint), datum))
}
