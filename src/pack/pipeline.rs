//! Work on many threads in bounded memory: frames are packed ahead of their turn, and fetched ahead of whoever unpacks them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// Bytes that are handed over together.
const PIECE: usize = 1 << 20;
/// Messages that nobody has looked at yet.
const UNDER_WAY: usize = 4;

/// As many as there are cores.
pub(super) fn threads() -> NonZeroUsize {
    NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN)
}

/// Which item is next, and how much may be begun.
struct Turn {
    next: usize,
    /// What was begun and not ended.
    open: u64,
    stopped: bool,
}

struct Turns {
    turn: Mutex<Turn>,
    moved: Condvar,
    limit: u64,
}

impl Turns {
    fn new(limit: u64) -> Self {
        Self { turn: Mutex::new(Turn { next: 0, open: 0, stopped: false }), moved: Condvar::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, as soon as there is room for it; one that is larger than all the room goes alone.
    fn take(&self, sizes: &[u64]) -> Option<usize> {
        let mut turn = self.lock();
        loop {
            let at = turn.next;
            let size = *sizes.get(at).filter(|_| !turn.stopped)?;
            if turn.open == 0 || turn.open + size <= self.limit {
                turn.next += 1;
                turn.open += size;
                return Some(at);
            }
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, size: u64) {
        self.lock().open -= size;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// Does `work` for one item after the other, until there are no more or it says that nobody listens.
    fn go_on<I>(&self, items: &[I], sizes: &[u64], work: impl Fn(usize, &I) -> bool) {
        let _guard = Guard(self);
        while let Some(at) = self.take(sizes) {
            if !work(at, &items[at]) {
                break;
            }
        }
    }
}

/// Whoever panics lets nobody wait for what it had begun.
struct Guard<'a>(&'a Turns);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

/// What somebody wrote who works on an item, or what came of it.
enum Message<R> {
    Bytes(Vec<u8>),
    Done(R),
}

/// Sends what is written on its way, in pieces that are worth it.
struct Flow<'a, R> {
    at: usize,
    to: &'a SyncSender<(usize, Message<R>)>,
    piece: Vec<u8>,
}

impl<R> Flow<'_, R> {
    /// Whether somebody listens.
    fn end(mut self, result: R) -> bool {
        self.flush().is_ok() && self.to.send((self.at, Message::Done(result))).is_ok()
    }
}

impl<R> Write for Flow<'_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        let nobody = |_| io::Error::other("nobody takes it any more");
        if piece.is_empty() { Ok(()) } else { self.to.send((self.at, Message::Bytes(piece))).map_err(nobody) }
    }
}

