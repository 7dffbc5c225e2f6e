//! Those of [`hooks`](super::hooks) that came with OpenSSL 4.

use std::ffi::{c_char, c_int};

use openssl_sys::SSL;

use super::hooks::hook;
use super::version_libssl;
use crate::libssl::real::NODE;

version_libssl!("SSL_set1_dnsname");
hook!(SSL_set1_dnsname(ssl: *mut SSL, name: *const c_char) -> c_int, PARAMS if true);

version_libssl!("SSL_add1_dnsname");
hook!(SSL_add1_dnsname(ssl: *mut SSL, name: *const c_char) -> c_int, PARAMS if true);

version_libssl!("SSL_set1_ipaddr");
hook!(SSL_set1_ipaddr(ssl: *mut SSL, address: *const c_char) -> c_int, PARAMS if true);

version_libssl!("SSL_add1_ipaddr");
hook!(SSL_add1_ipaddr(ssl: *mut SSL, address: *const c_char) -> c_int, PARAMS if true);
