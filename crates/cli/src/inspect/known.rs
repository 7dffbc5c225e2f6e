//! Session id contexts that servers are known to set, so that whoever looks into a ticket need not know them.
//! `rig/` holds them to the servers of the distribution.

use sha1::{Digest, Sha1};

use super::certificate::Certificate;

/// A session id context, and whose it is.
pub struct Known {
    pub id: Vec<u8>,
    pub server: &'static str,
}

/// Always the same.
const FIXED: [(&[u8], &str); 9] = [
    // Apache httpd sets its own per connection, which leaves the context without.
    (b"", ""),
    (b"haproxy", "HAProxy"),
    (b"hitch", "hitch"),
    (b"lighttpd", "lighttpd"),
    (b"redis", "Redis"),
    (b"Python\0", "Python"),
    (b"Postfix/TLS\0", "Postfix"),
    // An int, and so another one where those are written from the other end.
    (&[1, 0, 0, 0], "openssl s_server"),
    (&[0, 0, 0, 1], "openssl s_server"),
];
/// What nginx's modules begin theirs with.
const NGINX: [(&[u8], &str); 3] = [(b"HTTP", "nginx"), (b"STREAM", "nginx, stream"), (b"MAIL", "nginx, mail")];

/// All of them; of nginx with these certificates, and these names of client CAs (in DER).
pub fn all(certificates: &[Certificate], client_ca_names: &[&[u8]]) -> Vec<Known> {
    let mut all: Vec<Known> = FIXED.iter().map(|(id, server)| Known { id: id.to_vec(), server }).collect();
    let mut sets: Vec<Vec<&Certificate>> = certificates.iter().map(|one| vec![one]).collect();
    if certificates.len() > 1 {
        // Two kinds of key at one server: which comes first depends on nginx's version.
        sets.push(certificates.iter().collect());
        sets.push(certificates.iter().rev().collect());
    }
    for set in sets {
        for (module, server) in NGINX {
            all.push(Known { id: nginx(module, &set, client_ca_names), server });
        }
    }
    all
}

/// nginx ties sessions to its certificates and client CAs: SHA-1 of the module's name, the fingerprint of each
/// certificate, and the digest of each name (ngx_ssl_session_id_context in src/event/ngx_event_openssl.c).
fn nginx(module: &[u8], certificates: &[&Certificate], client_ca_names: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha1::new_with_prefix(module);
    certificates.iter().for_each(|certificate| hash.update(certificate.fingerprint));
    client_ca_names.iter().for_each(|name| hash.update(Sha1::digest(name)));
    hash.finalize().to_vec()
}
