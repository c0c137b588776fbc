//! TLS of the gateway: certificates chosen by name, and replaced without a restart.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::base::time::Timestamp;
use crate::config::Tls;

/// Why certificates cannot be used. Each names the file and what to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("{} holds no certificate in PEM form", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// There is no key in it.
    #[error("{} holds no private key in PEM form", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The first certificate of the file names no host.
    #[error("the first certificate in {} names no host (it needs a subjectAltName)", file.display())]
    NoName {
        /// The file.
        file: PathBuf,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the key in {} cannot be used with the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        #[source]
        source: rustls::Error,
    },
    /// The authorities for clients' certificates cannot be used.
    #[error("{} cannot be used to check clients' certificates", file.display())]
    ClientAuthorities {
        /// The file.
        file: PathBuf,
    },
    /// The library refuses to start.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
    /// No certificate is configured.
    #[error("listen.https needs tls.cert_file and tls.key_file")]
    None,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The first name in it.
    pub name: String,
    /// Its last moment.
    pub at: Timestamp,
}

/// The certificates in use, by the names in them.
#[derive(Debug)]
struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the domain behind the `*.`.
    under: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
    endings: Vec<Ending>,
}

impl Certificates {
    fn load(tls: &Tls, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut exact = HashMap::new();
        let mut under = HashMap::new();
        let mut first = None;
        let mut endings = Vec::new();
        for (certificate, key) in &tls.certificates {
            let (chain, names, ends) = read_chain(certificate)?;
            let certified = Arc::new(certify(chain, certificate, key, provider)?);
            endings.push(Ending {
                name: names.first().cloned().unwrap_or_default(),
                at: ends,
            });
            for name in names {
                // The first certificate that names a host keeps it.
                match name.strip_prefix("*.") {
                    Some(domain) => under.entry(domain.to_owned()).or_insert_with(|| Arc::clone(&certified)),
                    None => exact.entry(name).or_insert_with(|| Arc::clone(&certified)),
                };
            }
            first.get_or_insert(certified);
        }
        Ok(Self {
            exact,
            under,
            first: first.ok_or(TlsError::None)?,
            endings,
        })
    }

    fn of(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        // Without a name, or with one that no certificate has, the first is shown: the client then says what is wrong in its own words.
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.exact.get(&name).or_else(|| self.under.get(name.split_once('.')?.1)).cloned()
        });
        found.unwrap_or_else(|| Arc::clone(&self.first))
    }
}

/// Chooses a certificate for each handshake.
#[derive(Debug)]
pub struct Resolver {
    certificates: ArcSwap<Certificates>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certificates.load().of(hello.server_name()))
    }
}

impl Resolver {
    /// Reads the files again. What was in use stays in use if any of them is broken.
    ///
    /// # Errors
    /// [`TlsError`]: the first thing that is wrong.
    pub fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        let next = Certificates::load(tls, &self.provider)?;
        self.certificates.store(Arc::new(next));
        Ok(())
    }

    /// When each certificate in use ends.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        self.certificates.load().endings.clone()
    }
}

/// TLS for the gateway's listeners: HTTP/2 and HTTP/1.1 by ALPN, TLS 1.2 and 1.3, one session ticket.
///
/// # Errors
/// [`TlsError`]: the first thing that is wrong with the files.
pub fn server_config(tls: &Tls) -> Result<(Arc<ServerConfig>, Arc<Resolver>), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Certificates::load(tls, &provider)?;
    let resolver = Arc::new(Resolver {
        certificates: ArcSwap::from_pointee(certificates),
        provider: Arc::clone(&provider),
    });
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?;
    let builder = match &tls.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            // Asked for, and checked where one is shown: people have none.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(file)?), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|_| TlsError::ClientAuthorities { file: file.clone() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::<Resolver>::clone(&resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(TlsError::Library)?;
    config.send_tls13_tickets = 1;
    Ok((Arc::new(config), resolver))
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

