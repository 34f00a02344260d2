//! Where an audit stands after a commit: what it takes, beside the state that its store holds then,
//! to go on from there in another process.

use std::collections::BTreeMap;

use crate::billing::derived_event::DerivedKind;
use crate::billing::time::{Instant, Month};
use crate::ports::{Cells, Changes, StoreError};
use crate::store::cells::corrupt;
use crate::wire::bytes::{Corrupt, Reader, Writer};
use crate::wire::keys;

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The newest commit that was refolded and compared.
    pub sequence: u64,
    /// Commits and records that were refolded.
    pub commits: u64,
    pub records: u64,
    /// Where each input was begun.
    pub starts: Vec<(String, i64)>,
    /// The clock at the first record.
    pub first_clock: Option<Instant>,
    /// Of accepted gaps, by their commit: the month of the first record after it.
    pub gap_ends: BTreeMap<u64, Month>,
    pub inputs: Vec<InputPosition>,
    pub published: KindPositions,
    /// None: they are not compared.
    pub letters: Option<TopicPosition>,
}

/// Of each kind of derived event, as [`DerivedKind::ALL`] has them.
pub type KindPositions = [TopicPosition; DerivedKind::ALL.len()];

/// What operators gave up of an input, as [`super::input::Input`] has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputPosition {
    pub skip_below: i64,
    pub gaps: Vec<u64>,
}

/// How far a topic of published records was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicPosition {
    /// Offset of the first record that was not compared; None: whatever is kept.
    pub next: Option<i64>,
    /// Records that are equal to what the refold gives.
    pub equal: u64,
    /// Refolded, but no longer kept.
    pub gone: u64,
}

impl Position {
    /// None: no commit was kept with its position.
    pub fn read(store: &impl Cells) -> Result<Option<Position>, StoreError> {
        let key = [keys::AUDIT];
        let Some(bytes) = store.get(&key)? else {
            return Ok(None);
        };
        let position = Position::decode(&bytes).map_err(|fault| corrupt(&key, fault))?;
        Ok(Some(position))
    }

    /// The cell that [`Position::read`] reads.
    pub fn cell(&self) -> Changes {
        let mut cell = Changes::default();
        cell.put(&[keys::AUDIT], &self.encode());
        cell
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.unsigned(self.sequence);
        out.unsigned(self.commits);
        out.unsigned(self.records);
        out.count(self.starts.len());
        for (topic, start) in &self.starts {
            out.text(topic);
            out.signed(i128::from(*start));
        }
        out.option(self.first_clock, |out, clock| {
            out.signed(i128::from(clock.millis()));
        });
        out.count(self.gap_ends.len());
        for (sequence, month) in &self.gap_ends {
            out.unsigned(*sequence);
            out.signed(i128::from(month.index()));
        }
        out.count(self.inputs.len());
        for input in &self.inputs {
            out.signed(i128::from(input.skip_below));
            out.count(input.gaps.len());
            input.gaps.iter().for_each(|gap| out.unsigned(*gap));
        }
        self.published
            .iter()
            .for_each(|topic| topic.write(&mut out));
        out.option(self.letters, |out, letters| letters.write(out));
        out.bytes
    }

    fn decode(bytes: &[u8]) -> Result<Position, Corrupt> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Corrupt("version"));
        }
        let mut position = Position {
            sequence: reader.unsigned()?,
            commits: reader.unsigned()?,
            records: reader.unsigned()?,
            starts: reader.list(|reader| Ok((reader.text()?.to_owned(), signed(reader)?)))?,
            first_clock: reader.option(|reader| Ok(Instant::from_millis(signed(reader)?)))?,
            gap_ends: reader
                .list(|reader| Ok((reader.unsigned()?, Month::from_index(signed(reader)?))))?,
            inputs: reader.list(|reader| {
                Ok(InputPosition {
                    skip_below: signed(reader)?,
                    gaps: reader.list(Reader::unsigned)?,
                })
            })?,
            published: Default::default(),
            letters: None,
        };
        for topic in &mut position.published {
            *topic = TopicPosition::read(&mut reader)?;
        }
        position.letters = reader.option(TopicPosition::read)?;
        reader.finish()?;
        Ok(position)
    }
}

impl TopicPosition {
    fn write(&self, out: &mut Writer) {
        out.option(self.next, |out, next| out.signed(i128::from(next)));
        out.unsigned(self.equal);
        out.unsigned(self.gone);
    }

    fn read(reader: &mut Reader<'_>) -> Result<TopicPosition, Corrupt> {
        Ok(TopicPosition {
            next: reader.option(signed)?,
            equal: reader.unsigned()?,
            gone: reader.unsigned()?,
        })
    }
}

fn signed<T: TryFrom<i128>>(reader: &mut Reader<'_>) -> Result<T, Corrupt> {
    T::try_from(reader.signed()?).map_err(|_| Corrupt("integer out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let topic = |next| TopicPosition {
            next,
            equal: 4,
            gone: 5,
        };
        let position = Position {
            sequence: 7,
            commits: 8,
            records: 900,
            starts: vec![("api-calls".to_owned(), 12)],
            first_clock: Some(Instant::from_millis(-5)),
            gap_ends: BTreeMap::from([(3, Month::from_index(-1))]),
            inputs: vec![InputPosition {
                skip_below: 20,
                gaps: vec![3, 6],
            }],
            published: [None, Some(0), Some(i64::MAX), None].map(topic),
            letters: Some(topic(Some(1))),
        };
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Ok(position));
        for end in 0..bytes.len() {
            assert!(Position::decode(&bytes[..end]).is_err(), "{end}");
        }
    }
}
