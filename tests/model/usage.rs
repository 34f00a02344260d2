//! Usage and its correction (`fold.md` 5).

use super::book::{Call, Card, Meter};
use super::calendar::{Month, add_months};
use super::event::{Body, Usage};
use super::fold::{Folded, Scene};
use super::funding::{Trigger, cap_reached};
use super::output::{Booked, UsageTrace};
use super::team::{Funding, Line, LineKey, Lot, LotKind, Team, Tier};

/// Folds `api-call` and `usage-corrected`: the first row of the table in `fold.md` 5 that matches
/// decides.
pub fn fold_usage(scene: &Scene<'_>, team: &mut Team, usage: &Usage) -> Folded {
    let time = scene.event.content.time;
    let card_index = scene
        .book
        .card_index_at(time)
        .expect("time is not before the first card");
    let rating = Rating {
        scene,
        time,
        card_index,
        card: &scene.book.cards[card_index],
        month: Month::of(time),
        month_is_open: scene.clock < scene.book.close_instant(Month::of(time)),
        tier: team.tier_at(scene.book, time),
        is_correction: matches!(scene.event.content.body, Body::UsageCorrected { .. }),
        quantity: i128::from(usage.quantity),
    };
    let call = Call {
        api: usage.api.as_deref(),
        engine: usage.engine.as_deref(),
        method: usage.method.as_deref(),
        path: usage.path.as_deref(),
        source_format: usage.source_format.as_deref(),
    };
    let meter = rating.card.classify(&call);
    let mut folded = match (rating.unrated_disposition(team, usage, meter), meter) {
        (Some(disposition), _) => rating.folded(disposition),
        (None, Some(meter)) if rating.tier == Tier::Free => rating.fold_free(team, meter),
        (None, Some(meter)) => rating.fold_charged(team, meter),
        (None, None) => panic!("usage without a meter is unrated"),
    };
    if let Some(trace) = &mut folded.usage {
        trace.meter = meter.map(|meter| meter.id.clone());
    }
    folded
}

/// One usage event on its way through the table.
struct Rating<'a> {
    scene: &'a Scene<'a>,
    time: i64,
    card_index: usize,
    card: &'a Card,
    month: Month,
    month_is_open: bool,
    tier: Tier,
    is_correction: bool,
    quantity: i128,
}

