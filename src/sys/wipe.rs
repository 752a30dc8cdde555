//! Keeps keys out of core files: what the reading of a configuration has left in freed memory, and what stays.
//!
//! Passwords pass through many short-lived strings while a file is read; all memory that is given back meanwhile is wiped
//! first. What is kept is masked with a pad that the kernel leaves out of core files. Source: madvise(2), core(5).

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// Octets of the pad: the longest key.
pub(crate) const PAD: usize = 64;

/// How many readings are under way.
static CAREFUL: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator; see [`carefully`].
pub(crate) struct Wiping;

// SAFETY: everything is done by `System` with the arguments as they came; the memory that is wiped is the caller's own,
// whole and about to be given back.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if CAREFUL.load(Ordering::Relaxed) > 0 {
            // SAFETY: `ptr` is a block of `layout` that nobody uses any more.
            unsafe { wipe(ptr, layout.size()) };
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if CAREFUL.load(Ordering::Relaxed) == 0 {
            // SAFETY: the caller keeps the contract of `realloc`.
            return unsafe { System.realloc(ptr, layout, size) };
        }
        // SAFETY: `size` is not zero and, rounded up to the alignment, no overflow: the contract of `realloc`.
        let new = unsafe { System.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks are at least that long, and distinct.
            unsafe { std::ptr::copy_nonoverlapping(ptr, new, layout.size().min(size)) };
            // SAFETY: the old block is given up now, as after any `realloc` that moves.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// # Safety
/// `ptr` is good for writing `size` octets, and nobody reads them any more.
unsafe fn wipe(ptr: *mut u8, size: usize) {
    // SAFETY: promised by the caller.
    unsafe { std::ptr::write_bytes(ptr, 0, size) };
    // The block is freed next: without this the writing may count as without effect.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the block is there until this returns.
    unsafe { std::ptr::read_volatile(&raw const ptr) };
}

/// Runs `reading`; whatever memory any thread gives back meanwhile is wiped.
pub(crate) fn carefully<T>(reading: impl FnOnce() -> T) -> T {
    /// Ends with a panic, too.
    struct Care;
    impl Drop for Care {
        fn drop(&mut self) {
            CAREFUL.fetch_sub(1, Ordering::Relaxed);
        }
    }
    CAREFUL.fetch_add(1, Ordering::Relaxed);
    let _care = Care;
    reading()
}

/// Random octets in a page of their own that no core file contains; it stays as long as the process.
///
/// # Errors
/// No memory, or a kernel without random numbers.
pub(crate) fn pad() -> io::Result<&'static [u8; PAD]> {
    let len = NonZeroUsize::new(PAD).unwrap_or(NonZeroUsize::MIN);
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let page: NonNull<_> = unsafe { mmap_anonymous(None, len, protection, MapFlags::MAP_PRIVATE) }?;
    // SAFETY: the range is the mapping just made; the advice changes no content.
    unsafe { madvise(page, PAD, MmapAdvise::MADV_DONTDUMP) }?;
    // SAFETY: the mapping is as long, zeroed, aligned to a page, never unmapped, and known to nobody else.
    let pad = unsafe { page.cast::<[u8; PAD]>().as_mut() };
    // SAFETY: the array is good for writing its length.
    let got = unsafe { libc::getrandom(pad.as_mut_ptr().cast(), PAD, 0) };
    if usize::try_from(got) != Ok(PAD) {
        return Err(io::Error::last_os_error());
    }
    Ok(pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_while_a_file_is_read_is_wiped_and_nothing_else_changes() {
        carefully(|| {
            let mut text = String::from("one");
            for _ in 0..2000 {
                text.push_str(" and more");
            }
            text.shrink_to_fit();
            assert!(text.starts_with("one and more") && text.len() == 18_003);
            let mut numbers: Vec<u64> = (0..1000).collect();
            numbers.extend(0..3000);
            assert_eq!(numbers.iter().sum::<u64>(), 499_500 + 4_498_500);
        });
    }

    #[test]
    fn a_pad_is_random_and_left_out_of_core_files() {
        let [one, two] = [pad().expect("a page"), pad().expect("a page")];
        assert_ne!(one, two);
        let at = one.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("our own");
        let mut inside = false;
        let flags = maps.lines().find_map(|line| {
            let range = line.split(' ').next().and_then(|r| r.split_once('-'));
            if let Some((start, end)) = range
                && let Ok(start) = usize::from_str_radix(start, 16)
                && let Ok(end) = usize::from_str_radix(end, 16)
            {
                inside = (start..end).contains(&at);
            }
            line.strip_prefix("VmFlags:").filter(|_| inside)
        });
        assert!(flags.expect("a mapping").contains(" dd"));
    }
}
