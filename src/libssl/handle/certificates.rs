//! What is asked of certificates and of lists of them.

use std::ffi::c_uchar;
use std::ptr;
use std::slice;

use openssl_sys::{OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, X509, X509_NAME, stack_st_X509_NAME};

use super::super::errors::quietly;
use super::super::ffi;

/// For how many seconds from now a certificate is valid. `None` if it is not.
pub(super) fn remaining(certificate: *const X509) -> Option<u64> {
    const DAY: i64 = 86_400;
    let (mut days, mut seconds) = (0, 0);
    // SAFETY: a certificate that the SSL or its session holds; gives a time that is part of it (X509_get0_notAfter(3)).
    let not_after = unsafe { ffi::X509_get0_notAfter(certificate) };
    // SAFETY: places for two numbers; no time means now; and the time of a live certificate (ASN1_TIME_diff(3)).
    let is_time = quietly(|| unsafe { ffi::ASN1_TIME_diff(&mut days, &mut seconds, ptr::null(), not_after) } == 1);
    let left = i64::from(days) * DAY + i64::from(seconds);
    u64::try_from(left).ok().filter(|_| is_time && !not_after.is_null())
}

/// The elements of a list.
///
/// # Safety
/// `list` is null, or alive and unchanged for as long as `'a`, and of pointers to this type.
pub(super) unsafe fn elements<'a, T: 'a>(list: *const OPENSSL_STACK) -> impl Iterator<Item = *const T> + 'a {
    // SAFETY: null, which has no elements, or a live list: the caller's promise (DEFINE_STACK_OF(3)).
    let count = if list.is_null() { 0 } else { unsafe { OPENSSL_sk_num(list) } };
    // SAFETY: a live list, by the caller's promise, and a number below its length.
    (0..count).map(move |i| unsafe { OPENSSL_sk_value(list, i) }.cast_const().cast())
}

/// The DER of every name in a list of them. `None` if memory has run out.
///
/// # Safety
/// `list` is null, or alive and unchanged for as long as `'a`.
pub(super) unsafe fn names<'a>(list: *const stack_st_X509_NAME) -> Option<Vec<&'a [u8]>> {
    let list = list.cast::<OPENSSL_STACK>();
    let mut names = Vec::new();
    if list.is_null() {
        return Some(names);
    }
    // SAFETY: a live list, by the caller's promise.
    let count = unsafe { OPENSSL_sk_num(list) };
    names.try_reserve(usize::try_from(count).unwrap_or(0)).ok()?;
    for i in 0..count {
        // SAFETY: a live list, by the caller's promise, and a number below its length.
        let name = unsafe { OPENSSL_sk_value(list, i) }.cast::<X509_NAME>();
        let mut der: *const c_uchar = ptr::null();
        let mut len = 0;
        // SAFETY: a name of the list; gives a pointer to its own encoding, which it keeps (X509_NAME_get0_der(3)).
        if name.is_null() || unsafe { ffi::X509_NAME_get0_der(name, &mut der, &mut len) } != 1 {
            return None;
        }
        // SAFETY: `len` bytes, alive as long as the name (X509_NAME_get0_der(3)), which the list holds for 'a.
        names.push(unsafe { slice::from_raw_parts(der, len) });
    }
    Some(names)
}