impl Rating<'_> {
    /// What is common to all dispositions.
    fn folded(&self, disposition: &'static str) -> Folded {
        Folded {
            disposition,
            reason: None,
            trigger: Trigger::Event,
            usage: Some(UsageTrace {
                meter: None,
                rate_card: self.card.id.clone(),
                quantity: self.quantity,
                month: self.month,
                free: None,
                booked: None,
                while_suspended: false,
            }),
            derived: Vec::new(),
        }
    }

    /// A correction that no other row caught is `corrected`, whatever it would be as a call.
    fn disposition(&self, of_call: &'static str) -> &'static str {
        if self.is_correction {
            "corrected"
        } else {
            of_call
        }
    }

    /// Rows 1 to 4.
    fn unrated_disposition(
        &self,
        team: &Team,
        usage: &Usage,
        meter: Option<&Meter>,
    ) -> Option<&'static str> {
        if self.quantity == 0 {
            return Some("zero");
        }
        let is_migrated = team
            .apps
            .get(&usage.app_id)
            .is_some_and(|migrated_at| *migrated_at <= self.time);
        if self.time >= self.scene.book.launch && (self.tier == Tier::Unenrolled || !is_migrated) {
            return Some(if self.time < self.scene.book.enrolment_deadline {
                "grace"
            } else {
                "denied"
            });
        }
        let Some(meter) = meter else {
            return Some("unrated");
        };
        if !meter.is_billable(&usage.status, usage.http_status) {
            return Some("unbillable");
        }
        None
    }

    /// Rows 5 to 7, and the correction of free usage.
    fn fold_free(&self, team: &mut Team, meter: &Meter) -> Folded {
        if !self.month_is_open {
            return self.folded("late_free");
        }
        let scope = self.card.scope(meter);
        let state = team.month(self.month);
        let used = state.free_used.get(&meter.id).copied().unwrap_or(0);
        if self.quantity < 0 {
            let left = (used + self.quantity).max(0);
            state.free_used.insert(meter.id.clone(), left);
            let mut folded = self.folded("corrected");
            self.trace(&mut folded).free = Some(left - used);
            return folded;
        }
        if state.capped.contains(scope) {
            *state.over_cap.entry(meter.id.clone()).or_default() += self.quantity;
            return self.folded("over_cap");
        }
        let used = used + self.quantity;
        state.free_used.insert(meter.id.clone(), used);
        let mut folded = self.folded(self.disposition("free"));
        self.trace(&mut folded).free = Some(self.quantity);
        if let Some(cap) = meter.free_cap.filter(|cap| used >= *cap) {
            state.capped.insert(scope.to_string());
            folded
                .derived
                .push(cap_reached(self.scene, self.month, scope, meter, cap, used));
        }
        folded
    }

    fn trace<'f>(&self, folded: &'f mut Folded) -> &'f mut UsageTrace {
        folded.usage.as_mut().expect("usage has a trace")
    }

    /// Row 8, and the correction of charged usage.
    fn fold_charged(&self, team: &mut Team, meter: &Meter) -> Folded {
        let was_suspended = team.funding == Funding::Suspended;
        let free = self.take_free_first(team, meter);
        if free > 0 && free == self.quantity {
            let mut folded = self.folded(self.disposition("free"));
            self.trace(&mut folded).free = Some(free);
            return folded;
        }
        let parts = if self.quantity < 0 {
            self.refund(team, meter)
        } else {
            self.charge(team, meter, self.quantity - free)
        };
        let booked_to = self.book(team, meter, &parts);
        let mut folded = self.folded(self.disposition("charged"));
        let trace = self.trace(&mut folded);
        trace.free = Some(free);
        trace.booked = Some(Booked {
            month: booked_to,
            parts,
        });
        trace.while_suspended = was_suspended;
        folded.trigger = Trigger::Usage {
            meter: meter.id.clone(),
            parts,
        };
        folded
    }

    /// `free_allowance_when_paid: first`: what the month's free amount still covers (`fold.md`
    /// 5.1).
    fn take_free_first(&self, team: &mut Team, meter: &Meter) -> i128 {
        let applies = self.card.free_allowance_first
            && self.tier == Tier::Paid
            && self.month_is_open
            && self.quantity > 0;
        let Some(cap) = meter.free_cap.filter(|_| applies) else {
            return 0;
        };
        let used = team
            .month(self.month)
            .free_used
            .entry(meter.id.clone())
            .or_default();
        let free = self.quantity.min((cap - *used).max(0));
        *used += free;
        free
    }

    /// Moves the cumulative and pays from lots, then postpay, then not at all (`fold.md` 5.1).
    fn charge(&self, team: &mut Team, meter: &Meter, quantity: i128) -> Line {
        let clock = self.scene.clock;
        let era = team.era(self.time);
        let cumulative = team.cumulative(self.scene.book, &meter.id, era, self.card_index);
        let before = cumulative.cum;
        cumulative.cum += quantity;
        let charge =
            self.card.charged(&meter.id, cumulative.cum) - self.card.charged(&meter.id, before);
        cumulative.charges += charge;

        let prepaid = team.draw(clock, false, charge);
        let rest = charge - prepaid;
        if self.tier == Tier::Paid && team.postpay_usable(self.time) {
            return Line {
                usage: quantity,
                charge,
                prepaid,
                postpaid: rest,
                uncharged: 0,
            };
        }
        if !self.card.write_off {
            team.debt += rest;
        }
        Line {
            usage: quantity,
            charge,
            prepaid,
            postpaid: 0,
            uncharged: rest,
        }
    }

    /// A negative correction: moves the cumulative back and gives the refund to debt, what was
    /// postpaid, what was written off, and a new lot, in this order (`fold.md` 5.2).
    fn refund(&self, team: &mut Team, meter: &Meter) -> Line {
        let era = team.era(self.time);
        let cumulative = team.cumulative(self.scene.book, &meter.id, era, self.card_index);
        let before = cumulative.cum;
        cumulative.cum = (before + self.quantity).max(cumulative.base);
        let usage = cumulative.cum - before;
        let refund =
            self.card.charged(&meter.id, before) - self.card.charged(&meter.id, cumulative.cum);
        cumulative.charges -= refund;

        let booked = team.booked(self.month, &self.line_key(meter));
        let mut rest = refund;
        let to_debt = rest.min(team.debt);
        team.debt -= to_debt;
        rest -= to_debt;
        let to_postpaid = rest.min(booked.postpaid.max(0));
        rest -= to_postpaid;
        let to_written_off = if self.card.write_off {
            rest.min((booked.uncharged - to_debt).max(0))
        } else {
            0
        };
        rest -= to_written_off;
        if rest > 0 {
            self.add_refund_lot(team, rest);
        }
        Line {
            usage,
            charge: -refund,
            prepaid: -rest,
            postpaid: -to_postpaid,
            uncharged: -(to_debt + to_written_off),
        }
    }

    fn add_refund_lot(&self, team: &mut Team, size: i128) {
        let (book, clock) = (self.scene.book, self.scene.clock);
        let is_credit = self.tier == Tier::Legacy && clock < book.credits_end;
        let (kind, expires_at) = if is_credit {
            (
                LotKind::Credit,
                add_months(clock, book.credit_validity_months).min(book.credits_end),
            )
        } else {
            (
                LotKind::Token,
                add_months(clock, self.card.token_validity_months),
            )
        };
        let id = self.scene.event.id.clone();
        team.add_lot(clock, Lot::bought(id, kind, clock, expires_at, size));
    }

    fn line_key(&self, meter: &Meter) -> LineKey {
        (meter.id.clone(), self.card.id.clone())
    }

    /// Books to the month of the usage if it is open, else as an adjustment in the earliest open
    /// month.
    fn book(&self, team: &mut Team, meter: &Meter, parts: &Line) -> Month {
        if self.month_is_open {
            team.month(self.month)
                .lines
                .entry(self.line_key(meter))
                .or_default()
                .add(parts);
            return self.month;
        }
        let open = self.scene.book.earliest_open_month(self.scene.clock);
        let key = (self.month, self.line_key(meter));
        team.month(open)
            .adjustments
            .entry(key)
            .or_default()
            .add(parts);
        open
    }
}
