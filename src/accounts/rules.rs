//! What settings and policies say about accounts, as plain values.

use std::time::Duration;

use crate::base::time::{DAY, HOUR, MINUTE};
use crate::mail::letters::Letterhead;
use crate::model::attempts::AttemptLimit;
use crate::model::session::SessionLimits;
use crate::model::token::TokenStyle;

use super::signing::SigningAlgorithm;

/// The rules of the house that accounts go by. Made from settings and policies together, replaced as one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HouseRules {
    /// `signin.methods` has `password`; otherwise nobody gets a reset token by asking.
    pub passwords: bool,
    /// `signin.registration` is `invited`; otherwise nobody registers.
    pub registration: bool,
    /// Whether mail is set up: letters are sent then, and a token that somebody asked for is not shown to administrators.
    pub mail: bool,
    /// What letters say of the house; also where its links lead.
    pub letterhead: Letterhead,
    /// How long sessions last: the stricter of `session.*` and `signin.idle`.
    pub session: SessionLimits,
    /// `store.on_loss`: how long sessions in memory go on while the store is out of order.
    pub on_loss: Duration,
    /// `signin.password_min`, in characters.
    pub password_min: u32,
    /// `signin.token_style` and `signin.token_digits`.
    pub token_style: TokenStyle,
    /// `signin.token_attempts`: wrong guesses that a token takes.
    pub token_tries: u32,
    /// `signin.invitation_ttl`: how long registration tokens are good.
    pub registration_ttl: Duration,
    /// `signin.token_ttl`: how long reset tokens are good.
    pub reset_ttl: Duration,
    /// `signin.attempts` and `signin.lock_for`: wrong tries for one name from one network.
    pub name_limit: AttemptLimit,
    /// Wrong tries from one network, whatever the names.
    pub network_limit: AttemptLimit,
    /// `signin.fresh_for`: how long after a sign-in sensitive acts are done without proving again who one is.
    pub fresh_for: Duration,
    /// `assertion.alg`.
    pub signing_algorithm: SigningAlgorithm,
    /// `assertion.rotate`: how long one key signs.
    pub signing_rotate: Duration,
    /// `assertion.publish_ahead`: how long a key is published before it signs.
    pub signing_publish_ahead: Duration,
    /// `assertion.ttl`: how long what was signed is good, and so how long a key stays published after it has signed.
    pub signing_ttl: Duration,
}

impl Default for HouseRules {
    /// As shipped (`POLICY.md` sections 4 and 9).
    fn default() -> Self {
        Self {
            passwords: true,
            registration: true,
            mail: false,
            letterhead: Letterhead {
                site: "portcullis".to_owned(),
                origin: "http://localhost".to_owned(),
                host: "localhost".to_owned(),
                help: None,
            },
            session: SessionLimits {
                idle: 2 * HOUR,
                absolute: 24 * HOUR,
            },
            on_loss: Duration::ZERO,
            password_min: 12,
            token_style: TokenStyle::Code,
            token_tries: 5,
            registration_ttl: 48 * HOUR,
            reset_ttl: 60 * MINUTE,
            name_limit: AttemptLimit {
                attempts: 10,
                lock_for: 15 * MINUTE,
            },
            network_limit: network_limit(10),
            fresh_for: 10 * MINUTE,
            signing_algorithm: SigningAlgorithm::Es256,
            signing_rotate: 30 * DAY,
            signing_publish_ahead: DAY,
            signing_ttl: 5 * MINUTE,
        }
    }
}

/// Wrong tries from one network in a minute, whatever the names: ten times what one name takes in its window, and never fewer than a full
/// queue of passwords can hold at once, so that a rush of people who know theirs is not taken for guessing; the success of each takes its
/// try back.
#[must_use]
pub fn network_limit(attempts_of_a_name: u32) -> AttemptLimit {
    AttemptLimit {
        attempts: attempts_of_a_name.saturating_mul(10).max(100),
        lock_for: MINUTE,
    }
}
