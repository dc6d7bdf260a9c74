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

/// Messages of all connections that are not whole may take so much; beyond it, connections are closed whose own takes
/// more than a little.
const PENDING: usize = 48 << 20;
const LITTLE: usize = 8 << 10;

/// The connections of a process.
pub struct Admission {
    most: usize,
    most_of_address: usize,
    began: Instant,
    state: Mutex<State>,
    pending: AtomicUsize,
}

#[derive(Default)]
struct State {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
    /// Local senders share an address that says nothing.
    by_address: HashMap<Option<IpAddr>, usize>,
}

struct Place {
    number: u64,
    sender: Option<IpAddr>,
    /// When it last sent something, in ms since the beginning.
    active: AtomicU64,
    evicted: Notify,
}

impl Admission {
    pub fn new(most: usize, most_of_address: usize) -> Arc<Admission> {
        Arc::new(Admission {
            most: most.max(1),
            most_of_address: most_of_address.max(1),
            began: Instant::now(),
            state: Mutex::default(),
            pending: AtomicUsize::new(0),
        })
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
        let place = Arc::new(Place { number, sender, active, evicted: Notify::new() });
        state.places.insert(number, place.clone());
        *state.by_address.entry(sender).or_default() += 1;
        let kept = Kept { admission: self.clone(), pending: 0 };
        (Connection { admission: self.clone(), place, kept }, evicted)
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
    kept: Kept,
}

/// What is kept of a message that isn't whole; given back when it is dropped.
pub struct Kept {
    admission: Arc<Admission>,
    pending: usize,
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

    /// Says how much of a message that isn't whole is kept; false when all connections together keep too much.
    pub fn keep(&mut self, pending: usize) -> bool {
        self.kept.keep(pending)
    }

    /// For a message of its own.
    pub fn part(&self) -> Kept {
        Kept { admission: self.admission.clone(), pending: 0 }
    }
}

impl Kept {
    /// See [`Connection::keep`].
    pub fn keep(&mut self, pending: usize) -> bool {
        let all = &self.admission.pending;
        let before = self.pending;
        self.pending = pending;
        all.fetch_add(pending, Ordering::Relaxed);
        let now = all.fetch_sub(before, Ordering::Relaxed) - before;
        now <= PENDING || pending <= LITTLE
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.admission.lock().remove(&self.place);
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
        let admission = Admission::new(6, 4);
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
}
