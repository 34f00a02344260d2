//! State cells: what a partition stores, byte by byte.
//!
//! | table | key after the table byte | value | written when | gone when |
//! | --- | --- | --- | --- | --- |
//! | `0x01` META | | [`super::meta::Meta`] | every commit | never |
//! | `0x02` BOOK | part | the rate book's text | adopted | never |
//! | `0x03` LOCAL | | [`super::meta::Local`]; in the store only, never in the changelog | every commit | never |
//! | `0x04` AUDIT | | where an audit stands; in the store of `audit --work-dir` only | every commit that it refolds | never |
//! | `0x10` TEAM | team, part | next timer, account, its recent months | its team changed | never |
//! | `0x11` MONTH | team, month, part | one month | it is settled | never |
//! | `0x12` INVOICE | team, month | how the team stood at the close; the month tells the rest of its invoice. Shown only: no part of the state digest | it is invoiced | never |
//! | `0x20` TIMER | instant, team | empty | its team's next timer moved | run or moved |
//! | `0x30` IDS | bucket, run, part | sorted (id hash, content digest) pairs | ids were folded | forgotten or merged |
//!
//! Every value starts with a version byte. Table bytes are never reused. A cell holds at most
//! [`CELL_BYTES_MAX`]; what can grow beyond it lies in numbered parts. Integers are those of
//! [`super::bytes`]; those in keys are big-endian, so that keys sort as their values do.
//!
//! Meters, cards and scopes are stored by their number in the rate book, which appending cards
//! never changes.

use crate::billing::account::{App, TeamAccount};
use crate::billing::amount::Tokens;
use crate::billing::cumulative::{Cumulative, CumulativeKey, Cumulatives};
use crate::billing::disposition::{Disposition, Dispositions};
use crate::billing::event::Purpose;
use crate::billing::funding::{Funding, LastFunded};
use crate::billing::invoice::Closing;
use crate::billing::lot::{Lot, LotKind, Lots};
use crate::billing::month::{Booked, LineKey, TeamMonth};
use crate::billing::period::{Period, Periods};
use crate::billing::rate_book::{CardNo, MeterNo, ScopeNo};
use crate::billing::tier::{EnrolledTier, TierEntry, TierHistory};
use crate::billing::time::{Instant, Month};

use rust_decimal::Decimal;
use smallvec::SmallVec;
use xxhash_rust::xxh3::Xxh3;

use super::bytes::{Corrupt, Reader, Writer};

/// Most bytes of one cell's value.
pub const CELL_BYTES_MAX: usize = 256 * 1024;

/// Version byte of every value this build writes.
pub const VERSION: u8 = 1;

/// A team as its cell holds it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TeamCell {
    /// The instant under which the team stands in the timer table.
    pub due: Option<Instant>,
    /// How many of its months lie in cells of their own.
    pub settled_months: u32,
    pub account: TeamAccount,
}

/// Encodes a team. `digest_part` sees each piece that counts for the state digest: the account,
/// and every month, in the form that does not tell in which cell it lies.
pub fn encode_team(
    due: Option<Instant>,
    settled_months: u32,
    account: &TeamAccount,
    mut digest_part: impl FnMut(&[u8]),
) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(VERSION);
    out.option(due, write_instant);
    out.unsigned(u64::from(settled_months));
    let mut part = Writer::default();
    write_account(&mut part, account);
    digest_part(&part.bytes);
    out.block(&part.bytes);
    out.count(account.months.len());
    for month in &account.months {
        part.bytes.clear();
        write_month(&mut part, month);
        digest_part(&part.bytes);
        out.block(&part.bytes);
    }
    out.bytes
}

/// Decodes a team; `digest_part` sees the same pieces as when it was encoded.
pub fn decode_team(bytes: &[u8], mut digest_part: impl FnMut(&[u8])) -> Result<TeamCell, Corrupt> {
    let mut reader = versioned(bytes)?;
    let due = reader.option(read_instant)?;
    let settled_months = reader.narrow()?;
    let block = reader.block()?;
    digest_part(block);
    let mut account = whole(block, read_account)?;
    account.months = reader.list(|reader| {
        let block = reader.block()?;
        digest_part(block);
        whole(block, read_month)
    })?;
    reader.finish()?;
    Ok(TeamCell {
        due,
        settled_months,
        account,
    })
}

