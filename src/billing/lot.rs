//! Lots: tokens and credits bought or granted together, and the order in which they are drawn
//! (`fold.md` 3 and 6.1; A23, B17, B44).
//!
//! A lot lives here while something remains of it; spent and expired lots are gone. Debt is not
//! here: it belongs to the account.

use super::amount::{Overflow, Tokens};
use super::event::Purpose;
use super::time::Instant;

/// Order is draw order: credits before tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LotKind {
    Credit,
    Token,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Id of the event that brought it.
    pub id: Box<str>,
    pub kind: LotKind,
    pub purpose: Purpose,
    pub purchased_at: Instant,
    /// Unusable at and after this instant.
    pub expires_at: Instant,
    pub size: Tokens,
    /// Above zero, at most `size`.
    pub remaining: Tokens,
}

/// The live lots of a team in draw order: credit before token, earliest expiry, smallest size, log
/// order. Lots of both purposes lie here; only those of purpose `api` are drawn by usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots {
    in_draw_order: Vec<Lot>,
    /// Sum of `remaining` of the lots of purpose `api`.
    balance: Tokens,
    next_expiry: Option<Instant>,
}

impl Lots {
    /// From stored lots, in draw order.
    pub fn from_stored(in_draw_order: Vec<Lot>) -> Result<Lots, Overflow> {
        let mut lots = Lots {
            in_draw_order,
            ..Lots::default()
        };
        lots.balance = lots.remaining_of(Purpose::Api)?;
        lots.find_next_expiry();
        Ok(lots)
    }

    pub fn in_draw_order(&self) -> &[Lot] {
        &self.in_draw_order
    }

    /// What usage can draw. Expired lots are taken out by their timer, so every lot here is live.
    pub fn balance(&self) -> Tokens {
        self.balance
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Sum of what lots of `purpose` hold.
    pub fn remaining_of(&self, purpose: Purpose) -> Result<Tokens, Overflow> {
        let of_purpose = self
            .in_draw_order
            .iter()
            .filter(|lot| lot.purpose == purpose);
        of_purpose
            .map(|lot| lot.remaining)
            .try_fold(Tokens::ZERO, Tokens::plus)
    }

    /// Adds a lot of which something remains and that has not expired.
    pub fn add(&mut self, lot: Lot) -> Result<(), Overflow> {
        if lot.purpose == Purpose::Api {
            self.balance = self.balance.plus(lot.remaining)?;
        }
        let order = |lot: &Lot| (lot.kind, lot.expires_at, lot.size);
        let at = self
            .in_draw_order
            .partition_point(|other| order(other) <= order(&lot));
        self.next_expiry = Some(
            self.next_expiry
                .map_or(lot.expires_at, |next| next.min(lot.expires_at)),
        );
        self.in_draw_order.insert(at, lot);
        Ok(())
    }

    /// Draws at most `wanted` from lots of `purpose`, in draw order. Returns what was drawn.
    pub fn draw(&mut self, purpose: Purpose, wanted: Tokens) -> Result<Tokens, Overflow> {
        let mut missing = wanted;
        let mut spent = false;
        for lot in self
            .in_draw_order
            .iter_mut()
            .filter(|lot| lot.purpose == purpose)
        {
            if missing.is_zero() {
                break;
            }
            let part = missing.min(lot.remaining);
            lot.remaining = lot.remaining.minus(part)?;
            missing = missing.minus(part)?;
            spent |= lot.remaining.is_zero();
        }
        if spent {
            self.in_draw_order.retain(|lot| !lot.remaining.is_zero());
            self.find_next_expiry();
        }
        let drawn = wanted.minus(missing)?;
        if purpose == Purpose::Api {
            self.balance = self.balance.minus(drawn)?;
        }
        Ok(drawn)
    }

    /// Takes out every lot that expires at or before `at`. Returns what was left in those of
    /// purpose `api`.
    pub fn expire(&mut self, at: Instant) -> Result<Tokens, Overflow> {
        let mut expired = Tokens::ZERO;
        for lot in self
            .in_draw_order
            .iter()
            .filter(|lot| lot.expires_at <= at && lot.purpose == Purpose::Api)
        {
            expired = expired.plus(lot.remaining)?;
        }
        self.in_draw_order.retain(|lot| lot.expires_at > at);
        self.balance = self.balance.minus(expired)?;
        self.find_next_expiry();
        Ok(expired)
    }

    fn find_next_expiry(&mut self) {
        self.next_expiry = self.in_draw_order.iter().map(|lot| lot.expires_at).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(id: &str, kind: LotKind, expires_at: i64, size: u64) -> Lot {
        let size = Tokens::from_whole(size).unwrap_or_default();
        Lot {
            id: id.into(),
            kind,
            purpose: Purpose::Api,
            purchased_at: Instant::EPOCH,
            expires_at: Instant::from_millis(expires_at),
            size,
            remaining: size,
        }
    }

    fn ids(lots: &Lots) -> Vec<&str> {
        lots.in_draw_order()
            .iter()
            .map(|lot| lot.id.as_ref())
            .collect()
    }

    #[test]
    fn draw_order_is_kind_expiry_size_log_order() -> Result<(), Overflow> {
        let mut lots = Lots::default();
        for (id, kind, expires_at, size) in [
            ("late", LotKind::Token, 9, 1),
            ("large", LotKind::Token, 5, 500),
            ("small", LotKind::Token, 5, 100),
            ("small again", LotKind::Token, 5, 100),
            ("credit", LotKind::Credit, 7, 900),
        ] {
            lots.add(lot(id, kind, expires_at, size))?;
        }
        assert_eq!(
            ids(&lots),
            ["credit", "small", "small again", "large", "late"]
        );
        assert_eq!(lots.next_expiry(), Some(Instant::from_millis(5)));
        assert_eq!(
            lots.draw(Purpose::Api, Tokens::from_whole(1_000)?)?,
            Tokens::from_whole(1_000)?
        );
        assert_eq!(ids(&lots), ["small again", "large", "late"]);
        assert_eq!(lots.balance(), Tokens::from_whole(601)?);
        assert_eq!(
            lots.expire(Instant::from_millis(5))?,
            Tokens::from_whole(600)?
        );
        assert_eq!(
            lots.draw(Purpose::Api, Tokens::from_whole(2)?)?,
            Tokens::from_whole(1)?
        );
        assert_eq!((lots.balance(), lots.next_expiry()), (Tokens::ZERO, None));
        Ok(())
    }

    #[test]
    fn lots_of_another_purpose_are_no_balance() -> Result<(), Overflow> {
        let mut lots = Lots::default();
        lots.add(Lot {
            purpose: Purpose::Subscription,
            ..lot("kept", LotKind::Credit, 5, 100)
        })?;
        assert_eq!(lots.balance(), Tokens::ZERO);
        assert_eq!(
            lots.draw(Purpose::Api, Tokens::from_whole(1)?)?,
            Tokens::ZERO
        );
        assert_eq!(
            lots.draw(Purpose::Subscription, Tokens::from_whole(40)?)?,
            Tokens::from_whole(40)?
        );
        assert_eq!(
            lots.remaining_of(Purpose::Subscription)?,
            Tokens::from_whole(60)?
        );
        assert_eq!(lots.expire(Instant::from_millis(5))?, Tokens::ZERO);
        Ok(())
    }
}
