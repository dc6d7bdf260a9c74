//! Who may be connected: one rule for all listeners that take connections.
//!
//! There are so many at a time, and so many of one address. Where there is no room, the new one is let in and another one
//! is closed: of the address that has most, the one that has been silent for longest. So who takes many takes them from
//! himself, and a good client gets in beside any number of bad ones.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// What a connection takes by itself (measured: 6.7 KB, TLS 13.5 KB, in its handshake, too).
pub const CONNECTION: usize = 7 << 10;
pub const TLS: usize = 7 << 10;
/// Who keeps no more than this is never closed for memory.
const LITTLE: usize = 24 << 10;

/// The connections of a process.
pub struct Admission {
    most: usize,
    most_of_address: usize,
    /// What all connections may keep, bytes.
    memory: usize,
    began: Instant,
    state: Mutex<State>,
    kept: AtomicUsize,
    closed_for_memory: AtomicU64,
}

#[derive(Default)]
struct State {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
    /// Local senders share an address that says nothing.
    by_address: HashMap<Option<IpAddr>, usize>,
    /// What connections keep that are closed for it, and that have not ended yet.
    returning: usize,
}

struct Place {
    number: u64,
    sender: Option<IpAddr>,
    /// When it last sent something, in ms since the beginning.
    active: AtomicU64,
    kept: AtomicUsize,
    /// Of `State::returning`.
    returning: AtomicUsize,
    evicted: Notify,
}

impl Admission {
    /// So many connections at a time, so many of an address, and what all of them together may keep, bytes.
    pub fn new(most: usize, most_of_address: usize, memory: usize) -> Arc<Admission> {
        Arc::new(Admission {
            most: most.max(1),
            most_of_address: most_of_address.max(1),
            memory,
            began: Instant::now(),
            state: Mutex::default(),
            kept: AtomicUsize::new(0),
            closed_for_memory: AtomicU64::new(0),
        })
    }

    /// Connections that were closed because all together kept too much.
    pub fn closed_for_memory(&self) -> u64 {
        self.closed_for_memory.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Makes room for one more connection; says whether another one is closed for it.
    pub fn admit(self: &Arc<Admission>, sender: Option<IpAddr>) -> (Connection, bool) {
        let mut state = self.lock();
        let of_sender = state.by_address.get(&sender).copied().unwrap_or_default();
        let mut evicted = false;
        if sender.is_some() && of_sender >= self.most_of_address {
            evicted = state.evict(sender);
        } else if state.places.len() >= self.most {
            let most = state.by_address.iter().max_by_key(|(_, number)| **number).map(|(address, _)| *address);
            evicted = most.is_some_and(|address| state.evict(address));
        }
        state.next += 1;
        let (number, active) = (state.next, AtomicU64::new(self.now()));
        let (kept, returning) = Default::default();
        let place = Arc::new(Place { number, sender, active, kept, returning, evicted: Notify::new() });
        state.places.insert(number, place.clone());
        *state.by_address.entry(sender).or_default() += 1;
        let part = || Kept { admission: self.clone(), place: place.clone(), bytes: 0 };
        let connection = Connection { own: part(), message: part(), admission: self.clone(), place };
        // The lock is needed when there is too much.
        drop(state);
        (connection, evicted)
    }

    /// All keep too much: of the address that keeps most, the connection that keeps most is closed. Answers whether it is
    /// this one.
    fn make_room(&self, mine: &Place) -> bool {
        let mut state = self.lock();
        if self.kept.load(Ordering::Relaxed).saturating_sub(state.returning) <= self.memory {
            return false;
        }
        let mut by_address: HashMap<Option<IpAddr>, (usize, &Arc<Place>)> = HashMap::new();
        for place in state.places.values() {
            let kept = place.kept.load(Ordering::Relaxed);
            let (sum, most) = by_address.entry(place.sender).or_insert((0, place));
            *sum += kept;
            if (kept, most.number) > (most.kept.load(Ordering::Relaxed), place.number) {
                *most = place;
            }
        }
        let most = by_address.values().max_by_key(|(sum, place)| (*sum, u64::MAX - place.number));
        let Some(place) = most.map(|(_, place)| Arc::clone(place)) else { return false };
        let kept = place.kept.load(Ordering::Relaxed);
        if kept <= LITTLE {
            return false;
        }
        self.closed_for_memory.fetch_add(1, Ordering::Relaxed);
        place.returning.store(kept, Ordering::Relaxed);
        state.returning += kept;
        state.remove(&place);
        place.evicted.notify_one();
        place.number == mine.number
    }
}

impl State {
    /// Closes the connection of an address that has been silent for longest.
    fn evict(&mut self, address: Option<IpAddr>) -> bool {
        let of_address = self.places.values().filter(|place| place.sender == address);
        let silent = of_address.min_by_key(|place| (place.active.load(Ordering::Relaxed), place.number));
        let Some(place) = silent.cloned() else { return false };
        self.remove(&place);
        place.evicted.notify_one();
        true
    }

