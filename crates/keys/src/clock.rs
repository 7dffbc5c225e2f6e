//! The time of day, as cheap as it comes: tickets are counted in seconds.

/// Unix seconds. Never fails: a clock before 1970, or none at all, reads as 0.
pub fn now() -> u64 {
    #[cfg(feature = "fault-injection")]
    if let Some(now) = fault::now(system()) {
        return now;
    }
    system()
}

/// Coarse, because a tick (at most 10 ms) does not matter here and it costs no more than reading two words of the
/// vDSO. Where there is no coarse clock, the fine one.
fn system() -> u64 {
    for clock in [libc::CLOCK_REALTIME_COARSE, libc::CLOCK_REALTIME] {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec of ours that outlives the call.
        if unsafe { libc::clock_gettime(clock, &mut time) } == 0 {
            return u64::try_from(time.tv_sec).unwrap_or(0);
        }
    }
    0
}

/// Test builds only: `TICKETSHIM_FAULT_CLOCK` moves the clock by seconds (`+600`, `-600`), or stops it (`=1700000000`).
#[cfg(feature = "fault-injection")]
mod fault {
    use std::ffi::CStr;

    pub(super) fn now(system: u64) -> Option<u64> {
        // Without memory of its own: tests have it fail.
        // SAFETY: a C string. Tests change their environment in one thread.
        let setting = unsafe { libc::getenv(c"TICKETSHIM_FAULT_CLOCK".as_ptr()) };
        if setting.is_null() {
            return None;
        }
        // SAFETY: a C string of the environment.
        let setting = unsafe { CStr::from_ptr(setting) }.to_str().ok()?;
        if let Some(at) = setting.strip_prefix('=') {
            return at.parse().ok();
        }
        Some(system.saturating_add_signed(setting.parse().ok()?))
    }
}

/// Seconds since the system was started, sleep included: what process start times are measured by, and nobody sets.
pub(crate) fn since_boot() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    u32::try_from(time.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_the_systems() {
        let std = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(super::now().abs_diff(std) <= 1);
    }
}
