//! Frames that are used while they still arrive: their parts are fetched over several connections, ahead of those who decode them,
//! in bounded memory.
//!
//! Parts of as many frames as there are users come in turns, so that nobody waits for a part that has not been asked for. How it
//! can be wrong: with more frames in turns than users, one of them could fill the room that another one needs for ever.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// Bytes that one request asks for.
const PART: u64 = 4 << 20;

/// A part of an item: which one, and where it lies in it.
#[derive(Clone, Debug)]
struct Part {
    item: usize,
    number: usize,
    range: Range<u64>,
}

fn parts(size: u64) -> usize {
    usize::try_from(size.div_ceil(PART)).unwrap_or(usize::MAX)
}

fn range(size: u64, number: usize) -> Range<u64> {
    let from = number as u64 * PART;
    from..size.min(from + PART)
}

fn len(range: &Range<u64>) -> u64 {
    range.end - range.start
}

#[derive(Default)]
struct State {
    /// How many parts were begun, in their order.
    begun: usize,
    /// How many items have a user, in their order.
    taken: usize,
    /// Bytes that were begun and that no user has got.
    open: u64,
    here: HashMap<(usize, usize), Result<Vec<u8>>>,
    /// Items that nobody wants more of.
    left: HashSet<usize>,
    stopped: bool,
}

/// What all threads share.
struct Line {
    parts: Vec<Part>,
    window: u64,
    state: Mutex<State>,
    moved: Condvar,
}

impl Line {
    /// In turns among as many items as there are users.
    fn new(sizes: &[u64], users: usize, window: u64) -> Self {
        let part = |item: usize, number| Part { item, number, range: range(sizes[item], number) };
        let mut all: Vec<Part> =
            (0..sizes.len()).flat_map(|item| (0..parts(sizes[item])).map(move |number| part(item, number))).collect();
        all.sort_by_key(|part| (part.item / users, part.number, part.item));
        Self { parts: all, window, state: Mutex::default(), moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part that somebody wants, as soon as there is room for it.
    fn begin(&self) -> Option<&Part> {
        let mut state = self.lock();
        loop {
            let part = self.parts.get(state.begun).filter(|_| !state.stopped)?;
            let len = len(&part.range);
            if state.left.contains(&part.item) {
                state.begun += 1;
            } else if state.open == 0 || state.open + len <= self.window {
                state.begun += 1;
                state.open += len;
                return Some(part);
            } else {
                state = self.wait(state);
            }
        }
    }

    fn fetched(&self, part: &Part, bytes: Result<Vec<u8>>) {
        let mut state = self.lock();
        if state.left.contains(&part.item) {
            state.open -= len(&part.range);
        } else {
            state.here.insert((part.item, part.number), bytes);
        }
        self.moved.notify_all();
    }

    fn take(&self, items: usize) -> Option<usize> {
        let mut state = self.lock();
        state.taken += 1;
        Some(state.taken - 1).filter(|item| *item < items && !state.stopped)
    }
}

/// Whoever panics lets nobody wait for what it had begun.
struct Guard<'a>(&'a Line);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().stopped = true;
            self.0.moved.notify_all();
        }
    }
}

/// Lets users read every item, of that many bytes, while its parts are fetched. Not more than `window` bytes are fetched and not
/// used; a part that is larger than that goes alone.
pub(super) fn read<I: Sync>(
    items: &[I],
    size: impl Fn(&I) -> u64,
    window: u64,
    (fetchers, users): (NonZeroUsize, NonZeroUsize),
    fetch: impl Fn(&I, Range<u64>) -> Result<Vec<u8>> + Sync,
    use_it: impl Fn(&I, &mut Arriving<'_>) + Sync,
) {
    let sizes: Vec<u64> = items.iter().map(size).collect();
    let users = users.get().min(items.len());
    let line = Line::new(&sizes, users.max(1), window);
    thread::scope(|scope| {
        for _ in 0..fetchers.get().min(line.parts.len()) {
            scope.spawn(|| {
                let _guard = Guard(&line);
                while let Some(part) = line.begin() {
                    line.fetched(part, fetch(&items[part.item], part.range.clone()));
                }
            });
        }
        for _ in 0..users {
            scope.spawn(|| {
                let _guard = Guard(&line);
                while let Some(item) = line.take(items.len()) {
                    use_it(&items[item], &mut Arriving::new(&line, item, sizes[item]));
                }
            });
        }
    });
}

/// The bytes of an item, in order, as they come.
pub(super) struct Arriving<'a> {
    line: &'a Line,
    item: usize,
    size: u64,
    /// The number of the next part.
    next: usize,
    part: Vec<u8>,
    used: usize,
    hasher: Sha256,
    failed: Option<anyhow::Error>,
}

