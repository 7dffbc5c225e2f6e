//! Settings: any environment, any file.
//!
//! What must hold: whatever it says, there are settings, within their ranges; what was not understood is one line that
//! names it; asked twice, they are the same.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ticketshim_core::ring::MAX_ACCEPT;
use ticketshim_keys::settings::{ALL, COUNT, Duration, MAX_AGE_CAP, Settings};

#[derive(Arbitrary, Debug)]
struct Case {
    environment: [Option<Vec<u8>>; COUNT],
    /// A file that is UTF-8, which the reader of the file sees to.
    file: Option<String>,
}

fuzz_target!(|case: Case| {
    let look_up = |name: &str| {
        let index = ALL.iter().position(|setting| setting.variable() == name)?;
        case.environment[index].clone().map(OsString::from_vec)
    };
    let settings = Settings::read(look_up, case.file.as_deref());
    assert_eq!(settings, Settings::read(look_up, case.file.as_deref()));
    let rotate = settings.rotate.seconds();
    assert!((1..=MAX_ACCEPT).contains(&rotate));
    assert!(settings.accept <= MAX_ACCEPT && settings.accept <= settings.schedule().accept());
    assert!((1..=MAX_AGE_CAP).contains(&settings.max_age));
    for path in [&settings.state, &settings.stats].into_iter().flatten() {
        assert!(path.is_absolute());
    }
    for line in settings.complaints.iter().map(ToString::to_string) {
        assert!(line.contains("used") || line.contains("tickets open for"), "{line}");
    }
    for text in case.environment.iter().flatten().filter_map(|value| std::str::from_utf8(value).ok()) {
        if let Some(time) = Duration::parse(text) {
            assert_eq!(Duration::parse(&time.to_string()), Some(time), "{text}");
        }
    }
});
