//! The invariants of the fold, summed up from the world's state (`fold.md` 10).

use std::collections::BTreeSet;

use super::World;
use super::team::{Line, Lot, Team};

impl World {
    /// The first invariant that does not hold, by its number, or nothing. It may be asked after any
    /// line.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (team_id, team) in &self.teams {
            self.check_team(team)
                .map_err(|fault| format!("{team_id}: {fault}"))?;
        }
        self.check_derived()?;
        let dispositions: u64 = self.dispositions.values().sum();
        holds(dispositions == self.consumed, || {
            format!(
                "6: {} events have {dispositions} dispositions",
                self.consumed
            )
        })
    }

    fn check_team(&self, team: &Team) -> Result<(), String> {
        for (month, state) in &team.months {
            for (key, line) in &state.lines {
                holds(is_split(line), || {
                    format!("1: the line {key:?} of {} is {line:?}", month.text())
                })?;
            }
            for (key, line) in &state.adjustments {
                holds(is_split(line), || {
                    format!("1: the adjustment {key:?} in {} is {line:?}", month.text())
                })?;
            }
        }
        for lot in &team.lots {
            holds((0..=lot.size).contains(&lot.remaining), || {
                format!("1: {lot:?}")
            })?;
            holds(
                lot.size == lot.remaining + lot.drawn + lot.expired + lot.settled,
                || format!("2: {lot:?}"),
            )?;
        }
        let clock = self.clock.unwrap_or(i64::MIN);
        let is_live_trial = |lot: &&Lot| lot.trial && lot.expires_at > clock;
        let trials: i128 = team
            .lots
            .iter()
            .filter(is_live_trial)
            .map(|lot| lot.remaining)
            .sum();
        holds(team.debt >= 0, || format!("1: debt is {}", team.debt))?;
        holds(team.debt == 0 || team.balance(clock) == trials, || {
            format!(
                "1: debt {} beside a balance of {}",
                team.debt,
                team.balance(clock)
            )
        })?;
        for ((meter, era, card), cumulative) in &team.cumulatives {
            let card = &self.book.cards[*card];
            let charged =
                card.charged(meter, cumulative.cum) - card.charged(meter, cumulative.base);
            holds(charged == cumulative.charges, || {
                format!(
                    "3: {meter} under {} in era {era} is {cumulative:?}, charged {charged}",
                    card.id
                )
            })?;
        }
        Ok(())
    }

    /// An id holds what a derived event may happen once for, so ids must not repeat.
    fn check_derived(&self) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        for derived in &self.derived {
            holds(ids.insert(derived.id.as_str()), || {
                format!("5: {} is there twice", derived.id)
            })?;
            if let Some(episode) = derived.id.strip_prefix("switched-to-postpay/") {
                let depleted = format!("tokens-depleted/{episode}");
                holds(ids.contains(depleted.as_str()), || {
                    format!("5: {} without {depleted}", derived.id)
                })?;
            }
        }
        Ok(())
    }
}

fn is_split(line: &Line) -> bool {
    line.charge == line.prepaid + line.postpaid + line.uncharged
}

fn holds(condition: bool, fault: impl Fn() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(fault()) }
}
