//! Which team makes the next call: a few are very busy, and the tail is long.
//!
//! Three draws in four follow Zipf's law with exponent 1 (the team of rank r has the weight 1/r),
//! one in four is even over all teams, so that the least busy are not silent. The law is drawn
//! exactly and with integers only: a band of ranks [2^k, 2^(k+1)) by a table of sums of
//! floor(2^32 / r), then a rank of the band, accepted with the probability 2^k / r. So the table
//! has an entry a band, not a team.

use super::random::Random;

pub struct Skew {
    teams: u64,
    /// Sum of the weights of the bands up to and including this one.
    weight_ends: Vec<u64>,
    multiplier: u64,
    offset: u64,
}

impl Skew {
    /// `teams` is at least 1.
    pub fn new(teams: u32, random: &mut Random) -> Skew {
        let teams = u64::from(teams);
        let mut weight_ends = Vec::new();
        let mut sum = 0;
        let mut band_start = 1;
        while band_start <= teams {
            let band = band_start..(band_start * 2).min(teams + 1);
            sum += band.map(|rank| (1 << 32) / rank).sum::<u64>();
            weight_ends.push(sum);
            band_start *= 2;
        }
        Skew {
            teams,
            weight_ends,
            multiplier: coprime_near_golden_section(teams),
            offset: random.below(teams),
        }
    }

    /// Number of a team, from 0.
    pub fn draw(&self, random: &mut Random) -> u32 {
        if random.one_in(4) {
            return random.below(self.teams) as u32;
        }
        self.team_of_rank(self.rank(random))
    }

    /// The team of a rank from 1. Ranks are scattered over the team numbers, one to one.
    pub fn team_of_rank(&self, rank: u64) -> u32 {
        ((rank * self.multiplier + self.offset) % self.teams) as u32
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let sum = self.weight_ends[self.weight_ends.len() - 1];
        let drawn = random.below(sum);
        let band = self.weight_ends.partition_point(|&end| end <= drawn);
        let start = 1 << band;
        let length = start.min(self.teams + 1 - start);
        loop {
            let rank = start + random.below(length);
            if random.below(rank) < start {
                return rank;
            }
        }
    }
}

/// Multiplying by it modulo `teams` is a permutation that puts neighbours far apart.
fn coprime_near_golden_section(teams: u64) -> u64 {
    let first = (teams * 618 / 1000).max(1);
    (first..)
        .find(|&candidate| greatest_common_divisor(candidate, teams) == 1)
        .expect("there is a prime above every number")
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls_by_rank(teams: u32, calls: usize) -> Vec<u64> {
        let mut random = Random::new(3);
        let skew = Skew::new(teams, &mut random);
        let mut by_team = vec![0; teams as usize];
        for _ in 0..calls {
            by_team[skew.draw(&mut random) as usize] += 1;
        }
        (1..=u64::from(teams))
            .map(|rank| by_team[skew.team_of_rank(rank) as usize])
            .collect()
    }

    #[test]
    fn every_team_has_one_rank() {
        for teams in [1, 2, 3, 10, 97, 1000, 1024] {
            let skew = Skew::new(teams, &mut Random::new(9));
            let mut numbers: Vec<u32> = (1..=u64::from(teams))
                .map(|rank| skew.team_of_rank(rank))
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..teams).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn few_teams_are_busy_and_the_law_is_kept() {
        let calls = calls_by_rank(10_000, 1_000_000);
        // 750,000 calls by 1/r, the sum of 1/r being 9.788; 250,000 evenly.
        for (rank, expected) in [(1, 76_650), (2, 38_340), (10, 7_688), (100, 791)] {
            let is = calls[rank - 1];
            assert!(
                is.abs_diff(expected) < expected / 8,
                "rank {rank}: {is}, not {expected}"
            );
        }
        let busiest: u64 = calls[..100].iter().sum();
        assert!(
            (380_000..420_000).contains(&busiest),
            "a hundredth of the teams: {busiest}"
        );
    }

    #[test]
    fn nearly_no_team_is_silent() {
        let silent = calls_by_rank(10_000, 100_000)
            .into_iter()
            .filter(|&calls| calls == 0)
            .count();
        assert!(silent < 700, "{silent} of 10,000");
    }

    #[test]
    fn one_team_makes_all_calls() {
        assert_eq!(calls_by_rank(1, 10), [10]);
    }
}