/// Shows the pieces of an encoded team that count for the state digest.
pub fn visit_digest_parts(bytes: &[u8], mut digest_part: impl FnMut(&[u8])) -> Result<(), Corrupt> {
    let mut reader = versioned(bytes)?;
    reader.option(read_instant)?;
    reader.unsigned()?;
    digest_part(reader.block()?);
    for _ in 0..reader.unsigned()? {
        digest_part(reader.block()?);
    }
    reader.finish()
}

/// Reads a value that takes up the whole block.
fn whole<T>(
    block: &[u8],
    read: impl FnOnce(&mut Reader) -> Result<T, Corrupt>,
) -> Result<T, Corrupt> {
    let mut reader = Reader::new(block);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// A settled month's own cell.
pub fn encode_month(month: &TeamMonth, digest_part: impl FnOnce(&[u8])) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(VERSION);
    write_month(&mut out, month);
    digest_part(&out.bytes[1..]);
    out.bytes
}

pub fn decode_month(bytes: &[u8]) -> Result<TeamMonth, Corrupt> {
    let mut reader = versioned(bytes)?;
    let month = read_month(&mut reader)?;
    reader.finish()?;
    Ok(month)
}

/// What an invoice tells beside its month.
pub fn encode_closing(closing: &Closing) -> Vec<u8> {
    let mut out = Writer::default();
    out.byte(VERSION);
    out.text(&closing.currency);
    out.option(closing.tax_rate, |out, rate| {
        out.signed(rate.mantissa());
        out.unsigned(u64::from(rate.scale()));
    });
    write_tokens(&mut out, closing.balance);
    write_tokens(&mut out, closing.debt);
    out.count(closing.carry_over.len());
    for (meter, usage) in &closing.carry_over {
        out.unsigned(u64::from(meter.0));
        out.unsigned(*usage);
    }
    out.bytes
}

pub fn decode_closing(bytes: &[u8]) -> Result<Closing, Corrupt> {
    let mut reader = versioned(bytes)?;
    let closing = Closing {
        currency: read_text(&mut reader)?,
        tax_rate: reader.option(|reader| {
            let (mantissa, scale) = (reader.signed()?, reader.narrow()?);
            Decimal::try_from_i128_with_scale(mantissa, scale)
                .map_err(|_| Corrupt("tax rate out of range"))
        })?,
        balance: read_tokens(&mut reader)?,
        debt: read_tokens(&mut reader)?,
        carry_over: reader.list(read_counter)?,
    };
    reader.finish()?;
    Ok(closing)
}

/// What one piece of a team adds to the state digest: a 128-bit hash under a fixed seed. It finds
/// accidents; tampering is found by other means.
pub fn digest_element(team: &str, piece: &[u8]) -> u128 {
    let mut hasher = Xxh3::with_seed(DIGEST_SEED);
    hasher.update(&(team.len() as u64).to_le_bytes());
    hasher.update(team.as_bytes());
    hasher.update(piece);
    hasher.digest128()
}

/// Cuts a value into the parts that its cells hold; the first tells how many there are.
pub fn parts(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let count = value
        .len()
        .div_ceil(CELL_BYTES_MAX - PART_HEADER_BYTES_MAX)
        .max(1);
    value
        .chunks(CELL_BYTES_MAX - PART_HEADER_BYTES_MAX)
        .enumerate()
        .map(move |(index, chunk)| {
            let mut part = Writer::default();
            if index == 0 {
                part.count(count);
            }
            part.bytes.extend_from_slice(chunk);
            part.bytes
        })
}

/// (number of parts, beginning of the value) of a first part.
pub fn first_part(part: &[u8]) -> Result<(u16, &[u8]), Corrupt> {
    let mut reader = Reader::new(part);
    let count = reader.narrow()?;
    Ok((count, reader.rest()))
}

const PART_HEADER_BYTES_MAX: usize = 4;

/// Published, for ever: the digests of all deployments agree.
const DIGEST_SEED: u64 = 0x6d65_7465_7266_6f6c;

pub(super) fn versioned(bytes: &[u8]) -> Result<Reader<'_>, Corrupt> {
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        VERSION => Ok(reader),
        _ => Err(Corrupt("unknown version")),
    }
}

