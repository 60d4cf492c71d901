//! How long work takes by the clock when so many cores share it. Pure.
//!
//! How it can be wrong: a unit's own seconds were taken while others ran beside it, maybe on another machine; and a library that
//! only another library needs is waited for whole, although Cargo goes on as soon as its metadata is there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One thing to be done, and what has to be done before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) seconds: f64,
    /// Places in the same list.
    pub(super) needs: Vec<usize>,
}

/// Whatever waits for nothing starts as soon as a core is free, and of several what most others wait for.
pub(super) fn by_the_clock(work: &[Work], cores: usize) -> f64 {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); work.len()];
    for (at, work) in work.iter().enumerate() {
        work.needs.iter().for_each(|&needed| users[needed].push(at));
    }
    let mut missing: Vec<usize> = work.iter().map(|work| work.needs.len()).collect();
    let micros = |at: usize| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of one compilation")]
        let micros = (work[at].seconds.clamp(0.0, 1e6) * 1e6) as u64;
        micros
    };
    let urgency = |at: usize| (users[at].len(), micros(at), at);
    let mut ready: BinaryHeap<(usize, u64, usize)> =
        (0..work.len()).filter(|&at| missing[at] == 0).map(urgency).collect();
    let mut running: BinaryHeap<(Reverse<u64>, usize)> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < cores.max(1) {
            let Some((.., at)) = ready.pop() else { break };
            running.push((Reverse(now + micros(at)), at));
        }
        let Some((Reverse(end), at)) = running.pop() else { break };
        now = end;
        for &user in &users[at] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(urgency(user));
            }
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "microseconds of one build")]
    let seconds = now as f64 / 1e6;
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_nothing_is_done_side_by_side() {
        let work = |seconds: f64, needs: &[usize]| Work { seconds, needs: needs.to_vec() };
        // Two chains of 3 and of 5 seconds, and what waits for both.
        let all = [work(1.0, &[]), work(2.0, &[0]), work(5.0, &[]), work(1.5, &[1, 2])];
        let near = |cores: usize, seconds: f64| (by_the_clock(&all, cores) - seconds).abs() < 1e-3;
        assert!(near(1, 9.5) && near(2, 6.5) && near(8, 6.5) && near(0, 9.5));
        assert!(by_the_clock(&[], 4).abs() < 1e-9);
    }

    #[test]
    fn what_waits_for_itself_is_never_begun() {
        assert!(by_the_clock(&[Work { seconds: 1.0, needs: vec![0] }], 1).abs() < 1e-9);
    }
}
