//! A blocked Bloom filter over id hashes: one cache line a look-up, no false negative.
//!
//! It grows by generations, each larger than all before it, so that what it holds need not be known beforehand.
//! Ids cannot be taken out; those of ended buckets cost a few more false positives until the
//! filter is built anew.

/// 512 bits: one cache line.
type Block = [u64; 8];

/// 16 bits an id and 8 probes: about one false positive in 1,000 when a generation is full.
const IDS_PER_BLOCK: usize = 32;
const FIRST_GENERATION_BLOCKS: usize = 1 << 10;
/// Each generation is so many times larger, as a power of two: few of them are to be looked at, and
/// the filter takes 2 to 8 bytes an id.
const GROWTH_LOG: usize = 2;

#[derive(Debug, Default)]
pub struct Filter {
    generations: Vec<Generation>,
}

#[derive(Debug)]
struct Generation {
    /// Length is a power of two.
    blocks: Vec<Block>,
    ids: usize,
}

impl Filter {
    /// `id` must be uniformly distributed, as a cryptographic hash is.
    pub fn insert(&mut self, id: u128) {
        if self.generations.last().is_none_or(Generation::is_full) {
            let blocks = FIRST_GENERATION_BLOCKS << (GROWTH_LOG * self.generations.len());
            self.generations.push(Generation {
                blocks: vec![[0; 8]; blocks],
                ids: 0,
            });
        }
        if let Some(generation) = self.generations.last_mut() {
            let (index, bits) = generation.place(id);
            generation.ids += 1;
            let block = &mut generation.blocks[index];
            for (word, bit) in block.iter_mut().zip(bits) {
                *word |= bit;
            }
        }
    }

    /// False: the id was never inserted. True: it probably was.
    pub fn may_contain(&self, id: u128) -> bool {
        self.generations.iter().rev().any(|generation| {
            let (index, bits) = generation.place(id);
            generation.blocks[index]
                .iter()
                .zip(bits)
                .all(|(word, bit)| word & bit != 0)
        })
    }

    pub fn bytes(&self) -> usize {
        self.generations
            .iter()
            .map(|generation| size_of_val(generation.blocks.as_slice()))
            .sum()
    }
}

impl Generation {
    fn is_full(&self) -> bool {
        self.ids >= self.blocks.len() * IDS_PER_BLOCK
    }

    /// The block of an id, and one bit for each of the block's words: split-block addressing.
    fn place(&self, id: u128) -> (usize, [u64; 8]) {
        let index = (id >> 64) as usize & (self.blocks.len() - 1);
        let low = id as u64;
        (
            index,
            std::array::from_fn(|word| 1 << ((low >> (word * 6)) & 63)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> u128 {
        let hash = blake3::hash(&number.to_le_bytes());
        let (first, _) = hash
            .as_bytes()
            .split_first_chunk::<16>()
            .unwrap_or((&[0; 16], &[]));
        u128::from_le_bytes(*first)
    }

    #[test]
    fn holds_every_id_and_few_others() {
        let mut filter = Filter::default();
        let count = 200_000;
        (0..count).for_each(|number| filter.insert(id(number)));
        assert!((0..count).all(|number| filter.may_contain(id(number))));
        let false_positives = (count..2 * count)
            .filter(|number| filter.may_contain(id(*number)))
            .count();
        assert!(false_positives < 800, "{false_positives} of {count}");
        assert!(
            filter.bytes() < 8 * count as usize,
            "{} bytes",
            filter.bytes()
        );
    }
}
