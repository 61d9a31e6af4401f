//! [`FreedMemoryScan`]: tests see with it whether memory is given back with a secret still in it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: ScanningAllocator = ScanningAllocator;

thread_local! {
    /// What is looked for on this thread.
    static NEEDLE: Cell<Option<&'static [u8]>> = const { Cell::new(None) };
    static MATCHES: Cell<usize> = const { Cell::new(0) };
}

/// Looks for a mark in all memory that its thread gives back, until it is dropped.
pub(crate) struct FreedMemoryScan;

impl FreedMemoryScan {
    pub(crate) fn start(mark: &'static [u8]) -> Self {
        MATCHES.set(0);
        NEEDLE.set(Some(mark));
        Self
    }

    /// How many blocks with the mark in them were given back.
    pub(crate) fn matches(&self) -> usize {
        MATCHES.get()
    }
}

impl Drop for FreedMemoryScan {
    fn drop(&mut self) {
        NEEDLE.set(None);
    }
}

/// The system's allocator. A block that is made larger is always given back, as it may be with any.
struct ScanningAllocator;

#[expect(unsafe_code, reason = "looks at memory that is given back")]
// SAFETY: it is the system's allocator that gives out memory and takes it back.
unsafe impl GlobalAlloc for ScanningAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it can be looked at later.
        // SAFETY: asked for by whoever asks for this.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(mark) = NEEDLE.get() {
            // SAFETY: the block has this size and nobody else has it.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if bytes.windows(mark.len()).any(|window| window == mark) {
                MATCHES.set(MATCHES.get() + 1);
            }
        }
        // SAFETY: it is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}
