//! What blocks of memory cost: the allocator's size classes, and how far to reserve ahead.
//!
//! The sum that a collection reports as its memory counts each block as the allocator rounds it, without asking it. That the
//! two agree is tested by the example `footprint`, which counts the allocator's calls.

/// Bytes that a block for `bytes` takes: multiples of 8 up to 64, then four classes to each doubling. 0 for no block.
pub fn block_bytes(bytes: usize) -> usize {
    if bytes <= 64 {
        return bytes.next_multiple_of(8);
    }
    let step = 1usize << ((bytes - 1).ilog2() - 2);
    bytes.next_multiple_of(step)
}

/// Bytes of a vector's block.
pub fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    block_bytes(vec.capacity() * size_of::<T>())
}

/// Makes room for `more` elements, to the end of the allocator's class: growing costs an eighth of the content on average
/// and not its double.
pub fn reserve_class<T>(vec: &mut Vec<T>, more: usize) {
    let needed = vec.len() + more;
    if needed > vec.capacity() {
        let fits = block_bytes(needed * size_of::<T>()) / size_of::<T>();
        vec.reserve_exact(fits - vec.len());
    }
}

/// Gives back room when less than half of the block is used.
pub fn shrink_class<T>(vec: &mut Vec<T>) {
    if vec.capacity() * size_of::<T>() > 64 && vec.len() < vec.capacity() / 2 {
        vec.shrink_to(block_bytes(vec.len() * size_of::<T>()) / size_of::<T>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let classes: Vec<usize> = [0, 1, 9, 64, 65, 80, 81, 128, 129, 1024, 1025, 5000].map(block_bytes).to_vec();
        assert_eq!(classes, [0, 8, 16, 64, 80, 80, 96, 128, 160, 1024, 1280, 5120]);
    }

    #[test]
    fn room_ends_with_a_class() {
        let mut vec = Vec::<u32>::new();
        for i in 0..10_000 {
            reserve_class(&mut vec, 1);
            vec.push(i);
            assert_eq!(block_bytes(vec.capacity() * 4), vec.capacity() * 4, "at {i}");
            assert!(vec.capacity() <= 2 + (i as usize + 1) * 5 / 4, "at {i}: {}", vec.capacity());
        }
        vec.truncate(100);
        shrink_class(&mut vec);
        assert!(vec.capacity() < 200);
    }
}