fn write_account(out: &mut Writer, account: &TeamAccount) {
    let TeamAccount {
        tiers,
        hub,
        apps,
        lots,
        debt,
        currency,
        country,
        postpay,
        bad_standing,
        funding,
        last_funded,
        episode,
        trial_used,
        cumulatives,
        months: _,
        dispositions,
        effects,
    } = account;
    out.count(tiers.entries.len());
    for entry in &tiers.entries {
        write_instant(out, entry.effective_at);
        out.byte(entry.tier as u8);
    }
    out.option(tiers.pending_downgrade, write_instant);
    out.option(hub.as_deref(), Writer::text);
    out.count(apps.len());
    for app in apps {
        out.text(&app.id);
        write_instant(out, app.migrated_at);
    }
    out.count(lots.in_draw_order().len());
    for lot in lots.in_draw_order() {
        out.text(&lot.id);
        out.byte(lot.kind as u8);
        out.byte(lot.purpose as u8);
        write_instant(out, lot.purchased_at);
        write_instant(out, lot.expires_at);
        write_tokens(out, lot.size);
        write_tokens(out, lot.remaining);
    }
    write_tokens(out, *debt);
    out.option(currency.as_deref(), Writer::text);
    out.option(country.as_deref(), Writer::text);
    for periods in [postpay, bad_standing] {
        out.count(periods.as_slice().len());
        for period in periods.as_slice() {
            write_instant(out, period.from);
            out.option(period.to, write_instant);
        }
    }
    out.byte(*funding as u8);
    out.byte(*last_funded as u8);
    out.unsigned(*episode);
    out.byte(u8::from(*trial_used));
    out.count(cumulatives.as_slice().len());
    for Cumulative { key, base, cum } in cumulatives.as_slice() {
        out.unsigned(u64::from(key.meter.0));
        out.unsigned(u64::from(key.era));
        out.unsigned(u64::from(key.card.0));
        out.unsigned(*base);
        out.unsigned(*cum);
    }
    out.count(dispositions.counts().count());
    for (disposition, count) in dispositions.counts() {
        out.byte(disposition as u8);
        out.unsigned(count);
    }
    out.count(effects.len());
    for effect in effects {
        write_instant(out, *effect);
    }
}

fn read_account(reader: &mut Reader) -> Result<TeamAccount, Corrupt> {
    let periods = |reader: &mut Reader| {
        reader.list(|reader| {
            Ok(Period {
                from: read_instant(reader)?,
                to: reader.option(read_instant)?,
            })
        })
    };
    Ok(TeamAccount {
        tiers: TierHistory {
            entries: reader.list(|reader| {
                let effective_at = read_instant(reader)?;
                Ok(TierEntry {
                    effective_at,
                    tier: read_enum(reader, &[EnrolledTier::Free, EnrolledTier::Paid])?,
                })
            })?,
            pending_downgrade: reader.option(read_instant)?,
        },
        hub: reader.option(read_text)?,
        apps: reader.list(|reader| {
            Ok(App {
                id: reader.text()?.into(),
                migrated_at: read_instant(reader)?,
            })
        })?,
        lots: Lots::from_stored(reader.list(read_lot)?)
            .map_err(|_| Corrupt("balance out of range"))?,
        debt: read_tokens(reader)?,
        currency: reader.option(read_text)?,
        country: reader.option(read_text)?,
        postpay: Periods::from_stored(periods(reader)?),
        bad_standing: Periods::from_stored(periods(reader)?),
        funding: read_enum(
            reader,
            &[
                Funding::None,
                Funding::Prepaid,
                Funding::Postpay,
                Funding::Suspended,
            ],
        )?,
        last_funded: read_enum(
            reader,
            &[LastFunded::None, LastFunded::Prepaid, LastFunded::Postpay],
        )?,
        episode: reader.unsigned()?,
        trial_used: read_enum(reader, &[false, true])?,
        cumulatives: Cumulatives::from_stored(reader.list(|reader| {
            let meter = MeterNo(reader.narrow()?);
            let key = CumulativeKey {
                meter,
                era: reader.narrow()?,
                card: CardNo(reader.narrow()?),
            };
            Ok(Cumulative {
                key,
                base: reader.unsigned()?,
                cum: reader.unsigned()?,
            })
        })?),
        months: SmallVec::new(),
        dispositions: Dispositions::from_counts(
            reader
                .list(|reader| Ok((read_enum(reader, &Disposition::ALL)?, reader.unsigned()?)))?,
        ),
        effects: reader.list(read_instant)?,
    })
}

