//! The state of a team and the questions asked of it (`fold.md` 3, 6.1 and 7).
//!
//! Everything is kept for ever, spent lots and closed months too, so that the invariants can be
//! summed up from the state.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::calendar::Month;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Unenrolled,
    Free,
    Paid,
    Legacy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funding {
    None,
    Prepaid,
    Postpay,
    Suspended,
}

/// Credits are drawn before tokens: the order of the variants is the draw order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LotKind {
    Credit,
    Token,
}

#[derive(Clone, Debug)]
pub struct Lot {
    pub id: String,
    pub kind: LotKind,
    /// Purpose `subscription`: never drawn by usage. Otherwise the purpose is `api`.
    pub subscription: bool,
    pub trial: bool,
    pub purchased_at: i64,
    pub expires_at: i64,
    pub size: i128,
    pub remaining: i128,
    pub drawn: i128,
    pub expired: i128,
    pub settled: i128,
}

impl Lot {
    /// A lot of purpose `api` as it is bought; what remains of it is settled when it is added to a
    /// team.
    pub fn bought(
        id: String,
        kind: LotKind,
        purchased_at: i64,
        expires_at: i64,
        size: i128,
    ) -> Lot {
        Lot {
            id,
            kind,
            subscription: false,
            trial: false,
            purchased_at,
            expires_at,
            size,
            remaining: size,
            drawn: 0,
            expired: 0,
            settled: 0,
        }
    }
}

/// A half-open period `[from, to)`; without `to` it is open.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub from: i64,
    pub to: Option<i64>,
}

impl Period {
    fn contains(&self, instant: i64) -> bool {
        self.from <= instant && self.to.is_none_or(|to| instant < to)
    }

    /// The bound set last, before which no new bound may lie.
    fn last_bound(&self) -> i64 {
        self.to.unwrap_or(self.from)
    }
}

/// Cumulative usage of a meter under a card in an era (`fold.md` 2).
#[derive(Clone, Copy, Debug)]
pub struct Cumulative {
    pub base: i128,
    pub cum: i128,
    /// The sum of all charges and refunds rated from it.
    pub charges: i128,
}

/// A line of a month or an adjustment: usage, and micro-tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub usage: i128,
    pub charge: i128,
    pub prepaid: i128,
    pub postpaid: i128,
    pub uncharged: i128,
}

impl Line {
    pub fn add(&mut self, other: &Line) {
        self.usage += other.usage;
        self.charge += other.charge;
        self.prepaid += other.prepaid;
        self.postpaid += other.postpaid;
        self.uncharged += other.uncharged;
    }

    /// Lines with nothing in them are not shown.
    pub fn is_zero(&self) -> bool {
        *self == Line::default()
    }
}

/// (meter, card) of a line.
pub type LineKey = (String, String);

#[derive(Clone, Debug, Default)]
pub struct MonthState {
    pub free_used: BTreeMap<String, i128>,
    pub over_cap: BTreeMap<String, i128>,
    pub capped: BTreeSet<String>,
    pub lines: BTreeMap<LineKey, Line>,
    pub adjustments: BTreeMap<(Month, LineKey), Line>,
}

impl MonthState {
    /// Whether an account line shows the month (`interfaces.md` 3).
    pub fn is_shown(&self) -> bool {
        self.free_used.values().any(|used| *used != 0)
            || self.over_cap.values().any(|usage| *usage != 0)
            || !self.capped.is_empty()
            || self.lines.values().any(|line| !line.is_zero())
            || self.adjustments.values().any(|line| !line.is_zero())
    }

    fn has_postpaid(&self) -> bool {
        self.lines
            .values()
            .chain(self.adjustments.values())
            .any(|line| line.postpaid != 0)
    }
}

#[derive(Clone, Debug)]
pub struct Team {
    /// (effective_at, tier); Legacy never stands in it.
    pub tier_history: Vec<(i64, Tier)>,
    pub pending_downgrade: Option<i64>,
    pub hub: Option<String>,
    /// App to the earliest instant of its migration.
    pub apps: BTreeMap<String, i64>,
    /// In log order.
    pub lots: Vec<Lot>,
    pub debt: i128,
    pub currency: Option<String>,
    pub country: Option<String>,
    pub postpay: Vec<Period>,
    pub bad_standing: Vec<Period>,
    pub funding: Funding,
    /// None, Prepaid or Postpay.
    pub last_funded: Funding,
    pub episode: u64,
    /// By (meter, era, index of the card).
    pub cumulatives: BTreeMap<(String, usize, usize), Cumulative>,
    pub months: BTreeMap<Month, MonthState>,
    /// Instants of *effect* timers (`fold.md` 8); past ones stay.
    pub effects: BTreeSet<i64>,
    pub dispositions: BTreeMap<String, u64>,
}

