//! Scratch space for encoding.

use std::cell::Cell;

thread_local!(static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// Takes the thread's scratch space, empty. It is taken instead of borrowed: a log event during
/// encoding may itself be handled by a monitored service.
#[inline]
pub(super) fn take_scratch() -> Vec<u8> {
    let mut lines = SCRATCH.try_with(Cell::take).unwrap_or_default();
    lines.clear();
    lines
}

#[inline]
pub(super) fn keep_scratch(lines: Vec<u8>) {
    if lines.capacity() <= MAX_SCRATCH {
        let _ = SCRATCH.try_with(|scratch| scratch.set(lines));
    }
}

/// A larger one was needed for huge extras, and is not kept.
const MAX_SCRATCH: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_next_request_reuses_the_space_unless_it_is_huge() {
        // On a thread that has kept nothing yet.
        let kept = thread::spawn(|| {
            let mut space = take_scratch();
            assert_eq!(space.capacity(), 0);
            space.reserve_exact(MAX_SCRATCH);
            space.extend(b"of before");
            let place = space.as_ptr();
            keep_scratch(space);
            let space = take_scratch();
            assert!(space.is_empty() && space.as_ptr() == place && space.capacity() == MAX_SCRATCH);
            assert_eq!(take_scratch().capacity(), 0, "what is in use is nobody else's");
            keep_scratch(Vec::with_capacity(MAX_SCRATCH + 1));
            take_scratch().capacity()
        });
        assert_eq!(kept.join().expect("no panic"), 0);
    }
}