    fn remove(&mut self, place: &Place) {
        if self.places.remove(&place.number).is_none() {
            return;
        }
        if let Some(number) = self.by_address.get_mut(&place.sender) {
            *number -= 1;
            if *number == 0 {
                self.by_address.remove(&place.sender);
            }
        }
    }
}

/// A connection's part in the limits; given back when it ends.
pub struct Connection {
    admission: Arc<Admission>,
    place: Arc<Place>,
    /// What it takes by itself.
    own: Kept,
    message: Kept,
}

/// What is kept, of a message that isn't whole, say; given back when it is dropped.
pub struct Kept {
    admission: Arc<Admission>,
    place: Arc<Place>,
    bytes: usize,
}

impl Connection {
    /// It has sent something.
    pub fn touch(&self) {
        self.place.active.store(self.admission.now(), Ordering::Relaxed);
    }

    /// Waits until its place is needed for another one.
    pub async fn evicted(&self) {
        self.place.evicted.notified().await;
    }

    /// Says how much it takes by itself.
    pub fn takes(&mut self, bytes: usize) {
        self.own.keep(bytes);
    }

    /// Says how much of a message that isn't whole is kept; false when it is closed, since all connections together keep
    /// too much, and it keeps most.
    pub fn keep(&mut self, bytes: usize) -> bool {
        self.message.keep(bytes)
    }

    /// For a message of its own.
    pub fn part(&self) -> Kept {
        Kept { admission: self.admission.clone(), place: self.place.clone(), bytes: 0 }
    }
}

impl Kept {
    /// See [`Connection::keep`].
    pub fn keep(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let change = |sum: &AtomicUsize| {
            sum.fetch_add(bytes, Ordering::Relaxed);
            sum.fetch_sub(before, Ordering::Relaxed) - before
        };
        change(&self.place.kept);
        let all = change(&self.admission.kept);
        bytes <= before || all <= self.admission.memory || !self.admission.make_room(&self.place)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.returning -= self.place.returning.swap(0, Ordering::Relaxed);
        state.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(connection: &Connection) -> bool {
        !connection.admission.lock().places.contains_key(&connection.place.number)
    }

    #[test]
    fn who_takes_many_takes_them_from_himself() {
        let admission = Admission::new(6, 4, usize::MAX);
        let address = |last: u8| Some(IpAddr::from([127, 0, 0, last]));
        let good = admission.admit(address(1)).0;
        let mut bad: Vec<Connection> = (0..4).map(|_| admission.admit(address(2)).0).collect();
        // His fifth takes the place of the one that is silent for longest.
        std::thread::sleep(std::time::Duration::from_millis(5));
        bad[0].touch();
        bad.push(admission.admit(address(2)).0);
        assert_eq!(bad.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false, false, false]);
        bad.remove(1);
        // All places are taken: another address gets one of his.
        let other = admission.admit(address(3)).0;
        let (late, evicted) = admission.admit(address(4));
        assert!(evicted && !is_evicted(&good) && !is_evicted(&other) && !is_evicted(&late));
        assert_eq!(bad.iter().filter(|connection| is_evicted(connection)).count(), 1);
        drop(bad);
        drop((good, other, late));
        assert!(admission.lock().places.is_empty() && admission.lock().by_address.is_empty());
    }

    #[test]
    fn who_keeps_most_is_closed_for_memory() {
        let admission = Admission::new(100, 100, 1 << 20);
        let address = |last: u8| Some(IpAddr::from([127, 0, 0, last]));
        let mut good = admission.admit(address(1)).0;
        let mut bad: Vec<Connection> = (0..40).map(|_| admission.admit(address(2)).0).collect();
        for (number, connection) in bad.iter_mut().enumerate() {
            assert_eq!(connection.keep(26_000 + number), number < 40, "{number}");
        }
        // It would be too much: another one's is closed, once, though it has not ended yet.
        assert!(good.keep(30_000) && good.keep(30_500));
        assert_eq!(admission.closed_for_memory(), 1);
        assert!(is_evicted(&bad[39]) && !is_evicted(&good));
        bad.pop();
        assert_eq!(admission.lock().returning, 0);
        // Who keeps most himself is told so.
        assert!(!good.keep(2 << 20));
        drop((good, bad));
        assert_eq!((admission.kept.load(Ordering::Relaxed), admission.lock().returning), (0, 0));
    }
}
