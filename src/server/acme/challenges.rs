//! What an authority that looks whether a host is ours is shown: a certificate or a text, only while an order is in progress.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol an authority asks for in its handshake (RFC 8737 section 6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";
/// Where an authority looks in clear (RFC 8555 section 8.3).
const PLACE: &str = "/.well-known/acme-challenge/";

/// Why a certificate for a challenge cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CannotAnswer {
    /// The certificate cannot be written.
    #[error("the certificate of the challenge cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// The library does not take it.
    #[error("the certificate of the challenge cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The answer to one challenge. There is one order at a time, with one host.
#[derive(Debug)]
pub enum Answer {
    /// To a handshake.
    Certificate {
        /// The host it is about.
        host: String,
        /// What is shown.
        certified: Arc<CertifiedKey>,
    },
    /// To a request in clear.
    Text {
        /// The host it is about.
        host: String,
        /// The last part of the address.
        token: String,
        /// What is said.
        text: String,
    },
}

impl Answer {
    /// The certificate with the digest of the key authorization in it (RFC 8737 section 3).
    ///
    /// # Errors
    /// [`CannotAnswer`] if `host` is no host name, or the library refuses.
    pub fn by_handshake(host: &str, digest: &[u8; 32], provider: &CryptoProvider) -> Result<Self, CannotAnswer> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = provider.key_provider.load_private_key(private)?;
        // Not `from_der`: it reads the certificate, and refuses the extension that must be critical in it.
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        Ok(Self::Certificate {
            host: host.to_owned(),
            certified: Arc::new(certified),
        })
    }
}

/// The answer that is given now, if any.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwapOption<Answer>);

impl Challenges {
    /// Gives an answer as long as what is returned lives.
    pub fn show(&self, answer: Answer) -> Showing<'_> {
        self.0.store(Some(Arc::new(answer)));
        Showing(self)
    }

    /// The certificate for a handshake that asks for [`PROTOCOL`].
    #[must_use]
    pub fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        match self.0.load().as_deref()? {
            Answer::Certificate { host, certified } if name?.eq_ignore_ascii_case(host) => Some(Arc::clone(certified)),
            _ => None,
        }
    }

    /// The text for a path on a host, given in lower case. `None` is an answer too: the path belongs to whoever else has it.
    #[must_use]
    pub fn text(&self, asked: &str, path: &str) -> Option<String> {
        match self.0.load().as_deref()? {
            Answer::Text { host, token, text } if host == asked && path.strip_prefix(PLACE) == Some(token) => Some(text.clone()),
            _ => None,
        }
    }
}

/// Ends the answer when it is dropped, however the order ended.
#[derive(Debug)]
#[must_use = "the answer is given only as long as this lives"]
pub struct Showing<'a>(&'a Challenges);

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}

/// Whether a handshake is an authority's: it asks for [`PROTOCOL`] and nothing else (RFC 8737 section 4).
#[must_use]
pub fn is_for_challenge(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut asked| asked.next() == Some(PROTOCOL) && asked.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_on_its_host_while_its_order_lasts() {
        let challenges = Challenges::default();
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(challenges.text("eln.example", path), None, "no order");
        let showing = challenges.show(Answer::Text {
            host: "eln.example".into(),
            token: "abc".into(),
            text: "abc.thumb".into(),
        });
        for (name, host, path, answered) in [
            ("the token", "eln.example", path, true),
            ("another host", "lab.example", path, false),
            ("another token", "eln.example", "/.well-known/acme-challenge/abcd", false),
            ("no token", "eln.example", "/.well-known/acme-challenge/", false),
            ("below it", "eln.example", "/.well-known/acme-challenge/abc/", false),
            ("another path", "eln.example", "/.well-known/security.txt", false),
        ] {
            assert_eq!(challenges.text(host, path).is_some(), answered, "{name}");
        }
        assert!(challenges.certificate(Some("eln.example")).is_none(), "the other challenge");
        drop(showing);
        assert_eq!(challenges.text("eln.example", path), None, "the order is over");
    }

    #[test]
    fn a_certificate_is_shown_for_its_host_while_its_order_lasts() {
        let challenges = Challenges::default();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let answer = Answer::by_handshake("eln.example", &[7; 32], &provider).unwrap();
        let showing = challenges.show(answer);
        assert!(challenges.certificate(Some("ELN.example")).is_some());
        assert!(challenges.certificate(Some("lab.example")).is_none() && challenges.certificate(None).is_none());
        drop(showing);
        assert!(challenges.certificate(Some("eln.example")).is_none());
    }
}
