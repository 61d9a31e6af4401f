//! [`Watch`]: tests see with it whether memory is given back with a secret still in it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

thread_local! {
    /// What is looked for on this thread.
    static MARK: Cell<Option<&'static [u8]>> = const { Cell::new(None) };
    static FOUND: Cell<usize> = const { Cell::new(0) };
}

/// Looks for a mark in all memory that its thread gives back, until it is dropped.
pub(crate) struct Watch;

impl Watch {
    pub(crate) fn begin(mark: &'static [u8]) -> Self {
        FOUND.set(0);
        MARK.set(Some(mark));
        Self
    }

    /// How many blocks with the mark in them were given back.
    pub(crate) fn found(&self) -> usize {
        FOUND.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        MARK.set(None);
    }
}

/// The system's allocator. A block that is made larger is always given back, as it may be with any.
struct Watching;

#[expect(unsafe_code, reason = "looks at memory that is given back")]
// SAFETY: it is the system's allocator that gives out memory and takes it back.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it can be looked at later.
        // SAFETY: asked for by whoever asks for this.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(mark) = MARK.get() {
            // SAFETY: the block has this size and nobody else has it.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if bytes.windows(mark.len()).any(|window| window == mark) {
                FOUND.set(FOUND.get() + 1);
            }
        }
        // SAFETY: it is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}
