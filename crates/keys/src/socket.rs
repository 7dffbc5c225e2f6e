//! Sockets of the host's, which are asked and not used.

use std::mem::MaybeUninit;

use crate::sys;

/// Address and port that a socket is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalAddress {
    bytes: [u8; 18],
    len: usize,
}

impl LocalAddress {
    /// That of a descriptor; `None` if that is no socket, or one whose addresses are no internet addresses.
    pub fn of(descriptor: libc::c_int) -> Option<Self> {
        sys::as_a_guest(|| {
            let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
            let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            // SAFETY: room for an address of any kind, and its size (getsockname(2)).
            if unsafe { libc::getsockname(descriptor, storage.as_mut_ptr().cast(), &mut len) } != 0 {
                return None;
            }
            // SAFETY: zeroed, and so an address of no kind, or filled in.
            let family = unsafe { storage.assume_init_ref() }.ss_family;
            match libc::c_int::from(family) {
                libc::AF_INET => {
                    // SAFETY: what an address of this family is (ip(7)); the storage is large enough and aligned.
                    let address = unsafe { &*storage.as_ptr().cast::<libc::sockaddr_in>() };
                    Some(Self::new(address.sin_port, &address.sin_addr.s_addr.to_ne_bytes()))
                }
                libc::AF_INET6 => {
                    // SAFETY: what an address of this family is (ipv6(7)); the storage is large enough and aligned.
                    let address = unsafe { &*storage.as_ptr().cast::<libc::sockaddr_in6>() };
                    Some(Self::new(address.sin6_port, &address.sin6_addr.s6_addr))
                }
                _ => None,
            }
        })
    }

    fn new(port: libc::in_port_t, address: &[u8]) -> Self {
        let (mut bytes, len) = ([0; 18], 2 + address.len());
        for (place, byte) in bytes.iter_mut().zip(port.to_ne_bytes().iter().chain(address)) {
            *place = *byte;
        }
        Self { bytes, len }
    }

    /// Port and address; no two have the same.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn each_socket_has_its_address() {
        let sockets = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let [a, b] = sockets.each_ref().map(|socket| LocalAddress::of(socket.as_raw_fd()).unwrap());
        assert!(a != b && a == LocalAddress::of(sockets[0].as_raw_fd()).unwrap());
        assert_eq!(a.as_bytes()[..2], sockets[0].local_addr().unwrap().port().to_be_bytes());
        assert_eq!(a.as_bytes()[2..], [127, 0, 0, 1]);
        assert!(LocalAddress::of(UdpSocket::bind("127.0.0.2:0").unwrap().as_raw_fd()).is_some());
        if let Ok(socket) = TcpListener::bind("[::1]:0") {
            assert_eq!(LocalAddress::of(socket.as_raw_fd()).unwrap().as_bytes().len(), 18);
        }
    }

    #[test]
    fn what_has_none_has_none() {
        let (one, other) = UnixStream::pair().unwrap();
        assert_eq!(LocalAddress::of(one.as_raw_fd()), None);
        drop(other);
        assert_eq!(LocalAddress::of(std::fs::File::open("/dev/null").unwrap().as_raw_fd()), None);
        assert_eq!(LocalAddress::of(-1), None);
    }
}
