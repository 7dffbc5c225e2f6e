//! The time of day, as cheap as it comes: tickets are counted in seconds.

use std::fmt;

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

/// A time in Unix seconds as `2026-01-31 23:59:59 UTC`.
pub struct Utc(pub u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil(days);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
    }
}

/// Reads `2026-01-31T23:59Z`, with or without seconds.
pub fn parse_utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (
        date[..].try_into().ok()?,
        match time[..] {
            [hour, minute] => [hour, minute, 0],
            [hour, minute, second] => [hour, minute, second],
            _ => return None,
        },
    );
    if !(1970..10_000).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Few years lie in between, and a day that there is not is refused.
    let first = (year - 1970) * 365;
    let days = (first..first + 3000).find(|days| civil(*days) == (year, month, day))?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days.saturating_add(719_468);
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
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
