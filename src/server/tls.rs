//! TLS of the gateway: certificates chosen by name, and replaced without a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

use super::acme::challenges;
use super::acme::challenges::Challenges;

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
    #[error("listen.https needs tls.cert_file and tls.key_file, or [tls.acme]")]
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

/// A certificate that can be shown, with what it says of itself.
#[derive(Clone, Debug)]
pub struct Loaded {
    certified: Arc<CertifiedKey>,
    /// The hosts it names, in lower case.
    pub names: Vec<String>,
    /// Its first moment.
    pub begins: Timestamp,
    /// Its last moment.
    pub ends: Timestamp,
}

impl Loaded {
    /// Reads a chain and its key, which may stand in one file.
    ///
    /// # Errors
    /// [`TlsError`]: the first thing that is wrong with them.
    pub fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Self, TlsError> {
        Self::parse((&read(certificate)?, certificate), (&read(key)?, key), provider)
    }

    /// The same of texts that were read, or are to be written, under these names.
    ///
    /// # Errors
    /// [`TlsError`]: the first thing that is wrong with them.
    pub fn parse((text, certificate): (&[u8], &Path), key: (&[u8], &Path), provider: &CryptoProvider) -> Result<Self, TlsError> {
        let none = || TlsError::NoCertificate {
            file: certificate.to_owned(),
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| none())?;
        let leaf = chain.first().ok_or_else(none)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| none())?;
        let names = names_in(&parsed).ok_or_else(|| TlsError::NoName {
            file: certificate.to_owned(),
        })?;
        let begins = Timestamp::from_secs(parsed.validity().not_before.timestamp());
        let ends = Timestamp::from_secs(parsed.validity().not_after.timestamp());
        Ok(Self {
            certified: Arc::new(certify(chain, certificate, key, provider)?),
            names,
            begins,
            ends,
        })
    }

    fn ending(&self) -> Ending {
        Ending {
            name: self.names.first().cloned().unwrap_or_default(),
            at: self.ends,
        }
    }
}

/// Where certificates come from.
#[derive(Debug, Default)]
struct Origins {
    /// Files that the settings name.
    files: Vec<Loaded>,
    /// Given by an authority, by the host each was asked for.
    issued: BTreeMap<String, Loaded>,
    /// Hosts an authority is to give one for.
    asked: BTreeSet<String>,
}

/// The certificates in use, by the names in them.
#[derive(Debug, Default)]
struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the domain behind the `*.`.
    under: HashMap<String, Arc<CertifiedKey>>,
    /// Hosts whose certificate has not been given yet.
    missing: HashSet<String>,
    first: Option<Arc<CertifiedKey>>,
    endings: Vec<Ending>,
}

impl Certificates {
    fn of_all(origins: &Origins) -> Self {
        let mut all = Self::default();
        for loaded in origins.files.iter().chain(origins.issued.values()) {
            all.endings.push(loaded.ending());
            for name in &loaded.names {
                let certified = Arc::clone(&loaded.certified);
                // The first certificate that names a host keeps it, so files win.
                match name.strip_prefix("*.") {
                    Some(domain) => all.under.entry(domain.to_owned()).or_insert(certified),
                    None => all.exact.entry(name.clone()).or_insert(certified),
                };
            }
            all.first.get_or_insert_with(|| Arc::clone(&loaded.certified));
        }
        all.missing = origins.asked.iter().filter(|name| all.named(name).is_none()).cloned().collect();
        all
    }

    /// The certificate that names a host, given in lower case.
    fn named(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| self.under.get(name.split_once('.')?.1))
    }

    fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = name {
            let name = name.to_ascii_lowercase();
            if let Some(found) = self.named(&name) {
                return Some(Arc::clone(found));
            }
            // Another's certificate would be taken for an attack; an alert is what this is.
            if self.missing.contains(&name) {
                return None;
            }
        }
        // Without a name, or with one that no certificate has, the first is shown: the client then says what is wrong in its own words.
        self.first.clone()
    }
}

/// Chooses a certificate for each handshake.
#[derive(Debug)]
pub struct Resolver {
    certificates: ArcSwap<Certificates>,
    origins: Mutex<Origins>,
    provider: Arc<CryptoProvider>,
    /// What is shown to an authority that looks whether a host is ours.
    pub challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenges::is_for_challenge(&hello) {
            return self.challenges.certificate(hello.server_name());
        }
        self.certificates.load().of(hello.server_name())
    }
}

