//! The consumer group of the twin: static members, generations, partitions that move cooperatively
//! and sessions that expire.

use std::collections::{BTreeMap, VecDeque};

use super::Dice;

/// What a member learns at its next poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Assign(Vec<u16>),
    Revoke(Vec<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Of(u16),
    /// Taken from the first, who has not given it up yet, for the second.
    Moving(u16, u16),
}

#[derive(Default)]
struct Member {
    id: u64,
    news: VecDeque<News>,
}

pub struct Group {
    pub generation: u32,
    members: BTreeMap<u16, Member>,
    owners: Vec<Owner>,
    ids: u64,
    /// The newest process of each instance: its predecessors are fenced.
    epochs: BTreeMap<u16, u64>,
}

impl Group {
    pub fn new(partitions: usize) -> Group {
        Group {
            generation: 0,
            members: BTreeMap::new(),
            owners: vec![Owner::Nobody; partitions],
            ids: 0,
            epochs: BTreeMap::new(),
        }
    }

    /// A new process of `instance`: (epoch, member id). Within its session a static member gets its
    /// partitions back, in the same generation.
    pub fn start(&mut self, instance: u16) -> (u64, u64) {
        let epoch = self.epochs.entry(instance).or_default();
        *epoch += 1;
        let epoch = *epoch;
        if !self.members.contains_key(&instance) {
            return (epoch, self.enter(instance));
        }
        for partition in 0..self.owners.len() as u16 {
            self.given_up(partition, instance);
        }
        self.ids += 1;
        let owned = self.owned(instance);
        let member = self.members.entry(instance).or_default();
        member.id = self.ids;
        member.news = VecDeque::from([News::Assign(owned)]);
        (epoch, self.ids)
    }

    /// A member without a session joins; partitions come with the next rebalance.
    pub fn enter(&mut self, instance: u16) -> u64 {
        self.ids += 1;
        self.generation += 1;
        let member = Member {
            id: self.ids,
            news: VecDeque::new(),
        };
        self.members.insert(instance, member);
        self.ids
    }

    pub fn is_newest(&self, instance: u16, epoch: u64) -> bool {
        self.epochs.get(&instance) == Some(&epoch)
    }

    pub fn is_member(&self, instance: u16, id: u64) -> bool {
        self.members
            .get(&instance)
            .is_some_and(|member| member.id == id)
    }

    pub fn owns(&self, instance: u16, partition: u16) -> bool {
        match self.owners[usize::from(partition)] {
            Owner::Of(owner) | Owner::Moving(owner, _) => owner == instance,
            Owner::Nobody => false,
        }
    }

    pub fn next_news(&mut self, instance: u16) -> Option<News> {
        self.members.get_mut(&instance)?.news.pop_front()
    }

    pub fn evict(&mut self, instance: u16) {
        if self.members.remove(&instance).is_none() {
            return;
        }
        self.generation += 1;
        for partition in 0..self.owners.len() as u16 {
            match self.owners[usize::from(partition)] {
                Owner::Of(owner) if owner == instance => {
                    self.owners[usize::from(partition)] = Owner::Nobody;
                }
                Owner::Moving(from, _) if from == instance => self.given_up(partition, instance),
                _ => {}
            }
        }
    }

    /// Partitions that are free or of a member may go to any member; others keep moving.
    pub fn rebalance(&mut self, dice: &mut Dice) {
        let members: Vec<u16> = self.members.keys().copied().collect();
        if members.is_empty() {
            return;
        }
        self.generation += 1;
        let mut revoked: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
        for partition in 0..self.owners.len() as u16 {
            let to = members[dice(members.len())];
            match self.owners[usize::from(partition)] {
                Owner::Nobody => self.give(partition, to),
                Owner::Of(from) if from != to => {
                    self.owners[usize::from(partition)] = Owner::Moving(from, to);
                    revoked.entry(from).or_default().push(partition);
                }
                _ => {}
            }
        }
        for (instance, partitions) in revoked {
            if let Some(member) = self.members.get_mut(&instance) {
                member.news.push_back(News::Revoke(partitions));
            }
        }
    }

    /// `instance` has closed the partition.
    pub fn given_up(&mut self, partition: u16, instance: u16) {
        if let Owner::Moving(from, to) = self.owners[usize::from(partition)]
            && from == instance
        {
            self.generation += 1;
            self.owners[usize::from(partition)] = Owner::Nobody;
            if self.members.contains_key(&to) {
                self.give(partition, to);
            }
        }
    }

    pub fn has_free(&self) -> bool {
        self.owners.contains(&Owner::Nobody)
    }

    fn give(&mut self, partition: u16, to: u16) {
        self.owners[usize::from(partition)] = Owner::Of(to);
        if let Some(member) = self.members.get_mut(&to) {
            member.news.push_back(News::Assign(vec![partition]));
        }
    }

    fn owned(&self, instance: u16) -> Vec<u16> {
        (0..self.owners.len() as u16)
            .filter(|partition| self.owners[usize::from(*partition)] == Owner::Of(instance))
            .collect()
    }
}
