//! What a team is like, for good: its kind of account, country, apps and work.
//!
//! All of it follows from the seed and the team's number, so nothing is kept for it.

use super::name::Name;
use super::random::hash;

#[derive(Clone, Copy, Debug)]
pub struct Team {
    pub number: u32,
    traits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Free,
    Prepay,
    Postpay,
    PrepayAndPostpay,
}

/// What most of a team's calls are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Viewing,
    Automation,
    Photos,
    Graphs,
}

/// (country, currency, gateway); the last country may not enrol in postpay.
type Place = (&'static str, &'static str, &'static str);

const PLACES: [Place; 16] = [
    ("US", "USD", "/gateway/us-1"),
    ("US", "USD", "/gateway/us-1"),
    ("US", "USD", "/gateway/us-2"),
    ("US", "USD", "/gateway/us-2"),
    ("CA", "USD", "/gateway/us-1"),
    ("JP", "JPY", "/gateway/ap-1"),
    ("JP", "JPY", "/gateway/ap-1"),
    ("JP", "JPY", "/gateway/ap-1"),
    ("AU", "USD", "/gateway/ap-1"),
    ("GB", "USD", "/gateway/eu-1"),
    ("DE", "USD", "/gateway/eu-1"),
    ("DE", "USD", "/gateway/eu-1"),
    ("FR", "USD", "/gateway/eu-1"),
    ("NL", "USD", "/gateway/eu-1"),
    ("SE", "USD", "/gateway/eu-1"),
    ("BR", "USD", "/gateway/us-2"),
];

impl Team {
    pub fn of(seed: u64, number: u32) -> Team {
        let traits = hash(seed, u64::from(number));
        Team { number, traits }
    }

    pub fn name(self) -> Name {
        Name::Team(self.number)
    }

    pub fn hub(self) -> Name {
        Name::Hub(self.number)
    }

    pub fn app(self, app: u8) -> Name {
        Name::App(self.number, app)
    }

    /// 60 % Free, 15 % prepay, 15 % postpay, 10 % both. Where postpay is not on offer, prepay.
    pub fn kind(self) -> Kind {
        match self.share_of_100(0) {
            0..60 => Kind::Free,
            60..75 => Kind::Prepay,
            _ if self.country() == "BR" => Kind::Prepay,
            75..90 => Kind::Postpay,
            _ => Kind::PrepayAndPostpay,
        }
    }

    pub fn focus(self) -> Focus {
        match self.share_of_100(10) {
            0..50 => Focus::Viewing,
            50..80 => Focus::Automation,
            80..90 => Focus::Photos,
            _ => Focus::Graphs,
        }
    }

    /// How many apps are migrated when the team joins; numbered from 1.
    pub fn apps(self) -> u8 {
        match self.share_of_100(20) {
            0..70 => 1,
            70..90 => 2,
            _ => 3,
        }
    }

    /// Whether it buys credits for desktop products too.
    pub fn uses_desktop(self) -> bool {
        self.share_of_100(30) < 8
    }

    pub fn country(self) -> &'static str {
        self.place().0
    }

    pub fn currency(self) -> &'static str {
        self.place().1
    }

    pub fn gateway(self) -> Name {
        Name::Fixed(self.place().2)
    }

    fn place(self) -> Place {
        PLACES[(self.traits >> 60) as usize]
    }

    /// A number below 100 out of ten bits of the traits.
    fn share_of_100(self, shift: u32) -> u64 {
        (self.traits >> shift) % 1024 * 100 / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_shares() {
        let count = |kind| {
            (0..100_000)
                .filter(|&number| Team::of(1, number).kind() == kind)
                .count()
        };
        for (kind, expected) in [
            (Kind::Free, 60_000),
            (Kind::Prepay, 16_500),
            (Kind::Postpay, 14_000),
            (Kind::PrepayAndPostpay, 9_400),
        ] {
            let is = count(kind);
            assert!(is.abs_diff(expected) < 1_000, "{kind:?}: {is}");
        }
    }

    #[test]
    fn countries_are_mixed() {
        let yen = (0..16_000)
            .filter(|&number| Team::of(1, number).currency() == "JPY")
            .count();
        assert!((2_700..3_300).contains(&yen), "{yen}");
    }
}
