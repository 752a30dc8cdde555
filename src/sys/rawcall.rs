//! System calls that touch nothing of the C library, not even its error number.
//!
//! A new process that still shares the daemon's memory shares the thread-local storage of the thread that made it: whoever
//! writes `errno` there writes into a running thread. Source: syscall(2).

/// Whether [`call`] keeps what it promises on this kind of processor. Where it does not, it may be used only by a process
/// with memory of its own.
pub(super) const LEAVES_ERRNO_ALONE: bool =
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// One system call with up to five arguments.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// As the call with these arguments.
pub(super) unsafe fn call(number: libc::c_long, args: [usize; 5]) -> Result<usize, i32> {
    // SAFETY: the caller answers for number and arguments.
    let got = unsafe { enter(number, args) };
    // The kernel's own range of error numbers.
    if (-4095..0).contains(&got) {
        Err(i32::try_from(-got).unwrap_or(libc::EINVAL))
    } else {
        Ok(got.cast_unsigned())
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn enter(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let got: isize;
    // SAFETY: the kernel's calling convention; the caller answers for number and arguments.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => got,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    got
}

#[cfg(target_arch = "aarch64")]
unsafe fn enter(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let got: isize;
    // SAFETY: the kernel's calling convention; the caller answers for number and arguments.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => got,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    got
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn enter(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    // SAFETY: the caller answers for number and arguments.
    let got = unsafe { libc::syscall(number, a, b, c, d, e) };
    if got == -1 {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return -isize::try_from(errno.unwrap_or(libc::EINVAL)).unwrap_or(1);
    }
    isize::try_from(got).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_are_told_apart() {
        // SAFETY: no pointers.
        unsafe {
            let pid = call(libc::SYS_getpid, [0; 5]);
            assert_eq!(pid, Ok(std::process::id() as usize));
            let bad = call(libc::SYS_close, [usize::MAX, 0, 0, 0, 0]);
            assert_eq!(bad, Err(libc::EBADF));
        }
    }
}
