//! The counted bytes against the resident ones. Alone in its file: resident memory is that of the
//! whole process, and other tests would move it.

mod support;

use pinyon_runtime::memory;
use support::Dice;

#[global_allocator]
static ALLOC: memory::Counting = memory::Counting;

#[test]
fn counts_agree_with_what_is_resident() {
    memory::purge();
    let (resident, used, held) = (memory::resident_bytes(), memory::used_bytes(), memory::allocator_bytes());
    let mut dice = Dice(2);
    let blocks: Vec<Box<[u8]>> =
        (0..400_000).map(|_| vec![1; 8 + dice.below(200) as usize].into_boxed_slice()).collect();
    let resident = memory::resident_bytes() - resident;
    let used = memory::used_bytes() - used;
    let held = memory::allocator_bytes() - held;
    println!("{} blocks: {used} used, {resident} resident, {held} held", blocks.len());
    let ratio = used as f64 / resident as f64;
    assert!((0.93..1.03).contains(&ratio), "{used} counted, {resident} resident");
}
