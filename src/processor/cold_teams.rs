//! Teams that were let go of the working set but are kept in memory, encoded: a quarter of the
//! size, and a tenth of the cost of reading them from the store.

use hashbrown::HashTable;

/// A team as its cell holds it.
#[derive(Debug)]
pub struct ColdTeam {
    /// Name, then the cell's value.
    bytes: Box<[u8]>,
    name_len: u16,
    /// In how many parts its cell is stored.
    pub stored_parts: u16,
    /// It changed since the last commit.
    pub is_dirty: bool,
    /// What its stored cell adds to the state digest: low half, high half.
    stored_digest: [u64; 2],
}

#[derive(Debug, Default)]
pub struct ColdTeams {
    by_name: HashTable<ColdTeam>,
    bytes: usize,
    dirty: usize,
}

/// Memory of an entry beside its bytes: the table's share and the allocator's.
const ENTRY_BYTES: usize = size_of::<ColdTeam>() * 8 / 7 + 16;

impl ColdTeam {
    pub fn new(
        name: &str,
        value: &[u8],
        stored_digest: u128,
        stored_parts: u16,
        is_dirty: bool,
    ) -> ColdTeam {
        ColdTeam {
            bytes: [name.as_bytes(), value].concat().into(),
            // A subject has at most 128 characters.
            name_len: name.len() as u16,
            stored_parts,
            is_dirty,
            stored_digest: [stored_digest as u64, (stored_digest >> 64) as u64],
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.name_len)]
    }

    pub fn value(&self) -> &[u8] {
        &self.bytes[usize::from(self.name_len)..]
    }

    pub fn stored_digest(&self) -> u128 {
        u128::from(self.stored_digest[0]) | u128::from(self.stored_digest[1]) << 64
    }

    pub fn set_stored_digest(&mut self, digest: u128) {
        self.stored_digest = [digest as u64, (digest >> 64) as u64];
    }

    fn memory_bytes(&self) -> usize {
        ENTRY_BYTES + self.bytes.len()
    }
}

impl ColdTeams {
    pub fn insert(&mut self, hash: u64, team: ColdTeam, hash_of: impl Fn(&[u8]) -> u64) {
        self.bytes += team.memory_bytes();
        self.dirty += usize::from(team.is_dirty);
        self.by_name
            .insert_unique(hash, team, |team| hash_of(team.name()));
    }

    /// Takes a team out, to be changed.
    pub fn take(&mut self, hash: u64, name: &str) -> Option<ColdTeam> {
        let found = self
            .by_name
            .find_entry(hash, |team| team.name() == name.as_bytes())
            .ok()?;
        let (team, _) = found.remove();
        self.bytes -= team.memory_bytes();
        self.dirty -= usize::from(team.is_dirty);
        Some(team)
    }

    /// Hands out every team that changed since the last commit; they are clean afterwards.
    pub fn clean(&mut self, mut write: impl FnMut(&mut ColdTeam)) {
        let dirty = self.by_name.iter_mut().filter(|team| team.is_dirty);
        dirty.for_each(|team| {
            team.is_dirty = false;
            write(team);
        });
        self.dirty = 0;
    }

    /// Lets go of all of them, if more is held than `bytes_max`. All must be clean.
    pub fn evict(&mut self, bytes_max: usize) {
        if self.bytes > bytes_max {
            assert!(self.dirty == 0, "only committed teams are evicted");
            *self = ColdTeams::default();
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn dirty_len(&self) -> usize {
        self.dirty
    }
}
