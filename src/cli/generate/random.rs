//! The generator's own random numbers: SplitMix64, the same on every machine and for ever.
//!
//! SplitMix64 adds the golden ratio of 2^64 to its state and mixes the sum; the reference values
//! are in the tests. Only integers are drawn, never a float. Not for secrets.

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Less than `bound`, which is not 0. The bias of this multiplication is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(low.abs_diff(high) + 1) as i64
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A number that belongs to `index` under `seed`, without the numbers before it.
pub fn hash(seed: u64, index: u64) -> u64 {
    mix(mix(seed.wrapping_add(GOLDEN)) ^ index.wrapping_mul(GOLDEN))
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_reference_values() {
        let mut random = Random::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.next()).collect();
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, reference);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut random = Random::new(7);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[(random.between(-2, 2) + 2) as usize] = true;
            assert_eq!(random.below(1), 0);
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn hashes_of_neighbours_differ_in_about_half_of_their_bits() {
        let differing: u32 = (0..1000)
            .map(|index| (hash(1, index) ^ hash(1, index + 1)).count_ones())
            .sum();
        assert!((31_000..33_000).contains(&differing), "{differing}");
        assert_ne!(hash(1, 0), hash(2, 0));
    }
}