type Chain = (Vec<CertificateDer<'static>>, Vec<String>, Timestamp);

fn read_chain(file: &Path) -> Result<Chain, TlsError> {
    let none = || TlsError::NoCertificate { file: file.to_owned() };
    let text = read(file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    let leaf = chain.first().ok_or_else(none)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| none())?;
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    let has_address = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names)
        .any(|name| matches!(name, GeneralName::IPAddress(_)));
    if names.is_empty() && !has_address {
        return Err(TlsError::NoName { file: file.to_owned() });
    }
    let ends = Timestamp::from_secs(parsed.validity().not_after.timestamp());
    Ok((chain, names, ends))
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let text = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey { file: key.to_owned() })?;
    let mismatch = |source| TlsError::Mismatch {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    CertifiedKey::from_der(chain, private, provider).map_err(mismatch)
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let text = read(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| TlsError::ClientAuthorities { file: file.to_owned() })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    struct Folder {
        folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn pair(&self, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
            let key = KeyPair::generate().unwrap();
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let certificate = CertificateParams::new(hosts).unwrap().self_signed(&key).unwrap();
            let files = (
                self.folder.path().join(format!("{name}.pem")),
                self.folder.path().join(format!("{name}.key")),
            );
            fs::write(&files.0, certificate.pem()).unwrap();
            fs::write(&files.1, key.serialize_pem()).unwrap();
            files
        }
    }

    fn tls(certificates: Vec<(PathBuf, PathBuf)>) -> Tls {
        Tls {
            certificates,
            client_ca_file: None,
        }
    }

    #[test]
    fn each_host_gets_the_certificate_that_names_it() {
        let folder = Folder::new();
        let lab = folder.pair("lab", &["lab.example", "*.lab.example"]);
        let other = folder.pair("other", &["other.example"]);
        let (_, resolver) = server_config(&tls(vec![lab, other])).unwrap();
        let certificates = resolver.certificates.load();
        let shown = |name: Option<&str>| certificates.of(name).cert[0].clone();
        let lab = shown(Some("lab.example"));
        let other = shown(Some("other.example"));
        assert_ne!(lab, other);
        assert_eq!(shown(Some("A.LAB.example")), lab, "one label under a wildcard, in any case");
        assert_eq!(
            shown(Some("a.b.lab.example")),
            lab,
            "the first certificate stands in: two labels are not covered"
        );
        assert_eq!(shown(Some("nobody.example")), lab);
        assert_eq!(shown(None), lab);
        assert_eq!(resolver.endings().len(), 2);
    }

    #[test]
    fn a_broken_file_leaves_the_old_certificate_in_use() {
        let folder = Folder::new();
        let pair = folder.pair("lab", &["lab.example"]);
        let settings = tls(vec![pair.clone()]);
        let (_, resolver) = server_config(&settings).unwrap();
        let before = resolver.certificates.load().of(None).cert[0].clone();
        fs::write(&pair.0, "nonsense").unwrap();
        assert!(matches!(resolver.replace(&settings), Err(TlsError::NoCertificate { .. })));
        assert_eq!(resolver.certificates.load().of(None).cert[0], before);
        folder.pair("lab", &["lab.example"]);
        resolver.replace(&settings).unwrap();
        assert_ne!(resolver.certificates.load().of(None).cert[0], before);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = Folder::new();
        let one = folder.pair("one", &["one.example"]);
        let two = folder.pair("two", &["two.example"]);
        let say = |certificates| server_config(&tls(certificates)).map(|_| ()).unwrap_err().to_string();
        assert!(say(vec![(one.0.clone(), two.1)]).contains("cannot be used with"), "another's key");
        assert!(
            say(vec![(one.1.clone(), one.1.clone())]).contains("holds no certificate"),
            "a key for a certificate"
        );
        assert!(
            say(vec![(one.0.clone(), one.0)]).contains("holds no private key"),
            "a certificate for a key"
        );
        assert!(
            say(vec![(folder.folder.path().join("gone"), one.1)]).contains("cannot be read"),
            "no file"
        );
        assert!(say(Vec::new()).contains("tls.cert_file"), "nothing at all");
    }
}