fn read_lot(reader: &mut Reader) -> Result<Lot, Corrupt> {
    let lot = Lot {
        id: read_text(reader)?,
        kind: read_enum(reader, &[LotKind::Credit, LotKind::Token])?,
        purpose: read_enum(reader, &Purpose::ALL)?,
        purchased_at: read_instant(reader)?,
        expires_at: read_instant(reader)?,
        size: read_tokens(reader)?,
        remaining: read_tokens(reader)?,
    };
    match lot.remaining.is_positive() && lot.remaining <= lot.size {
        true => Ok(lot),
        false => Err(Corrupt("a lot holds more than its size, or nothing")),
    }
}

fn write_month(out: &mut Writer, month: &TeamMonth) {
    out.signed(i128::from(month.month.index()));
    for counters in [month.free_used.as_slice(), &month.over_cap] {
        out.count(counters.len());
        for (meter, usage) in counters {
            out.unsigned(u64::from(meter.0));
            out.unsigned(*usage);
        }
    }
    out.count(month.capped.len());
    for scope in &month.capped {
        out.unsigned(u64::from(scope.0));
    }
    out.count(month.lines.len());
    for (key, booked) in &month.lines {
        write_line(out, *key, booked);
    }
    out.count(month.adjustments.len());
    for ((usage_month, key), booked) in &month.adjustments {
        out.signed(i128::from(usage_month.index()));
        write_line(out, *key, booked);
    }
}

fn read_month(reader: &mut Reader) -> Result<TeamMonth, Corrupt> {
    Ok(TeamMonth {
        month: Month::from_index(read_i32(reader)?),
        free_used: reader.list(read_counter)?,
        over_cap: reader.list(read_counter)?,
        capped: reader.list(|reader| Ok(ScopeNo(reader.narrow()?)))?,
        lines: reader.list(read_line)?,
        adjustments: reader.list(|reader| {
            let usage_month = Month::from_index(read_i32(reader)?);
            let (key, booked) = read_line(reader)?;
            Ok(((usage_month, key), booked))
        })?,
    })
}

fn read_counter(reader: &mut Reader) -> Result<(MeterNo, u64), Corrupt> {
    Ok((MeterNo(reader.narrow()?), reader.unsigned()?))
}

fn write_line(out: &mut Writer, key: LineKey, booked: &Booked) {
    out.unsigned(u64::from(key.meter.0));
    out.unsigned(u64::from(key.card.0));
    out.signed(booked.usage);
    for part in [
        booked.charge,
        booked.prepaid,
        booked.postpaid,
        booked.uncharged,
    ] {
        write_tokens(out, part);
    }
}

fn read_line(reader: &mut Reader) -> Result<(LineKey, Booked), Corrupt> {
    let key = LineKey {
        meter: MeterNo(reader.narrow()?),
        card: CardNo(reader.narrow()?),
    };
    let booked = Booked {
        usage: reader.signed()?,
        charge: read_tokens(reader)?,
        prepaid: read_tokens(reader)?,
        postpaid: read_tokens(reader)?,
        uncharged: read_tokens(reader)?,
    };
    match booked.is_conserved() {
        Ok(true) => Ok((key, booked)),
        _ => Err(Corrupt(
            "charge = prepaid + postpaid + uncharged does not hold",
        )),
    }
}

pub(super) fn write_instant(out: &mut Writer, at: Instant) {
    out.signed(i128::from(at.millis()));
}

pub(super) fn read_instant(reader: &mut Reader) -> Result<Instant, Corrupt> {
    let millis = i64::try_from(reader.signed()?).map_err(|_| Corrupt("instant out of range"))?;
    Ok(Instant::from_millis(millis))
}

fn write_tokens(out: &mut Writer, tokens: Tokens) {
    out.signed(tokens.micros());
}

fn read_tokens(reader: &mut Reader) -> Result<Tokens, Corrupt> {
    Tokens::from_micros(reader.signed()?).map_err(|_| Corrupt("tokens out of range"))
}

fn read_text(reader: &mut Reader) -> Result<Box<str>, Corrupt> {
    reader.text().map(Box::from)
}

pub(super) fn read_i32(reader: &mut Reader) -> Result<i32, Corrupt> {
    i32::try_from(reader.signed()?).map_err(|_| Corrupt("integer out of range"))
}

/// A value stored as its position in `all`.
fn read_enum<T: Copy>(reader: &mut Reader, all: &[T]) -> Result<T, Corrupt> {
    all.get(usize::from(reader.byte()?))
        .copied()
        .ok_or(Corrupt("unknown kind"))
}
