//! A client on rustls: one connection, then COUNT more, each with the session of the one before. Prints "new" or
//! "reused" for each. What is on stdin is sent, and an answer read, so that TLS 1.3 tickets have arrived.
//!
//! Usage: rustls-client ADDRESS NAME 1_2|1_3 COUNT

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, Stream};

const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, name, version, count] = arguments.as_slice() else {
        return Err("usage: rustls-client ADDRESS NAME 1_2|1_3 COUNT".into());
    };
    let mut request = Vec::new();
    io::stdin().read_to_end(&mut request)?;
    let provider = Arc::new(default_provider());
    let version = if version == "1_2" { &TLS12 } else { &TLS13 };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(4);
    let config = Arc::new(config);
    for _ in 0..=count.parse::<u32>()? {
        let kind = connect(&config, address, name, &request)?;
        println!("{}", if kind == HandshakeKind::Resumed { "reused" } else { "new" });
    }
    Ok(())
}

fn connect(
    config: &Arc<ClientConfig>,
    address: &str,
    name: &str,
    request: &[u8],
) -> Result<HandshakeKind, Box<dyn Error>> {
    let mut tls = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned())?)?;
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_write_timeout(Some(TIMEOUT))?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    stream.write_all(request)?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(stream.sock)?;
    }
    if !request.is_empty() && stream.read(&mut [0; 4096])? == 0 {
        return Err("no answer".into());
    }
    let kind = tls.handshake_kind().ok_or("no handshake")?;
    tls.send_close_notify();
    // The server may have closed already.
    let _ = tls.complete_io(&mut tcp);
    Ok(kind)
}

/// Believes any certificate: it is not what is tested.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
