//! Work on many threads in bounded memory: frames are packed ahead of their turn, and fetched ahead of whoever unpacks them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::Result;

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

    /// Does `work` for one item after the other and sends what comes of it, until there are no more or nobody listens.
    fn go_on<I, R>(&self, items: &[I], sizes: &[u64], work: &impl Fn(&I) -> R, to: &mpsc::Sender<(usize, R)>) {
        let _guard = Guard(self);
        while let Some(at) = self.take(sizes) {
            if to.send((at, work(&items[at]))).is_err() {
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

/// Does `work` for every item on that many threads, and gives what comes of it to `take`, in order. At most `ahead` items are
/// begun and not taken; where `take` fails, nothing more is begun.
pub(super) fn in_order<I: Sync, R: Send>(
    items: &[I],
    threads: NonZeroUsize,
    ahead: NonZeroUsize,
    work: impl Fn(&I) -> R + Sync,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let turns = Turns::new(ahead.get() as u64);
    let sizes = vec![1; items.len()];
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get().min(items.len()) {
            let (sender, turns, sizes, work) = (sender.clone(), &turns, &sizes, &work);
            scope.spawn(move || turns.go_on(items, sizes, work, &sender));
        }
        drop(sender);
        let _guard = Guard(&turns);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (at, result) in receiver {
            waiting.insert(at, result);
            while let Some(result) = waiting.remove(&next) {
                if let Err(error) = take(next, result) {
                    turns.stop();
                    return Err(error);
                }
                next += 1;
                turns.end(1);
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
            scope.spawn(move || turns.go_on(items, sizes, fetch, &sender));
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

    #[test]
    fn results_come_in_order_and_never_too_many_at_once() {
        let items: Vec<usize> = (0..200).collect();
        let begun = AtomicU64::new(0);
        let mut taken = 0_u64;
        let work = |item: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if item.is_multiple_of(7) {
                thread::yield_now();
            }
            item * 2
        };
        in_order(&items, count(4), count(6), work, |at, result| {
            assert_eq!(result, at * 2);
            assert!(begun.load(Ordering::SeqCst) - taken <= 6);
            taken += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, 200);
        in_order(&Vec::<usize>::new(), count(4), count(6), |item: &usize| *item, |_, _| Ok(())).unwrap();
    }

    #[test]
    fn where_taking_fails_nothing_more_is_begun() {
        let items: Vec<usize> = (0..1_000).collect();
        let begun = AtomicU64::new(0);
        let work = |_: &usize| begun.fetch_add(1, Ordering::SeqCst);
        let failed =
            in_order(&items, count(2), count(4), work, |at, _| if at == 3 { bail!("no room") } else { Ok(()) });
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
            let _ = in_order(&items, count(3), count(4), |item| bad(*item), |_, ()| Ok(()));
        });
        panics(&|| {
            let _ = in_order(
                &items,
                count(3),
                count(4),
                |item| *item,
                |_, item| {
                    bad(item);
                    Ok(())
                },
            );
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
