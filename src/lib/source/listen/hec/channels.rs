//! Channels and their ack ids: handed out, and written but not yet asked for.
//!
//! So many channels are kept, and so many ids of all of them. Where there is no room, the address that has most channels
//! loses one, and the channel that has most ids its oldest: who takes many takes them from himself.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Channels that nobody has used for so long are forgotten, with their ids.
const IDLE: Duration = Duration::from_secs(600);
/// What a channel takes, and an id of a set.
const CHANNEL: usize = 256;
const ID: usize = 16;
/// Channels that are kept at most, and the part of the memory that may be theirs.
const MAX_CHANNELS: usize = 10_000;
const CHANNELS_OF_MEMORY: usize = 2;

pub type Name = [u8; 16];

/// The channels of a server.
pub struct Channels {
    channels: HashMap<Name, Channel>,
    by_owner: HashMap<IpAddr, usize>,
    max_channels: usize,
    /// Ids of all channels that are written and have not been asked for.
    ids: usize,
    max_ids: usize,
}

struct Channel {
    owner: IpAddr,
    next: u64,
    written: BTreeSet<u64>,
    /// Somebody has asked for its acks.
    asked: bool,
    used: Instant,
}

impl Channels {
    /// So many bytes may be taken.
    pub fn new(memory: usize) -> Channels {
        let max_channels = (memory / CHANNELS_OF_MEMORY / CHANNEL).clamp(1, MAX_CHANNELS);
        let max_ids = memory.saturating_sub(max_channels * CHANNEL) / ID;
        Channels { channels: HashMap::new(), by_owner: HashMap::new(), max_channels, ids: 0, max_ids }
    }

    /// The next id of a channel, which is its sender's from now on if there was none.
    pub fn new_id(&mut self, name: Name, sender: IpAddr, now: Instant) -> u64 {
        if !self.channels.contains_key(&name) {
            if self.channels.len() >= self.max_channels {
                self.make_room(now);
            }
            *self.by_owner.entry(sender).or_default() += 1;
        }
        let new = || Channel { owner: sender, next: 0, written: BTreeSet::new(), asked: false, used: now };
        let channel = self.channels.entry(name).or_insert_with(new);
        channel.used = now;
        channel.next += 1;
        channel.next - 1
    }

    /// The messages of an id have been written.
    pub fn written(&mut self, name: &Name, id: u64) {
        if let Some(channel) = self.channels.get_mut(name) {
            self.ids += channel.written.insert(id) as usize;
        }
        if self.ids > self.max_ids {
            let most = self.channels.values_mut().max_by_key(|channel| channel.written.len());
            if let Some(most) = most {
                // Many at a time: looking for the channel takes as long as for all.
                let middle = most.written.iter().nth(most.written.len() / 2).copied().unwrap_or_default();
                let kept = most.written.split_off(&middle);
                self.ids -= std::mem::replace(&mut most.written, kept).len();
            }
        }
    }

    /// Which of the ids have been written. Each is told once: then it is forgotten.
    pub fn take(&mut self, name: &Name, ids: &[u64], now: Instant) -> Vec<bool> {
        let Some(channel) = self.channels.get_mut(name) else { return vec![false; ids.len()] };
        channel.used = now;
        channel.asked = true;
        let done: Vec<bool> = ids.iter().map(|id| channel.written.remove(id)).collect();
        self.ids -= done.iter().filter(|done| **done).count();
        done
    }

    /// Forgets channels that are idle, or one of the address that has most: one that nobody has asked of, the one that has
    /// not been used for longest.
    fn make_room(&mut self, now: Instant) {
        let idle = self.channels.iter().filter(|(_, channel)| now.duration_since(channel.used) >= IDLE);
        let mut gone: Vec<Name> = idle.map(|(name, _)| *name).collect();
        if gone.is_empty() {
            let most = self.by_owner.iter().max_by_key(|(_, number)| **number).map(|(owner, _)| *owner);
            let of_most = self.channels.iter().filter(|(_, channel)| Some(channel.owner) == most);
            gone.extend(of_most.min_by_key(|(_, channel)| (channel.asked, channel.used)).map(|(name, _)| *name));
        }
        for channel in gone.iter().filter_map(|name| self.channels.remove(name)) {
            self.ids -= channel.written.len();
            if let Some(number) = self.by_owner.get_mut(&channel.owner) {
                *number -= 1;
                if *number == 0 {
                    self.by_owner.remove(&channel.owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u128) -> Name {
        number.to_be_bytes()
    }

    #[test]
    fn who_opens_many_channels_loses_his_own() {
        let mut channels = Channels::new(1 << 20);
        let (good, bad, now) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into(), Instant::now());
        let id = channels.new_id(name(0), good, now);
        for number in 1..20_000 {
            let id = channels.new_id(name(number), bad, now);
            channels.written(&name(number), id);
        }
        assert_eq!(channels.channels.len(), channels.max_channels);
        channels.written(&name(0), id);
        assert_eq!(channels.take(&name(0), &[id, id, 7], now), [true, false, false]);
        // Of one address, too: the channels of who asks for acks stay.
        for number in 1..20_000 {
            channels.new_id(name(1 << 64 | number), good, now);
        }
        assert_eq!(channels.new_id(name(0), good, now), 1);
        assert_eq!(channels.by_owner.values().sum::<usize>(), channels.channels.len());
        // Those that nobody uses go first.
        channels.new_id(name(1 << 80), good, now + IDLE);
        assert_eq!((channels.channels.len(), channels.by_owner.len()), (1, 1));
    }

    #[test]
    fn who_leaves_many_ids_loses_his_oldest() {
        let mut channels = Channels::new(1 << 20);
        let (sender, now) = ([127, 0, 0, 1].into(), Instant::now());
        let id = channels.new_id(name(1), sender, now);
        channels.written(&name(1), id);
        for _ in 0..200_000 {
            let id = channels.new_id(name(2), sender, now);
            channels.written(&name(2), id);
        }
        assert!(channels.ids <= channels.max_ids && channels.ids > channels.max_ids / 3, "{}", channels.ids);
        assert_eq!(channels.take(&name(1), &[id], now), [true]);
        assert_eq!(channels.take(&name(2), &[0, 199_999], now), [false, true]);
        let left: usize = channels.channels.values().map(|channel| channel.written.len()).sum();
        assert_eq!(left, channels.ids);
    }
}