impl Team {
    pub fn new() -> Team {
        Team {
            tier_history: Vec::new(),
            pending_downgrade: None,
            hub: None,
            apps: BTreeMap::new(),
            lots: Vec::new(),
            debt: 0,
            currency: None,
            country: None,
            postpay: Vec::new(),
            bad_standing: Vec::new(),
            funding: Funding::None,
            last_funded: Funding::None,
            episode: 0,
            cumulatives: BTreeMap::new(),
            months: BTreeMap::new(),
            effects: BTreeSet::new(),
            dispositions: BTreeMap::new(),
        }
    }

    /// `fold.md` 3: Legacy before launch, Free from a pending downgrade on, else as the history has
    /// it.
    pub fn tier_at(&self, book: &Book, instant: i64) -> Tier {
        if instant < book.launch {
            return Tier::Legacy;
        }
        if self
            .pending_downgrade
            .is_some_and(|pending| instant >= pending)
        {
            return Tier::Free;
        }
        let entry = self
            .tier_history
            .iter()
            .rfind(|(effective_at, _)| *effective_at <= instant);
        entry.map_or(Tier::Unenrolled, |(_, tier)| *tier)
    }

    /// The last entry of the tier history: "now" in the checks of `fold.md` 6.
    pub fn last_tier(&self) -> Tier {
        self.tier_history
            .last()
            .map_or(Tier::Unenrolled, |(_, tier)| *tier)
    }

    /// The number of Paid entries that are effective (`fold.md` 2).
    pub fn era(&self, instant: i64) -> usize {
        self.tier_history
            .iter()
            .filter(|(effective_at, tier)| *tier == Tier::Paid && *effective_at <= instant)
            .count()
    }

    /// Adds a tier entry, effective not before launch nor before the last entry.
    pub fn enter_tier(&mut self, book: &Book, clock: i64, given: i64, tier: Tier) {
        let last = self
            .tier_history
            .last()
            .map_or(i64::MIN, |(effective_at, _)| *effective_at);
        let effective_at = given.max(book.launch).max(last);
        self.tier_history.push((effective_at, tier));
        self.note_effect(clock, effective_at);
    }

    /// A bound or entry after the clock makes a timer (`fold.md` 8, *Effect*).
    fn note_effect(&mut self, clock: i64, instant: i64) {
        if instant > clock {
            self.effects.insert(instant);
        }
    }

    pub fn postpay_is_open(&self) -> bool {
        self.postpay
            .last()
            .is_some_and(|period| period.to.is_none())
    }

    pub fn standing_is_bad(&self) -> bool {
        self.bad_standing
            .last()
            .is_some_and(|period| period.to.is_none())
    }

    /// Opens a postpay period unless one is open.
    pub fn open_postpay(&mut self, clock: i64, given: i64) {
        if !self.postpay_is_open() {
            let from = given.max(self.postpay.last().map_or(i64::MIN, Period::last_bound));
            self.postpay.push(Period { from, to: None });
            self.note_effect(clock, from);
        }
    }

    /// Closes the open postpay period, if there is one.
    pub fn close_postpay(&mut self, clock: i64, given: i64) {
        if self.postpay_is_open() {
            let period = self.postpay.last_mut().expect("a period is open");
            let to = given.max(period.last_bound());
            period.to = Some(to);
            self.note_effect(clock, to);
        }
    }

    /// Opens or closes a bad-standing period; nothing happens if the standing is so already.
    pub fn set_standing(&mut self, clock: i64, given: i64, good: bool) {
        if good != self.standing_is_bad() {
            return;
        }
        let bound = given.max(
            self.bad_standing
                .last()
                .map_or(i64::MIN, Period::last_bound),
        );
        if good {
            self.bad_standing.last_mut().expect("a period is open").to = Some(bound);
        } else {
            self.bad_standing.push(Period {
                from: bound,
                to: None,
            });
        }
        self.note_effect(clock, bound);
    }

    pub fn postpay_on(&self, instant: i64) -> bool {
        self.postpay.iter().any(|period| period.contains(instant))
    }

    pub fn postpay_usable(&self, instant: i64) -> bool {
        self.postpay_on(instant)
            && !self
                .bad_standing
                .iter()
                .any(|period| period.contains(instant))
    }

    /// Whether a bad-standing period begins or ends at an instant.
    pub fn standing_bound_at(&self, instant: i64) -> bool {
        self.bad_standing
            .iter()
            .any(|period| period.from == instant || period.to == Some(instant))
    }

    /// Whether postpay was on at some instant of the month; `[from, from)` is no instant.
    fn postpay_in_month(&self, month: Month) -> bool {
        self.postpay.iter().any(|period| {
            let from = period.from.max(month.start());
            from < period.to.unwrap_or(i64::MAX).min(month.end())
        })
    }

    /// Whether closing the month makes an invoice (`fold.md` 7).
    pub fn is_invoiced(&self, month: Month) -> bool {
        self.postpay_in_month(month)
            || self
                .months
                .get(&month)
                .is_some_and(MonthState::has_postpaid)
    }

    /// The sum of what the drawable lots hold.
    pub fn balance(&self, clock: i64) -> i128 {
        self.live_lots(clock, false)
            .iter()
            .map(|index| self.lots[*index].remaining)
            .sum()
    }

