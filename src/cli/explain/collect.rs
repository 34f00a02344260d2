//! Watches the fold of one team and keeps what explains one month of it.
//!
//! Every number is the fold's: what it posted, or what differs between the account before and
//! after a step. Memory grows with the lots, days, meters and reasons of the month, not with its
//! events.

use std::collections::{BTreeMap, BTreeSet};

use crate::billing::account::TeamAccount;
use crate::billing::amount::Tokens;
use crate::billing::context::Broken;
use crate::billing::derived_event::Fact;
use crate::billing::disposition::Disposition;
use crate::billing::event::{Body, Event, Fault};
use crate::billing::fold::{Folded, UsageFolded};
use crate::billing::invoice::Invoice;
use crate::billing::month::LineKey;
use crate::billing::rate_book::MeterNo;
use crate::billing::rating::Posting;
use crate::billing::time::{Instant, MILLIS_PER_DAY, Month};
use crate::processor::step::{PassedOver, Step};

use super::explanation::{
    CAUSES_MAX, Day, FreeUse, HAPPENINGS_MAX, Happening, Later, Line, LotKey, LotUse, Position,
    Stretch, Tally, TallyKey,
};
use super::moves::{drawn, stretch};
use super::words;

/// What was kept so far.
pub struct Collected {
    pub month: Month,
    pub closes_at: Instant,
    /// The account when the month was last seen open.
    pub account: Option<TeamAccount>,
    /// The earliest month that any event of the team is about.
    pub first_month: Option<Month>,
    /// A folded event has a time within the month.
    has_own: bool,
    pub lines: BTreeMap<(Month, LineKey), Line>,
    pub free: BTreeMap<MeterNo, FreeUse>,
    pub days: BTreeMap<(u8, MeterNo), Day>,
    pub lots: BTreeMap<LotKey, LotUse>,
    pub booked_later: BTreeMap<(Month, LineKey), Later>,
    pub tallies: BTreeMap<TallyKey, Tally>,
    pub happenings: Vec<Happening>,
    pub happenings_left_out: u64,
    pub invoice: Option<Box<Invoice>>,
}

impl Collected {
    pub fn new(month: Month, closes_at: Instant) -> Collected {
        Collected {
            month,
            closes_at,
            account: None,
            first_month: None,
            has_own: false,
            lines: BTreeMap::new(),
            free: BTreeMap::new(),
            days: BTreeMap::new(),
            lots: BTreeMap::new(),
            booked_later: BTreeMap::new(),
            tallies: BTreeMap::new(),
            happenings: Vec::new(),
            happenings_left_out: 0,
            invoice: None,
        }
    }

    /// No record is about the month.
    pub fn is_empty(&self) -> bool {
        !self.has_own && self.lines.is_empty() && self.tallies.is_empty()
    }

    pub fn folded(
        &mut self,
        step: &Step,
        position: Position,
        event: &Event<&str>,
        folded: &Folded,
    ) -> Result<(), Broken> {
        let clock = step.context.clock;
        self.heard_of(event.time.month());
        // A call brings no lot; a correction may.
        if !matches!(event.body, Body::ApiCall(_)) {
            let held: BTreeSet<LotKey> = lots(step.before).collect();
            for lot in lots(step.after).filter(|lot| !held.contains(lot)) {
                let entry = self.lots.entry(lot).or_default();
                entry.bought.get_or_insert(position);
            }
        }
        match (&folded.usage, folded.refusal) {
            (Some(usage), _) => self.usage(step, position, event, folded.disposition, usage)?,
            (None, Some(refusal)) => {
                let key = TallyKey {
                    kind: Disposition::Refused.name(),
                    reason: Some(refusal.name()),
                    meter: None,
                };
                self.tally(event.time.month(), key, 0, position);
            }
            (None, None) if self.matters(step, event) => {
                let what = words::account_event(step, event)?;
                self.happened(Happening {
                    event: Some((position, event.id.into())),
                    time: event.time,
                    clock,
                    what,
                });
            }
            (None, None) => {}
        }
        self.derived(step, Some((position, event)));
        self.keep(step);
        Ok(())
    }

