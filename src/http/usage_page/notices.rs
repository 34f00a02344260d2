//! What a team has to know before anything else: what stops its calls or soon will, and what helps.
//!
//! A notice follows [`access`](crate::billing::access): where it would refuse calls, one says so.

use std::fmt::Write;

use crate::billing::funding::Funding;
use crate::billing::tier::Tier;

use super::super::html::{grouped, time};
use super::super::teams::Team;
use super::lines::Unit;

pub fn write_notices(team: &Team, page: &mut String) {
    let (account, clock) = (&team.account, team.context.clock);
    let mut notice = |text: String| {
        let _ = writeln!(page, "<p class=\"notice\" role=\"status\">{text}</p>");
    };
    let tier = account.tier_at(team.context.book, clock);
    if let Some(text) = of_access(team, tier) {
        notice(text);
    }
    if account.funding == Funding::Suspended {
        notice(of_suspension(team, tier));
    }
    let month = account.month(clock.month());
    if tier == Tier::Free && month.is_some_and(|month| !month.capped.is_empty()) {
        notice("A monthly cap was reached: what it covers stops until the month is over.".into());
    }
    if let Some(at) = account.tiers.pending_downgrade {
        notice(format!(
            "Access changes to Free at {}. Tokens are kept.",
            time(at)
        ));
    }
}

/// A team without an offering or without apps in its hub (B7, B8, B33).
fn of_access(team: &Team, tier: Tier) -> Option<String> {
    let (account, clock) = (&team.account, team.context.clock);
    let has_apps = account.apps.iter().any(|app| app.migrated_at <= clock);
    let (what, remedy) = match tier {
        Tier::Unenrolled => (
            "This team is not enrolled.",
            "Enrol it, create its developer hub and migrate its apps into it",
        ),
        Tier::Free | Tier::Paid if account.hub.is_none() && !has_apps => (
            "This team has no developer hub.",
            "Create one and migrate the team's apps into it",
        ),
        Tier::Free | Tier::Paid if !has_apps => (
            "No app was migrated into the developer hub of this team.",
            "Migrate its apps",
        ),
        _ => return None,
    };
    let deadline = team.context.book.enrolment_deadline;
    Some(match clock < deadline {
        true => format!(
            "{what} {remedy} by {}: without it calls stop then.",
            time(deadline)
        ),
        false => format!("{what} Its calls are refused. {remedy} to go on."),
    })
}

fn of_suspension(team: &Team, tier: Tier) -> String {
    let (account, clock) = (&team.account, team.context.clock);
    let unit = Unit::of_tier(tier).plural;
    let postpay = match account.postpay.contains(clock) {
        true => "postpay waits for good standing",
        false => "postpay is not in use",
    };
    let remedy = match account.debt.is_positive() {
        true => format!("Buy more {unit} than the {} owed", grouped(account.debt)),
        false => format!("Buy {unit}"),
    };
    format!(
        "Calls of rated APIs are suspended: there are no {unit} left and {postpay}. {remedy} to go on."
    )
}