    /// Indices of the live lots of a purpose, in draw order.
    pub fn live_lots(&self, clock: i64, subscription: bool) -> Vec<usize> {
        let is_live = |lot: &Lot| lot.expires_at > clock && lot.subscription == subscription;
        let mut live: Vec<usize> = (0..self.lots.len())
            .filter(|index| is_live(&self.lots[*index]))
            .collect();
        live.sort_by_key(|index| {
            let lot = &self.lots[*index];
            (lot.kind, lot.expires_at, lot.size, *index)
        });
        live
    }

    /// Draws up to `amount` from the live lots of a purpose and returns what was drawn.
    pub fn draw(&mut self, clock: i64, subscription: bool, amount: i128) -> i128 {
        let mut rest = amount;
        for index in self.live_lots(clock, subscription) {
            let lot = &mut self.lots[index];
            let part = rest.min(lot.remaining);
            lot.remaining -= part;
            lot.drawn += part;
            rest -= part;
        }
        amount - rest
    }

    /// Adds a lot as it was bought; it settles debt first unless it is a trial or serves
    /// subscriptions, and what it holds of an instant already past is expired (`fold.md` 6.1).
    pub fn add_lot(&mut self, clock: i64, mut lot: Lot) {
        if !lot.trial && !lot.subscription {
            lot.settled = self.debt.min(lot.size);
            self.debt -= lot.settled;
        }
        lot.remaining = lot.size - lot.settled;
        if lot.expires_at <= clock {
            lot.expired = lot.remaining;
            lot.remaining = 0;
        }
        self.lots.push(lot);
    }

    pub fn month(&mut self, month: Month) -> &mut MonthState {
        self.months.entry(month).or_default()
    }

    /// What is booked for (usage month, meter, card): its line, and the adjustments of that month
    /// in all months.
    pub fn booked(&self, usage_month: Month, key: &LineKey) -> Line {
        let mut sum = Line::default();
        for (month, state) in &self.months {
            if *month == usage_month
                && let Some(line) = state.lines.get(key)
            {
                sum.add(line);
            }
            if let Some(line) = state.adjustments.get(&(usage_month, key.clone())) {
                sum.add(line);
            }
        }
        sum
    }

    /// The cumulative of a meter under a card in an era; its first usage takes over the carry of
    /// the used card before (`fold.md` 2, *Cumulative*).
    pub fn cumulative(
        &mut self,
        book: &Book,
        meter: &str,
        era: usize,
        card: usize,
    ) -> &mut Cumulative {
        let key = (meter.to_string(), era, card);
        if !self.cumulatives.contains_key(&key) {
            let first = (meter.to_string(), era, 0);
            let mut carry = 0;
            if let Some(((_, _, older), cumulative)) =
                self.cumulatives.range_mut(first..key.clone()).next_back()
            {
                carry = book.cards[*older].carry(meter, cumulative.cum);
                cumulative.cum -= carry;
                cumulative.base = cumulative.base.min(cumulative.cum);
            }
            self.cumulatives.insert(
                key.clone(),
                Cumulative {
                    base: carry,
                    cum: carry,
                    charges: 0,
                },
            );
        }
        self.cumulatives
            .get_mut(&key)
            .expect("the cumulative was just put there")
    }

    /// Meter to the usage short of a unit in the era of the clock, zero left out (`fold.md` 2).
    pub fn carry_over(&self, book: &Book, clock: i64) -> BTreeMap<String, i128> {
        let mut carries = BTreeMap::new();
        for ((meter, era, card), cumulative) in &self.cumulatives {
            if *era == self.era(clock) {
                // Later cards come later, so the latest used card stands in the end.
                carries.insert(
                    meter.clone(),
                    book.cards[*card].carry(meter, cumulative.cum),
                );
            }
        }
        carries.retain(|_, carry| *carry != 0);
        carries
    }

    /// The instant of the next timer after the clock (`fold.md` 8).
    pub fn next_timer(&self, book: &Book, clock: i64) -> Option<i64> {
        let expiries = self.lots.iter().map(|lot| lot.expires_at);
        let effects = self.effects.iter().copied().chain([book.launch]);
        let closes = self
            .next_invoiced_month(book, clock)
            .map(|month| book.close_instant(month));
        let timers = expiries
            .chain(effects)
            .chain(closes)
            .chain(self.pending_downgrade);
        timers.filter(|instant| *instant > clock).min()
    }

    /// The earliest month not closed at the clock whose close makes an invoice, as things stand.
    fn next_invoiced_month(&self, book: &Book, clock: i64) -> Option<Month> {
        let open = book.earliest_open_month(clock);
        let with_postpaid = self
            .months
            .range(open..)
            .find(|(_, state)| state.has_postpaid())
            .map(|(month, _)| *month);
        let with_postpay = self.postpay.iter().filter_map(|period| {
            // A period that begins beyond any clock never comes to a close.
            let first = Month::of(period.from.min(Month::MAX.start())).max(open);
            let from = period.from.max(first.start());
            (from < period.to.unwrap_or(i64::MAX)).then_some(first)
        });
        with_postpaid.into_iter().chain(with_postpay).min()
    }
}