    fn usage(
        &mut self,
        step: &Step,
        position: Position,
        event: &Event<&str>,
        disposition: Disposition,
        usage: &UsageFolded,
    ) -> Result<(), Broken> {
        let is_own = usage.month == self.month;
        if !matches!(
            disposition,
            Disposition::Free | Disposition::Charged | Disposition::Corrected
        ) {
            let key = TallyKey {
                kind: disposition.name(),
                reason: None,
                meter: usage.meter,
            };
            self.tally(usage.month, key, usage.quantity, position);
        }
        let Some(meter) = usage.meter else {
            return Ok(());
        };
        if let Some(posting) = &usage.posting {
            self.posting(step, position, event, usage, meter, posting)?;
        }
        let is_over_cap = disposition == Disposition::OverCap;
        let is_booked_elsewhere = usage
            .posting
            .is_some_and(|posting| posting.booked_to != self.month);
        if !is_own || is_booked_elsewhere || (usage.free.is_none() && !is_over_cap) {
            return Ok(());
        }
        if let (Body::UsageCorrected { .. }, None, Some(free)) =
            (&event.body, usage.posting, usage.free)
        {
            let name = step.context.book.meter_id(meter);
            self.happened(Happening {
                event: Some((position, event.id.into())),
                time: event.time,
                clock: step.context.clock,
                what: words::free_corrected(event, usage.quantity, free, name),
            });
        }
        let free = i128::from(usage.free.unwrap_or(0));
        let over_cap = i128::from(usage.quantity * i64::from(is_over_cap));
        let day = self.days.entry((day_of(event.time), meter)).or_default();
        day.events += 1;
        day.free += free;
        day.over_cap += over_cap;
        if let Some(posting) = usage.posting {
            day.booked.add(&posting.booked)?;
        }
        if free != 0 || is_over_cap {
            let entry = self.free.entry(meter).or_default();
            entry.used += free;
            entry.over_cap += over_cap;
            entry.late += u64::from(step.context.clock >= usage.month.end());
            let card = step.context.book.card(usage.card);
            entry.cap = card.meter(meter).and_then(|meter| meter.free_cap);
        }
        Ok(())
    }

    fn posting(
        &mut self,
        step: &Step,
        position: Position,
        event: &Event<&str>,
        usage: &UsageFolded,
        meter: MeterNo,
        posting: &Posting,
    ) -> Result<(), Broken> {
        let key = LineKey {
            meter,
            card: usage.card,
        };
        if posting.booked_to != self.month {
            if usage.month == self.month {
                let later = self
                    .booked_later
                    .entry((posting.booked_to, key))
                    .or_insert_with(|| Later::beginning(position));
                later.booked.add(&posting.booked)?;
                later.events += 1;
                later.last = position;
            }
            return Ok(());
        }
        let stretch = stretch(step, event, key, posting)?;
        let drawn = drawn(&step.before.lots, &step.after.lots, posting)?;
        for (lot, part) in &drawn {
            let entry = self.lots.entry(lot.clone()).or_default();
            entry.drawn = entry.drawn.plus(*part)?;
        }
        let line = self
            .lines
            .entry((usage.month, key))
            .or_insert_with(|| Line::beginning(usage.month, key, position));
        line.booked.add(&posting.booked)?;
        line.events += 1;
        line.late += u64::from(step.context.clock >= usage.month.end());
        line.last = position;
        line.extend(stretch);
        for (lot, part) in drawn {
            let sum = line.drawn.entry(lot).or_default();
            *sum = sum.plus(part)?;
        }
        if posting.booked.prepaid.is_negative() {
            line.given_back = line.given_back.minus(posting.booked.prepaid)?;
        }
        if usage.month != self.month || matches!(event.body, Body::UsageCorrected { .. }) {
            let cause = Happening {
                event: Some((position, event.id.into())),
                time: event.time,
                clock: step.context.clock,
                what: words::posted(event, usage.quantity, posting),
            };
            if line.causes.len() < CAUSES_MAX {
                line.causes.push(cause);
            } else {
                line.causes_left_out += 1;
            }
        }
        Ok(())
    }

    pub fn timers_ran(&mut self, step: &Step) -> Result<(), Broken> {
        if self.is_within(step.context.clock) {
            let clock = step.context.clock;
            for what in words::timer(step)? {
                self.happened(Happening {
                    event: None,
                    time: clock,
                    clock,
                    what,
                });
            }
        }
        self.derived(step, None);
        self.keep(step);
        Ok(())
    }

