//! The keys that sign the assertion: one key pair, what is published of it, and a compact JWS made with it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};

use crate::base::encoding::base64url;
use crate::base::secret::{Secret, sha256};

/// How assertions are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// Its name in a JWS header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa].into_iter().find(|one| one.name() == name)
    }
}

/// A key could not be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key could not be made or read")]
pub struct KeyFault;

/// A public key as JSON (RFC 7517); `kid` is its thumbprint (RFC 7638).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

impl PublicKey {
    fn new(algorithm: SigningAlgorithm, x: String, y: Option<String>) -> Self {
        let (kty, crv) = match algorithm {
            SigningAlgorithm::Es256 => ("EC", "P-256"),
            SigningAlgorithm::EdDsa => ("OKP", "Ed25519"),
        };
        // RFC 7638 section 3: the required members in the order of their names, without white space.
        let canonical = match &y {
            Some(y) => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            None => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
        };
        Self {
            kty,
            crv,
            x,
            y,
            kid: base64url(&sha256(canonical.as_bytes())),
            alg: algorithm.name(),
            usage: "sig",
        }
    }
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// A key pair, ready to sign: parsed once, not for every request.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    header: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid)
    }
}

impl SigningKey {
    /// A new private key, as PKCS #8, to be sealed and kept. Its randomness is the library's own, drawn from the operating system.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Secret<Vec<u8>>, KeyFault> {
        let document = match algorithm {
            SigningAlgorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()),
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()),
        };
        document.map(|made| Secret::new(made.as_ref().to_vec())).map_err(|_| KeyFault)
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// [`KeyFault`] if it is no key of that algorithm.
    pub fn from_pkcs8(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let (pair, public) = match algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyFault)?;
                // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 section 2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33).ok_or(KeyFault)?, point.get(33..65).ok_or(KeyFault)?);
                let public = PublicKey::new(algorithm, base64url(x), Some(base64url(y)));
                (Pair::Es256(pair), public)
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyFault)?;
                let public = PublicKey::new(algorithm, base64url(pair.public_key().as_ref()), None);
                (Pair::EdDsa(pair), public)
            }
        };
        let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"JWT"}}"#, public.alg, public.kid);
        Ok(Self {
            pair,
            header: base64url(header.as_bytes()),
            public,
        })
    }

    /// Its thumbprint, the `kid` of what it signs.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.public.kid
    }

    /// What is published of it.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A compact JWS (RFC 7515 section 3.1) over `claims`, which are the bytes of a JSON object.
    ///
    /// # Errors
    /// [`KeyFault`] if the library refuses to sign.
    pub fn sign(&self, claims: &[u8]) -> Result<String, KeyFault> {
        let mut text = format!("{}.{}", self.header, base64url(claims));
        let signature = match &self.pair {
            Pair::Es256(pair) => base64url(pair.sign(&SystemRandom::new(), text.as_bytes()).map_err(|_| KeyFault)?.as_ref()),
            Pair::EdDsa(pair) => base64url(pair.try_sign(text.as_bytes()).map_err(|_| KeyFault)?.as_ref()),
        };
        text.push('.');
        text.push_str(&signature);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn another_library_verifies_what_we_sign_with_what_we_publish() {
        for (algorithm, expected) in [
            (SigningAlgorithm::Es256, Algorithm::ES256),
            (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
        ] {
            let private = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::from_pkcs8(algorithm, private.expose()).unwrap();
            let token = key.sign(br#"{"sub":"u-1","aud":"https://app.example"}"#).unwrap();
            let jwk: Jwk = serde_json::from_value(serde_json::to_value(key.public()).unwrap()).unwrap();
            assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), key.id(), "{algorithm:?}");
            let mut validation = Validation::new(expected);
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.set_audience(&["https://app.example"]);
            let read = decode::<serde_json::Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
            assert_eq!(read.claims["sub"], "u-1");
            assert_eq!(read.header.kid.as_deref(), Some(key.id()));
            assert_eq!(read.header.typ.as_deref(), Some("JWT"));
            let mut changed = token.into_bytes();
            let middle = changed.len() / 2;
            changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
            assert!(decode::<serde_json::Value>(&changed, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).is_err());
        }
        assert!(SigningKey::from_pkcs8(SigningAlgorithm::Es256, b"no key").is_err());
    }
}
