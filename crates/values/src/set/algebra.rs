//! Intersections, unions and differences of sets, in pieces.
//!
//! Each step takes up a walk over one set at a cursor and asks the others, so its cost is bounded by what the caller lets it
//! look at, whatever the sets' sizes. The sets may change between two steps as far as a walk allows it: what is in the
//! result from the first step to the last is visited.

use super::SetRef;
use crate::item::Item;

/// Visits the members of `driver` that are in all of `others`. The smallest of the sets should drive.
///
/// Looks at `count` members of the driver or some more, from the cursor on; gives the next cursor, 0 at the end.
pub fn inter(
    driver: SetRef<'_>,
    others: &[SetRef<'_>],
    cursor: u64,
    count: usize,
    visit: &mut dyn FnMut(Item<'_>),
) -> u64 {
    driver.scan(cursor, count, &mut |member| {
        if others.iter().all(|set| set.contains(member)) {
            visit(member);
        }
    })
}

/// Visits the members of `driver` that are in none of `others`; cursors as in [`inter`].
pub fn diff(
    driver: SetRef<'_>,
    others: &[SetRef<'_>],
    cursor: u64,
    count: usize,
    visit: &mut dyn FnMut(Item<'_>),
) -> u64 {
    driver.scan(cursor, count, &mut |member| {
        if !others.iter().any(|set| set.contains(member)) {
            visit(member);
        }
    })
}

/// How many members all of the sets have, but no more than `limit`, if that is not 0 (SINTERCARD).
pub fn inter_count(sets: &[SetRef<'_>], limit: usize) -> usize {
    let Some(smallest) = (0..sets.len()).min_by_key(|&index| sets[index].len()) else { return 0 };
    let others: Vec<SetRef<'_>> = (0..sets.len()).filter(|&index| index != smallest).map(|index| sets[index]).collect();
    let limit = if limit == 0 { usize::MAX } else { limit };
    let (mut found, mut cursor) = (0, 0);
    loop {
        cursor = inter(sets[smallest], &others, cursor, 64, &mut |_| found += 1);
        if cursor == 0 || found >= limit {
            return found.min(limit);
        }
    }
}
