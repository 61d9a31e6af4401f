//! [`FreedMemoryScan`]: lets tests check that memory holds no secret when it is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: ScanningAllocator = ScanningAllocator;

thread_local! {
    /// The bytes to look for in memory that this thread frees.
    static NEEDLE: Cell<Option<&'static [u8]>> = const { Cell::new(None) };
    static MATCHES: Cell<usize> = const { Cell::new(0) };
}

/// Until dropped, searches every block that its thread frees for a marker.
pub(crate) struct FreedMemoryScan;

impl FreedMemoryScan {
    pub(crate) fn start(mark: &'static [u8]) -> Self {
        MATCHES.set(0);
        NEEDLE.set(Some(mark));
        Self
    }

    /// How many freed blocks contained the marker.
    pub(crate) fn matches(&self) -> usize {
        MATCHES.get()
    }
}

impl Drop for FreedMemoryScan {
    fn drop(&mut self) {
        NEEDLE.set(None);
    }
}

/// Wraps the system allocator. It doesn't implement `realloc`, so enlarging a block always frees
/// the old one, the worst case that any allocator may choose.
struct ScanningAllocator;

#[expect(unsafe_code, reason = "reads memory that is being freed")]
// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for ScanningAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that the whole block is initialized and can be read when it is freed.
        //
        // SAFETY: the caller upholds the contract of `GlobalAlloc`, which is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(mark) = NEEDLE.get() {
            // SAFETY: the block has this size, and nothing else refers to it any more.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if bytes.windows(mark.len()).any(|window| window == mark) {
                MATCHES.set(MATCHES.get() + 1);
            }
        }
        // SAFETY: `System` allocated the block, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}
