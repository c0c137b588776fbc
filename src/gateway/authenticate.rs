//! Who sends a request: the session behind its cookie.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::accounts;
use crate::accounts::{Accounts, Caller, Unavailable};
use crate::base::time::Timestamp;
use crate::model::principal::Principal;
use crate::model::session::SessionValue;
use crate::policy::facts::Host;

use super::cookies::OurCookies;

/// How the credential of a service begins.
const SERVICE_PREFIX: &[u8] = b"pcs_";

/// What a request showed of its sender.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    /// Whoever has the session.
    pub caller: Option<Caller>,
    /// The value in the cookie, to ask again with while a stream is open.
    pub value: Option<SessionValue>,
    /// A value was shown, and its session is over.
    pub ended: bool,
}

impl Presented {
    /// Who it is, as rules are asked about them.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.caller.as_ref().map_or(Principal::Anonymous, |caller| caller.principal.clone())
    }
}

/// Finds out who sends a request. A session that is in memory costs no waiting.
///
/// # Errors
/// [`Unavailable`] if the store must be asked and does not answer: nobody gets in by it.
pub async fn authenticate(
    accounts: &Accounts,
    cookies: &OurCookies,
    headers: &HeaderMap,
    host: &Host,
    now: Timestamp,
) -> Result<Presented, Unavailable> {
    // Whoever shows a credential of a service is that service or nobody, whatever cookie comes with it.
    if shows_service_credential(headers) {
        return Ok(Presented::default());
    }
    let Some(shown) = &cookies.session else {
        return Ok(Presented::default());
    };
    let Some(value) = SessionValue::parse(shown) else {
        return Ok(Presented {
            ended: true,
            ..Presented::default()
        });
    };
    Ok(match accounts.caller(&value, host.as_str(), now).await? {
        accounts::Presented::Live(caller) => Presented {
            caller: Some(caller),
            value: Some(value),
            ended: false,
        },
        accounts::Presented::Ended => Presented {
            ended: true,
            ..Presented::default()
        },
    })
}

/// Whether `Authorization` holds a service's credential, which is ours and never the application's.
#[must_use]
pub fn shows_service_credential(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(|value| {
        let value = value.as_bytes();
        let (scheme, rest) = value.split_at_checked(6).unwrap_or((value, &[]));
        let apart = rest.first().is_some_and(u8::is_ascii_whitespace);
        scheme.eq_ignore_ascii_case(b"bearer") && apart && rest.trim_ascii_start().starts_with(SERVICE_PREFIX)
    })
}
