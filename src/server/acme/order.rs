//! One order, from the account to the certificate on the shelf.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use crate::config::Acme;
use crate::config::Challenge;

use super::challenges::{Answer, CannotAnswer, Challenges};
use super::shelf::{CannotKeep, Shelf};
use super::transport::{Transport, Unheard};
use crate::server::tls::{Loaded, Resolver, TlsError};

/// How long an authority may take to look, and then to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .timeout(Duration::from_secs(120));
/// The longest of an authority's own words that is passed on, in characters.
const LONGEST_WORDS: usize = 400;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotGiven {
    /// The authority cannot be asked at all.
    #[error("the authority cannot be asked")]
    Unheard(#[from] Unheard),
    /// It took an order and then could not be asked any more: an order all the same.
    #[error("the authority broke off in the middle of an order")]
    BrokeOff(#[source] Unheard),
    /// It refuses.
    #[error("the authority refuses: {said}")]
    Refused {
        /// Its words.
        said: String,
        /// Whether it is because too much was asked.
        limited: bool,
    },
    /// It has looked, and does not believe that the host is ours.
    #[error("the authority looked by {challenge} and did not find us: {said}; it must reach this server at port {port} of that name")]
    NotFound {
        /// How it looked.
        challenge: &'static str,
        /// Its words.
        said: String,
        /// Where it looked.
        port: u16,
    },
    /// It does not look the way that is configured.
    #[error("the authority does not offer {0}: choose another tls.acme.challenge")]
    NoSuchChallenge(&'static str),
    /// It does not get on with it.
    #[error("the authority did not finish in time")]
    Slow,
    /// What it says makes no sense.
    #[error("the authority answers what is no ACME")]
    Senseless(#[source] Error),
    /// We cannot answer it.
    #[error(transparent)]
    CannotAnswer(#[from] CannotAnswer),
    /// The request for a certificate cannot be made.
    #[error("the request for a certificate cannot be made")]
    Request(#[from] rcgen::Error),
    /// The certificate cannot be kept.
    #[error(transparent)]
    CannotKeep(#[from] CannotKeep),
    /// The certificate cannot be used.
    #[error("the authority gave what cannot be used")]
    Unusable(#[from] TlsError),
    /// The certificate is for another.
    #[error("the authority gave a certificate for {0}")]
    ForAnother(String),
}

impl From<Error> for NotGiven {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused {
                limited: is(&problem, "rateLimited"),
                said: words(&problem),
            },
            Error::Timeout(_) => Self::Slow,
            Error::Other(other) => match other.downcast::<Unheard>() {
                Ok(unheard) => Self::Unheard(*unheard),
                Err(other) => Self::Senseless(Error::Other(other)),
            },
            other => Self::Senseless(other),
        }
    }
}

/// What an order needs.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// How the authority is asked.
    pub(super) settings: Acme,
    /// Where results are kept.
    pub(super) shelf: Shelf,
    /// How it is reached.
    pub(super) transport: Transport,
    /// Where challenges are answered and certificates shown.
    pub(super) resolver: Arc<Resolver>,
}

impl Orders {
    /// Has a certificate for a host, keeps it and gives it back; it is not shown yet.
    ///
    /// # Errors
    /// [`NotGiven`]
    pub(super) async fn have(&self, host: &str) -> Result<Loaded, NotGiven> {
        let identifiers = [Identifier::Dns(host.to_owned())];
        let order = NewOrder::new(&identifiers);
        let mut order = match self.account().await?.new_order(&order).await {
            // An authority that has forgotten us gets to know us again.
            Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {
                self.shelf.forget_account();
                self.account().await?.new_order(&order).await?
            }
            other => other?,
        };
        self.go_on_with(host, &mut order).await.map_err(|why| match why {
            NotGiven::Unheard(unheard) => NotGiven::BrokeOff(unheard),
            why => why,
        })
    }

    /// What comes after an order was placed.
    async fn go_on_with(&self, host: &str, order: &mut Order) -> Result<Loaded, NotGiven> {
        self.prove(host, order).await?;
        let key = KeyPair::generate()?;
        let mut request = CertificateParams::new(vec![host.to_owned()])?;
        request.distinguished_name = DistinguishedName::new();
        order.finalize_csr(request.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let key = Zeroizing::new(key.serialize_pem());
        self.keep(host, key, chain).await
    }

    /// The account, made where there is none.
    async fn account(&self) -> Result<Account, NotGiven> {
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        if let Some(known) = self.shelf.account() {
            return Ok(builder.from_credentials(known).await?);
        }
        let contact: Vec<String> = self.settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, self.settings.directory.clone(), None).await?;
        self.shelf.keep_account(&credentials)?;
        tracing::info!(directory = self.settings.directory, "an account was made with the authority");
        Ok(account)
    }

    /// Shows the authority that the host is ours.
    async fn prove(&self, host: &str, order: &mut Order) -> Result<(), NotGiven> {
        let (kind, challenge, port) = match self.settings.challenge {
            Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01", 443),
            Challenge::Http01 => (ChallengeType::Http01, "http-01", 80),
        };
        let challenges: &Challenges = &self.resolver.challenges;
        let mut showing = None;
        let mut authorizations = order.authorizations();
        // There is one, as there is one host.
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut asked = authorization.challenge(kind.clone()).ok_or(NotGiven::NoSuchChallenge(challenge))?;
            let key = asked.key_authorization();
            let answer = match self.settings.challenge {
                Challenge::TlsAlpn01 => {
                    let mut digest = [0; 32];
                    digest.iter_mut().zip(key.digest().as_ref()).for_each(|(to, from)| *to = *from);
                    Answer::by_handshake(host, &digest, self.resolver.provider())?
                }
                Challenge::Http01 => Answer::Text {
                    host: host.to_owned(),
                    token: asked.token.clone(),
                    text: key.as_str().to_owned(),
                },
            };
            // The one before takes its answer with it, so it goes first.
            drop(showing.take());
            showing = Some(challenges.show(answer));
            asked.set_ready().await?;
        }
        let looked = order.poll_ready(&PATIENCE).await;
        drop(showing);
        match looked {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) | Err(Error::Api(_)) => Err(NotGiven::NotFound {
                challenge,
                said: why_invalid(order).await.unwrap_or_else(|| "it does not say why".to_owned()),
                port,
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&self, host: &str, key: Zeroizing<String>, chain: String) -> Result<Loaded, NotGiven> {
        let (shelf, host) = (self.shelf.clone(), host.to_owned());
        let provider = Arc::clone(self.resolver.provider());
        let kept = tokio::task::spawn_blocking(move || {
            // What cannot be used must not take the place of what can.
            let file = shelf.certificate(&host);
            let loaded = Loaded::parse((chain.as_bytes(), &file), (key.as_bytes(), &file), &provider)?;
            if !loaded.names.contains(&host) {
                return Err(NotGiven::ForAnother(loaded.names.join(", ")));
            }
            shelf.keep_certificate(&host, &key, &chain)?;
            Ok(loaded)
        });
        kept.await.unwrap_or(Err(NotGiven::Slow))
    }
}

/// The authority's word on why an order has failed.
async fn why_invalid(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(words(problem));
        }
    }
    None
}

fn is(problem: &Problem, kind: &str) -> bool {
    problem
        .r#type
        .as_deref()
        .is_some_and(|written| written.strip_prefix("urn:ietf:params:acme:error:") == Some(kind))
}

/// What an authority said, fit for a log.
fn words(problem: &Problem) -> String {
    let details = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let all: Vec<&str> = problem.detail.as_deref().into_iter().chain(details).collect();
    let said = if all.is_empty() {
        problem.r#type.clone().unwrap_or_else(|| "without a word".to_owned())
    } else {
        all.join("; ")
    };
    said.chars().filter(|letter| !letter.is_control()).take(LONGEST_WORDS).collect()
}