    /// Caps, depletions and switches; and the invoice.
    fn derived(&mut self, step: &Step, cause: Option<(Position, &Event<&str>)>) {
        let book = step.context.book;
        for event in step.derived {
            let is_shown = match &event.fact {
                Fact::CapReached(fact) => {
                    if fact.month == self.month
                        && let Some((position, _)) = cause
                    {
                        let entry = self.free.entry(fact.meter).or_default();
                        entry.reached = Some((position, fact.used));
                    }
                    fact.month == self.month
                }
                Fact::MonthlyInvoice(invoice) => {
                    if invoice.month == self.month {
                        self.invoice = Some(invoice.clone());
                    }
                    false
                }
                _ => self.is_within(event.time),
            };
            if is_shown {
                self.happened(Happening {
                    event: cause.map(|(position, event)| (position, event.id.into())),
                    time: cause.map_or(event.time, |(_, event)| event.time),
                    clock: event.time,
                    what: words::fact(&event.fact, book),
                });
            }
        }
    }

    pub fn passed_over(
        &mut self,
        clock: Instant,
        position: Position,
        event: Option<&Event<&str>>,
        why: PassedOver,
    ) {
        let month = event.map_or(clock, |event| event.time).month();
        let (kind, reason) = match why {
            PassedOver::Duplicate => (Disposition::Duplicate.name(), None),
            PassedOver::Conflict => (Disposition::Conflict.name(), None),
            PassedOver::DeadLetter(Fault { reason, .. }) => ("dead_letter", Some(reason.name())),
        };
        let key = TallyKey {
            kind,
            reason,
            meter: None,
        };
        let quantity = event
            .and_then(|event| event.body.usage())
            .map_or(0, |usage| usage.quantity);
        self.tally(month, key, quantity, position);
    }

    fn tally(&mut self, month: Month, key: TallyKey, quantity: i64, position: Position) {
        if month == self.month {
            let tally = self.tallies.entry(key).or_insert(Tally {
                events: 0,
                quantity: 0,
                first: position,
                last: position,
            });
            tally.events += 1;
            tally.quantity += i128::from(quantity);
            tally.last = position;
        }
    }

    /// What was enrolled before the month decides who pays in it; of the month itself everything
    /// matters until it closes.
    fn matters(&self, step: &Step, event: &Event<&str>) -> bool {
        let before = step.context.clock < self.month.start() && event.time < self.month.start();
        let decides_who_pays = matches!(
            event.body,
            Body::OfferingEnrolled(_)
                | Body::PostpayCancelled
                | Body::StandingChanged { .. }
                | Body::DowngradeRequested
        );
        !step.context.is_closed(self.month) && (!before || decides_who_pays)
    }

    /// From the month's start until it closes.
    fn is_within(&self, clock: Instant) -> bool {
        clock >= self.month.start() && clock < self.closes_at
    }

    fn happened(&mut self, happening: Happening) {
        if self.happenings.len() < HAPPENINGS_MAX {
            self.happenings.push(happening);
        } else {
            self.happenings_left_out += 1;
        }
    }

    /// How the team stood before anything was seen, which was before the month.
    pub fn began_with(&mut self, account: TeamAccount) {
        self.account.get_or_insert(account);
        self.heard_of(self.month.previous());
    }

    fn heard_of(&mut self, month: Month) {
        self.first_month = Some(self.first_month.map_or(month, |first| first.min(month)));
        self.has_own |= month == self.month;
    }

    fn keep(&mut self, step: &Step) {
        if !step.context.is_closed(self.month) {
            self.account = Some(step.after.clone());
        }
    }
}

fn lots(account: &TeamAccount) -> impl Iterator<Item = LotKey> {
    account.lots.in_draw_order().iter().map(LotKey::of)
}

impl Line {
    fn beginning(usage_month: Month, key: LineKey, first: Position) -> Line {
        Line {
            usage_month,
            key,
            booked: Default::default(),
            events: 0,
            late: 0,
            first,
            last: first,
            stretches: Vec::new(),
            drawn: BTreeMap::new(),
            given_back: Tokens::ZERO,
            causes: Vec::new(),
            causes_left_out: 0,
            invoiced: None,
        }
    }

    /// Joins what goes on where the last stretch ended.
    fn extend(&mut self, next: Stretch) {
        match self.stretches.last_mut() {
            Some(last) if (last.era, last.to) == (next.era, next.from) => last.to = next.to,
            _ => self.stretches.push(next),
        }
    }
}

impl Later {
    fn beginning(first: Position) -> Later {
        Later {
            booked: Default::default(),
            events: 0,
            first,
            last: first,
        }
    }
}

/// Day of the month, from 1.
fn day_of(time: Instant) -> u8 {
    let millis = time.millis() - time.month().start().millis();
    u8::try_from(millis / MILLIS_PER_DAY + 1).unwrap_or(31)
}