impl<'a> Arriving<'a> {
    fn new(line: &'a Line, item: usize, size: u64) -> Self {
        Self { line, item, size, next: 0, part: Vec::new(), used: 0, hasher: Sha256::new(), failed: None }
    }

    /// Waits for the rest of it, and gives the digest of all of it.
    pub(super) fn finish(&mut self) -> Result<Digest> {
        loop {
            let rest = self.fill_buf().map_or(0, <[u8]>::len);
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if rest == 0 {
                return Ok(Digest::finish(std::mem::take(&mut self.hasher)));
            }
            self.consume(rest);
        }
    }

    fn part(&mut self) -> Result<Vec<u8>> {
        let line = self.line;
        let mut state = line.lock();
        loop {
            if let Some(bytes) = state.here.remove(&(self.item, self.next)) {
                state.open -= len(&range(self.size, self.next));
                line.moved.notify_all();
                self.next += 1;
                return bytes;
            }
            if state.stopped {
                return Err(anyhow!("another thread failed"));
            }
            state = line.wait(state);
        }
    }
}

impl BufRead for Arriving<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.used == self.part.len() && self.next < parts(self.size) && self.failed.is_none() {
            match self.part() {
                Ok(part) => {
                    self.hasher.update(&part);
                    (self.part, self.used) = (part, 0);
                }
                Err(error) => self.failed = Some(error),
            }
        }
        match &self.failed {
            Some(_) => Err(io::Error::other("it did not arrive")),
            None => Ok(&self.part[self.used..]),
        }
    }

    fn consume(&mut self, len: usize) {
        self.used += len;
    }
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// What is still on its way is nobody's.
impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.left.insert(self.item);
        for number in self.next..parts(self.size) {
            if state.here.remove(&(self.item, number)).is_some() {
                state.open -= len(&range(self.size, number));
            }
        }
        drop(state);
        self.line.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn count(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    /// Every part has bytes of its own.
    fn of(item: u64, range: Range<u64>) -> Vec<u8> {
        let part = |number: u64| {
            let from = range.start.max(number * PART);
            let byte = (item * 31 + number).to_le_bytes()[0];
            vec![byte; usize::try_from(range.end.min((number + 1) * PART) - from).unwrap()]
        };
        (range.start / PART..range.end.div_ceil(PART)).flat_map(part).collect()
    }

    /// What each user does with an item, for items of `sizes`; a number counts the bytes that were fetched and never were too many.
    fn run(sizes: &[u64], users: usize, use_it: impl Fn(usize, &mut Arriving<'_>) + Sync) -> u64 {
        let items: Vec<(usize, u64)> = sizes.iter().copied().enumerate().collect();
        let fetched = AtomicU64::new(0);
        let fetch = |(item, _): &(usize, u64), range: Range<u64>| {
            fetched.fetch_add(len(&range), Ordering::SeqCst);
            Ok(of(*item as u64, range))
        };
        read(
            &items,
            |(_, size)| *size,
            3 * PART,
            (count(8), count(users)),
            fetch,
            |(item, _), from| use_it(*item, from),
        );
        fetched.into_inner()
    }

    #[test]
    fn every_item_is_read_whole_and_in_order_whatever_is_read_first() {
        let sizes = [1, 5 * PART + 3, 0, PART, 2 * PART, 9 * PART - 1, 17];
        let all: u64 = sizes.iter().sum();
        for users in [1, 2, 5] {
            let read = AtomicU64::new(0);
            let fetched = run(&sizes, users, |item, from| {
                let mut text = Vec::new();
                from.read_to_end(&mut text).unwrap();
                assert!(text == of(item as u64, 0..sizes[item]), "item {item}");
                assert_eq!(from.finish().unwrap(), Digest::of(&text));
                read.fetch_add(text.len() as u64, Ordering::SeqCst);
            });
            assert_eq!((read.into_inner(), fetched), (all, all));
        }
    }

    /// But for the part that each user has in hand.
    #[test]
    fn no_more_is_fetched_than_the_window_holds() {
        let items = [9 * PART, 9 * PART, 4 * PART, 5];
        let (begun, used) = (AtomicU64::new(0), AtomicU64::new(0));
        let fetch = |_: &u64, range: Range<u64>| {
            let ahead = begun.fetch_add(len(&range), Ordering::SeqCst) + len(&range) - used.load(Ordering::SeqCst);
            assert!(ahead <= (3 + 2) * PART, "{ahead}");
            Ok(of(0, range))
        };
        read(
            &items,
            |size| *size,
            3 * PART,
            (count(8), count(2)),
            fetch,
            |size, from| {
                let mut left = *size;
                while left > 0 {
                    let part = from.fill_buf().unwrap().len();
                    used.fetch_add(part as u64, Ordering::SeqCst);
                    from.consume(part);
                    left -= part as u64;
                }
            },
        );
        assert_eq!(begun.into_inner(), items.iter().sum::<u64>());
    }

    /// Whoever finishes early, or wants nothing, keeps nobody waiting.
    #[test]
    fn what_nobody_wants_any_more_gives_its_room_back() {
        let sizes = [20 * PART; 6];
        let fetched = run(&sizes, 2, |item, from| {
            if item % 2 == 0 {
                assert_eq!(from.fill_buf().unwrap().len() as u64, PART);
            } else {
                assert_eq!(from.finish().unwrap(), Digest::of(&of(item as u64, 0..sizes[item])));
            }
        });
        assert!(fetched < 6 * 20 * PART - 3 * 10 * PART, "{fetched}");
    }

    #[test]
    fn what_cannot_be_fetched_fails_its_item_alone() {
        let items = [0_u64, 1, 2];
        let fetch = |item: &u64, range: Range<u64>| {
            if *item == 1 && range.start > 0 { Err(anyhow!("no answer")) } else { Ok(of(*item, range)) }
        };
        let told = Mutex::new(Vec::new());
        read(
            &items,
            |_| 3 * PART,
            PART,
            (count(4), count(2)),
            fetch,
            |item, from| {
                let read = io::copy(from, &mut io::sink()).is_ok();
                told.lock().unwrap().push((*item, read, from.finish().map_err(|error| error.to_string())));
            },
        );
        let mut told = told.into_inner().unwrap();
        told.sort_by_key(|(item, _, _)| *item);
        assert_eq!(told[1], (1, false, Err("no answer".to_owned())));
        assert!(told[0].1 && told[2].1);
        assert_eq!(told[2].2, Ok(Digest::of(&of(2, 0..3 * PART))));
    }

    /// Everybody else ends, and nobody waits for ever.
    #[test]
    fn a_panic_is_passed_on() {
        let items = [0_u64, 1, 2, 3];
        let panics = |work: &(dyn Fn() + std::panic::RefUnwindSafe)| assert!(std::panic::catch_unwind(work).is_err());
        let bad = |item: u64| assert_ne!(item, 1, "as it should");
        let drain = |from: &mut Arriving<'_>| drop(from.finish());
        panics(&|| {
            let fetch = |item: &u64, range: Range<u64>| {
                bad(*item);
                Ok(of(*item, range))
            };
            read(&items, |_| 2 * PART, PART, (count(2), count(2)), fetch, |_, from| drain(from));
        });
        panics(&|| {
            let fetch = |item: &u64, range: Range<u64>| Ok(of(*item, range));
            read(
                &items,
                |_| 2 * PART,
                PART,
                (count(2), count(2)),
                fetch,
                |item, from| {
                    bad(*item);
                    drain(from);
                },
            );
        });
    }

    #[test]
    fn parts_of_several_items_come_in_turns() {
        let line = Line::new(&[2 * PART, PART + 1, 1, 0], 2, PART);
        let order: Vec<(usize, usize)> = line.parts.iter().map(|part| (part.item, part.number)).collect();
        assert_eq!(order, [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0)]);
        assert_eq!(line.parts[3].range, PART..PART + 1);
    }
}