/// Does `work` for every item on that many threads. What it writes goes to `out`, and what comes of it to `take`, in the order of
/// the items: at once where it is its turn. At most `ahead` items are begun and not taken; where `out` or `take` fails, nothing
/// more is begun.
pub(super) fn in_order<I: Sync, R: Send>(
    items: &[I],
    (threads, ahead): (NonZeroUsize, NonZeroUsize),
    work: impl Fn(&I, &mut dyn Write) -> R + Sync,
    out: &mut dyn Write,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let turns = Turns::new(ahead.get() as u64);
    let sizes = vec![1; items.len()];
    let (sender, receiver) = mpsc::sync_channel(UNDER_WAY);
    thread::scope(|scope| {
        for _ in 0..threads.get().min(items.len()) {
            let (sender, turns, sizes, work) = (sender.clone(), &turns, &sizes, &work);
            scope.spawn(move || {
                turns.go_on(items, sizes, |at, item| {
                    let mut flow = Flow { at, to: &sender, piece: Vec::new() };
                    let result = work(item, &mut flow);
                    flow.end(result)
                });
            });
        }
        drop(sender);
        let _guard = Guard(&turns);
        let mut waiting: BTreeMap<usize, Vec<Message<R>>> = BTreeMap::new();
        let mut next = 0;
        for (at, message) in receiver {
            waiting.entry(at).or_default().push(message);
            while let Some(messages) = waiting.remove(&next) {
                for message in messages {
                    let taken = match message {
                        Message::Bytes(bytes) => out.write_all(&bytes).context("cannot write the pack"),
                        Message::Done(result) => {
                            next += 1;
                            take(next - 1, result).inspect(|()| turns.end(1))
                        }
                    };
                    if let Err(error) = taken {
                        turns.stop();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    })
}

/// Fetches every item on some threads while others use what came, as it comes. Not more than `window` bytes are fetched and not
/// used.
pub(super) fn ahead<I: Sync, F: Send>(
    items: &[I],
    size: impl Fn(&I) -> u64,
    window: u64,
    (fetchers, users): (NonZeroUsize, NonZeroUsize),
    fetch: impl Fn(&I) -> F + Sync,
    use_it: impl Fn(&I, F) + Sync,
) {
    let turns = Turns::new(window);
    let sizes: Vec<u64> = items.iter().map(size).collect();
    let (sender, receiver) = mpsc::channel::<(usize, F)>();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..fetchers.get().min(items.len()) {
            let (sender, turns, sizes, fetch) = (sender.clone(), &turns, &sizes, &fetch);
            scope.spawn(move || turns.go_on(items, sizes, |at, item| sender.send((at, fetch(item))).is_ok()));
        }
        drop(sender);
        for _ in 0..users.get().min(items.len()) {
            scope.spawn(|| {
                let _guard = Guard(&turns);
                loop {
                    let came = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((at, fetched)) = came else { break };
                    use_it(&items[at], fetched);
                    turns.end(sizes[at]);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use anyhow::bail;

    use super::*;

    fn count(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    /// Some less, and some more than a piece.
    fn written(item: usize) -> Vec<u8> {
        vec![item.to_le_bytes()[0]; if item.is_multiple_of(9) { PIECE + item } else { item }]
    }

    /// Nobody waits for the end of an item whose turn it is.
    #[test]
    fn what_is_written_in_its_turn_is_passed_on_at_once() {
        struct Told(mpsc::Sender<usize>);
        impl Write for Told {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.len()).unwrap();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (tell, told) = mpsc::channel();
        let told = Mutex::new(told);
        let work = |(): &(), out: &mut dyn Write| {
            out.write_all(&vec![0; PIECE]).unwrap();
            told.lock().unwrap().recv_timeout(std::time::Duration::from_secs(60)).unwrap()
        };
        let taken = |_, passed_on| {
            assert_eq!(passed_on, PIECE);
            Ok(())
        };
        in_order(&[(), ()], (count(1), count(1)), work, &mut Told(tell), taken).unwrap();
    }

    #[test]
    fn where_nothing_can_be_written_nothing_more_is_begun() {
        let begun = AtomicU64::new(0);
        let work = |_: &usize, out: &mut dyn Write| {
            begun.fetch_add(1, Ordering::SeqCst);
            // Nobody takes it any more, sooner or later.
            (0..100).try_for_each(|_| out.write_all(&vec![1; PIECE])).is_ok()
        };
        let items: Vec<usize> = (0..1_000).collect();
        let mut room = vec![0; PIECE];
        let failed = in_order(&items, (count(2), count(4)), work, &mut room.as_mut_slice(), |_, _: bool| Ok(()));
        assert!(failed.is_err());
        assert!(begun.load(Ordering::SeqCst) <= 4);
    }

    #[test]
    fn results_come_in_order_and_never_too_many_at_once() {
        let items: Vec<usize> = (0..200).collect();
        let begun = AtomicU64::new(0);
        let mut taken = 0_u64;
        let work = |item: &usize, out: &mut dyn Write| {
            begun.fetch_add(1, Ordering::SeqCst);
            for _ in 0..item % 4 {
                out.write_all(&written(*item)).unwrap();
                thread::yield_now();
            }
            item * 2
        };
        let mut out = Vec::new();
        in_order(&items, (count(4), count(6)), work, &mut out, |at, result| {
            assert_eq!(result, at * 2);
            assert!(begun.load(Ordering::SeqCst) - taken <= 6);
            taken += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, 200);
        let expected: Vec<u8> = items.iter().flat_map(|item| written(*item).repeat(item % 4)).collect();
        assert!(out == expected);
        let none = |item: &usize, _: &mut dyn Write| *item;
        in_order(&Vec::<usize>::new(), (count(4), count(6)), none, &mut io::sink(), |_, _| Ok(())).unwrap();
    }

    #[test]
    fn where_taking_fails_nothing_more_is_begun() {
        let items: Vec<usize> = (0..1_000).collect();
        let begun = AtomicU64::new(0);
        let work = |_: &usize, _: &mut dyn Write| begun.fetch_add(1, Ordering::SeqCst);
        let take = |at, _: u64| if at == 3 { bail!("no room") } else { Ok(()) };
        let failed = in_order(&items, (count(2), count(4)), work, &mut io::sink(), take);
        assert_eq!(failed.unwrap_err().to_string(), "no room");
        assert!(begun.load(Ordering::SeqCst) <= 3 + 4 + 2);
    }

    /// Everybody else ends, and nobody waits for ever.
    #[test]
    fn a_panic_is_passed_on() {
        let items: Vec<usize> = (0..100).collect();
        let bad = |item: usize| assert_ne!(item, 5, "as it should");
        let panics = |work: &(dyn Fn() + std::panic::RefUnwindSafe)| assert!(std::panic::catch_unwind(work).is_err());
        panics(&|| {
            let _ = in_order(&items, (count(3), count(4)), |item, _| bad(*item), &mut io::sink(), |_, ()| Ok(()));
        });
        panics(&|| {
            let take = |_, item| {
                bad(item);
                Ok(())
            };
            let _ = in_order(&items, (count(3), count(4)), |item, _| *item, &mut io::sink(), take);
        });
        panics(&|| ahead(&items, |_| 1, 2, (count(4), count(2)), |item| bad(*item), |_, ()| {}));
        panics(&|| ahead(&items, |_| 1, 2, (count(4), count(2)), |item| *item, |_, item| bad(item)));
    }

    #[test]
    fn everything_is_fetched_and_used_once_and_never_more_than_the_window() {
        // The last one is larger than all the room.
        let items: Vec<u64> = (1..60).chain([500]).collect();
        let (open, most, used) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let fetch = |item: &u64| {
            most.fetch_max(open.fetch_add(*item, Ordering::SeqCst) + item, Ordering::SeqCst);
            *item
        };
        let use_it = |item: &u64, fetched: u64| {
            assert_eq!(*item, fetched);
            used.fetch_add(fetched, Ordering::SeqCst);
            open.fetch_sub(*item, Ordering::SeqCst);
        };
        ahead(&items, |item| *item, 100, (count(8), count(2)), fetch, use_it);
        assert_eq!(used.load(Ordering::SeqCst), items.iter().sum::<u64>());
        assert_eq!(most.load(Ordering::SeqCst), 500);
        ahead(&[1_u64; 9], |item| *item, 3, (count(8), count(1)), |item| *item, |_, _| {});
    }
}
