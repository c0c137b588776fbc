//! TLS towards upstreams. There is no way to skip verification.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::policy::application::{NamedFile, TlsVersion, UpstreamTls};

use super::Wanted;

/// Why TLS to an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    /// A file is no PEM of the right kind.
    #[error("`{file}` holds no {what} in PEM form")]
    Pem {
        /// As written.
        file: Arc<str>,
        /// What should be there.
        what: &'static str,
    },
    /// A certificate without its key, or the other way round.
    #[error("`tls.cert_file` and `tls.key_file` go together")]
    HalfAPair,
    /// The library refuses.
    #[error("certificate and key cannot be used")]
    Refused(#[from] rustls::Error),
}

/// How we speak TLS to one application: to be asked in either protocol, or in HTTP/1.1 only.
#[derive(Debug)]
pub(super) struct Clients {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Clients {
    pub(super) fn new(written: &UpstreamTls) -> Result<Self, TlsFault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        match &written.ca_file {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                // A damaged certificate of the system is the system's matter.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(written.min))?
            .with_root_certificates(roots);
        let mut config = match (&written.cert_file, &written.key_file) {
            (Some(cert), Some(key)) => {
                let private = PrivateKeyDer::from_pem_slice(&key.bytes).map_err(|_| TlsFault::Pem {
                    file: Arc::clone(&key.path),
                    what: "private key",
                })?;
                config.with_client_auth_cert(certificates(cert)?, private)?
            }
            (None, None) => config.with_no_client_auth(),
            _ => return Err(TlsFault::HalfAPair),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let http2 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            any: Arc::new(config),
            http1,
            http2,
        })
    }

    pub(super) const fn for_request(&self, wanted: Wanted) -> &Arc<ClientConfig> {
        match wanted {
            Wanted::Any => &self.any,
            Wanted::Http1 => &self.http1,
            Wanted::Http2 => &self.http2,
        }
    }
}

fn certificates(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| TlsFault::Pem {
        file: Arc::clone(&file.path),
        what: "certificate",
    })
}

fn versions(min: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match min {
        TlsVersion::V1_2 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => vec![&rustls::version::TLS13],
    }
}