impl Resolver {
    /// Reads the files again. What was in use stays in use if any of them is broken.
    ///
    /// # Errors
    /// [`TlsError`]: the first thing that is wrong.
    pub fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        let read = |(certificate, key): &(PathBuf, PathBuf)| Loaded::read(certificate, key, &self.provider);
        let files = tls.certificates.iter().map(read).collect::<Result<_, _>>()?;
        self.change(|origins| origins.files = files);
        Ok(())
    }

    /// Says for which hosts an authority is asked. Certificates it gave for others are no longer shown.
    pub fn ask_for(&self, hosts: BTreeSet<String>) {
        self.change(|origins| {
            origins.issued.retain(|host, _| hosts.contains(host));
            origins.asked = hosts;
        });
    }

    /// Shows a certificate that an authority gave for a host.
    pub fn issued(&self, host: &str, loaded: Loaded) {
        self.change(|origins| drop(origins.issued.insert(host.to_owned(), loaded)));
    }

    /// Whether a certificate among the settings' files names a host, given in lower case.
    #[must_use]
    pub fn has_file_for(&self, host: &str) -> bool {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let domain = host.split_once('.').map(|(_, domain)| domain);
        let names = |name: &String| name == host || name.strip_prefix("*.").is_some_and(|under| Some(under) == domain);
        origins.files.iter().any(|loaded| loaded.names.iter().any(names))
    }

    /// When each certificate in use ends.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        self.certificates.load().endings.clone()
    }

    /// What signs.
    #[must_use]
    pub const fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    fn change(&self, change: impl FnOnce(&mut Origins)) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut origins);
        self.certificates.store(Arc::new(Certificates::of_all(&origins)));
    }
}

/// TLS for the gateway's listeners: HTTP/2 and HTTP/1.1 by ALPN, TLS 1.2 and 1.3, one session ticket.
///
/// # Errors
/// [`TlsError`]: the first thing that is wrong with the files.
pub fn server_config(tls: &Tls) -> Result<(Arc<ServerConfig>, Arc<Resolver>), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    if tls.certificates.is_empty() && tls.acme.is_none() {
        return Err(TlsError::None);
    }
    let resolver = Arc::new(Resolver {
        certificates: ArcSwap::default(),
        origins: Mutex::default(),
        provider: Arc::clone(&provider),
        challenges: Arc::default(),
    });
    resolver.replace(tls)?;
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
    // The last is for authorities, and answered only while one has been asked to look.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), challenges::PROTOCOL.to_vec()];
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

/// The hosts a certificate names; `None` if it names nothing, not even an address.
fn names_in(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    let alternatives = certificate.subject_alternative_name().ok().flatten()?;
    let all = &alternatives.value.general_names;
    let has_address = all.iter().any(|name| matches!(name, GeneralName::IPAddress(_)));
    let names: Vec<String> = all
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    (has_address || !names.is_empty()).then_some(names)
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    certificate: &Path,
    (text, key): (&[u8], &Path),
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let private = PrivateKeyDer::from_pem_slice(text).map_err(|_| TlsError::NoKey { file: key.to_owned() })?;
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
            acme: None,
        }
    }

    #[test]
    fn each_host_gets_the_certificate_that_names_it() {
        let folder = Folder::new();
        let lab = folder.pair("lab", &["lab.example", "*.lab.example"]);
        let other = folder.pair("other", &["other.example"]);
        let (_, resolver) = server_config(&tls(vec![lab, other])).unwrap();
        let certificates = resolver.certificates.load();
        let shown = |name: Option<&str>| certificates.of(name).unwrap().cert[0].clone();
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
    fn files_come_before_what_an_authority_gave_and_a_host_without_either_shows_nothing() {
        let folder = Folder::new();
        let lab = folder.pair("lab", &["*.lab.example"]);
        let (_, resolver) = server_config(&tls(vec![lab])).unwrap();
        let load = |name: &str, hosts: &[&str]| {
            let (certificate, key) = folder.pair(name, hosts);
            Loaded::read(&certificate, &key, resolver.provider()).unwrap()
        };
        let shown = |name: &str| {
            resolver
                .certificates
                .load()
                .of(Some(name))
                .map(|certified| certified.cert[0].clone())
        };
        let first = shown("nobody.example");
        assert!(
            resolver.has_file_for("a.lab.example") && !resolver.has_file_for("a.b.lab.example") && !resolver.has_file_for("lab.example")
        );

        resolver.ask_for(BTreeSet::from(["a.lab.example".to_owned(), "eln.example".to_owned()]));
        assert_eq!(shown("a.lab.example"), first);
        assert_eq!(shown("ELN.example"), None, "not given yet");
        resolver.issued("eln.example", load("eln", &["eln.example"]));
        let given = shown("ELN.example");
        assert!(given.is_some() && given != first);
        resolver.issued("a.lab.example", load("a", &["a.lab.example"]));
        assert_ne!(shown("a.lab.example"), first, "one's own wildcard is less exact");
        assert_eq!(resolver.endings().len(), 3);

        resolver.ask_for(BTreeSet::new());
        assert_eq!(shown("eln.example"), first, "no longer asked for");
        assert_eq!(resolver.endings().len(), 1);
    }

    #[test]
    fn a_broken_file_leaves_the_old_certificate_in_use() {
        let folder = Folder::new();
        let pair = folder.pair("lab", &["lab.example"]);
        let settings = tls(vec![pair.clone()]);
        let (_, resolver) = server_config(&settings).unwrap();
        let before = resolver.certificates.load().of(None).unwrap().cert[0].clone();
        fs::write(&pair.0, "nonsense").unwrap();
        assert!(matches!(resolver.replace(&settings), Err(TlsError::NoCertificate { .. })));
        assert_eq!(resolver.certificates.load().of(None).unwrap().cert[0], before);
        folder.pair("lab", &["lab.example"]);
        resolver.replace(&settings).unwrap();
        assert_ne!(resolver.certificates.load().of(None).unwrap().cert[0], before);
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
