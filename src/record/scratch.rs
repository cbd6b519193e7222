//! Space to encode in.

use std::cell::Cell;

thread_local!(static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// Takes the thread's own scratch space, empty. Taken rather than borrowed: a log event while
/// encoding may itself be handled in a monitored service.
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
