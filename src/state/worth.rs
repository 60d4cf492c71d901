//! What to keep where not all can be: the units that are dearest to compile for their size, each with what it was built from. Pure.
//!
//! How it can be wrong: the seconds are those of one machine, once. A wrong order costs time and never truth.

use std::collections::BTreeSet;

/// Bytes by place: by disk, where there are several.
pub type Sizes = Vec<u64>;

/// What a unit takes, and what it is worth.
#[derive(Clone, Debug)]
pub struct Cost<'a> {
    pub sizes: Sizes,
    pub seconds: f64,
    /// What it was built from, by index.
    pub deps: &'a [usize],
}

/// Takes the room if it is there.
pub fn take(room: &mut Sizes, sizes: &Sizes) -> bool {
    let fits = room.iter().zip(sizes).all(|(room, size)| size <= room);
    if fits {
        room.iter_mut().zip(sizes).for_each(|(room, size)| *room -= size);
    }
    fits
}

/// The units that come: the dearest for their size first, and none without what it was built from, which would only be thrown away.
pub fn choose(costs: &[Cost<'_>], mut room: Sizes) -> BTreeSet<usize> {
    #[allow(clippy::cast_precision_loss, reason = "only an order")]
    let value = |cost: &Cost<'_>| cost.seconds / (1 + cost.sizes.iter().sum::<u64>()) as f64;
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|a, b| value(&costs[*b]).total_cmp(&value(&costs[*a])));
    let mut kept = BTreeSet::new();
    for unit in order {
        let mut with = BTreeSet::new();
        let mut open = vec![unit];
        while let Some(next) = open.pop() {
            if let Some(cost) = costs.get(next).filter(|_| !kept.contains(&next))
                && with.insert(next)
            {
                open.extend(cost.deps);
            }
        }
        let mut sizes = vec![0; room.len()];
        for &unit in &with {
            sizes.iter_mut().zip(&costs[unit].sizes).for_each(|(sum, size)| *sum += size);
        }
        if take(&mut room, &sizes) {
            kept.append(&mut with);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(units: &[(u64, f64, &[usize])], room: u64) -> Vec<usize> {
        let cost = |(size, seconds, deps)| Cost { sizes: vec![size], seconds, deps };
        let costs: Vec<Cost<'_>> = units.iter().copied().map(cost).collect();
        choose(&costs, vec![room]).into_iter().collect()
    }

    #[test]
    fn the_dearest_for_their_size_come_with_what_they_were_built_from() {
        let units: [(u64, f64, &[usize]); 4] = [(10, 1.0, &[]), (10, 50.0, &[0]), (100, 90.0, &[]), (30, 20.0, &[])];
        assert_eq!(kept(&units, 150), [0, 1, 2, 3]);
        assert_eq!(kept(&units, 120), [0, 1, 2]);
        assert_eq!(kept(&units, 60), [0, 1, 3]);
        // The dearest one does not fit with what it needs.
        assert_eq!(kept(&units, 15), [0]);
        assert!(kept(&units, 9).is_empty());
        // Hostile edges may run in circles, and to nowhere.
        assert_eq!(kept(&[(1, 1.0, &[1, 7]), (1, 1.0, &[0])], 2), [0, 1]);
    }

    #[test]
    fn every_disk_has_its_own_room() {
        let costs = [
            Cost { sizes: vec![5, 0], seconds: 1.0, deps: &[] },
            Cost { sizes: vec![0, 5], seconds: 1.0, deps: &[] },
            Cost { sizes: vec![2, 2], seconds: 1.0, deps: &[] },
        ];
        assert_eq!(choose(&costs, vec![7, 2]), BTreeSet::from([0, 2]));
    }
}
