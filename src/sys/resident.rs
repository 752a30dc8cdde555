//! What is needed for a moment only goes back to the kernel: large buffers, free pages of the heap, and the pages of
//! program text that a start or a reload went through.
//!
//! Nothing is lost: text that is needed again comes back from the page cache, at a fault for each sixteen pages. A
//! process that is locked in memory (`vrrp_no_swap`) keeps all of it. Sources: mallopt(3),
//! malloc_trim(3), madvise(2), dl_iterate_phdr(3).

use std::ptr;

/// What is larger is no part of the heap, and goes back when it is freed: a heap in which it has left holes stays large.
/// Octets.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 16 * 1024;

/// Large buffers live outside the heap from now on. For the first moments of the process.
pub(crate) fn keep_large_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers. A refusal leaves things as they were.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives back free pages of the heap. Locks one part of the heap after the other, for as long as looking through it
/// takes.
pub(crate) fn shed_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Forgets which pages of the program and its libraries were used until now, as far as they can be read again from
/// their files.
pub(crate) fn shed_text() {
    // SAFETY: the callback has the right type, keeps nothing of what it is given, and needs no data.
    unsafe { libc::dl_iterate_phdr(Some(shed), ptr::null_mut()) };
}

/// One object of the program: its segments that nobody ever writes to, not even the loader.
extern "C" fn shed(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader hands out a valid description for the duration of the call.
    let info = unsafe { &*info };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: so many program headers are there, and nobody changes them.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
            // Where an object is linked may be beyond where it lies: the sum wraps around (vDSO of some kernels).
            forget(info.dlpi_addr.wrapping_add(header.p_vaddr), header.p_memsz);
        }
    }
    0
}

/// Whole pages between the two addresses only.
fn forget(from: u64, len: u64) {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page.ok().flatten().and_then(|p| u64::try_from(p).ok());
    let page = page.unwrap_or(4096);
    let Some(start) = from.checked_next_multiple_of(page) else {
        return;
    };
    let end = from.saturating_add(len) / page * page;
    let (Ok(at), Ok(size)) = (
        usize::try_from(start),
        usize::try_from(end.saturating_sub(start)),
    ) else {
        return;
    };
    if size > 0 {
        // SAFETY: the range lies in a private file mapping that was never written to, so that its pages are read again
        // from the file with the same contents. Refused where the pages are locked, which is as well.
        unsafe {
            libc::madvise(
                ptr::with_exposed_provenance_mut(at),
                size,
                libc::MADV_DONTNEED,
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the mapping that `address` lies in, KiB.
    fn resident(address: usize) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("our own mappings");
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|r| r.split_once('-'));
            let range = range.and_then(|(from, to)| {
                let from = usize::from_str_radix(from, 16).ok()?;
                Some(from..usize::from_str_radix(to, 16).ok()?)
            });
            if let Some(range) = range {
                inside = range.contains(&address);
            }
            if let Some(rest) = line.strip_prefix("Rss:").filter(|_| inside) {
                let size = rest.trim().trim_end_matches(" kB");
                return size.parse().expect("a size");
            }
        }
        panic!("no such mapping");
    }

    #[test]
    fn text_is_given_back_and_comes_again() {
        let own = text_is_given_back_and_comes_again as fn() as usize;
        // Other tests may bring some of it back at any time.
        let fewer = |_| {
            let before = resident(own);
            shed_text();
            resident(own) < before
        };
        assert!((0..1000).any(fewer));
        shed_heap();
        assert_eq!(format!("{:?}", "still here"), "\"still here\"");
    }
}
