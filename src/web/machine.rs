//! What programs ask our own addresses for: who they are, and the keys of the assertion.

use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::answer;
use super::cx::{Cx, Outcome};

/// GET `/whoami`: who is asking, what counts for them here, and which address was believed. 200 also when nobody is signed in.
pub async fn whoami(cx: &mut Cx<'_>) -> Outcome {
    let standing = cx.standing.as_ref();
    let held = standing.and_then(|standing| standing.held.as_deref());
    let user = cx.caller.as_ref().map(|caller| {
        let identity = caller.identity();
        json!({
            "id": identity.user.to_string(),
            "login": identity.username.as_str(),
            "email": identity.email.as_ref().map(ToString::to_string),
            "name": identity.display_name(),
        })
    });
    let names = |names: Vec<String>| Value::from(names);
    let value = json!({
        "user": user,
        "teams": names(held.map(|held| held.teams().iter().map(ToString::to_string).collect()).unwrap_or_default()),
        "roles": names(held.map(|held| held.roles().iter().map(ToString::to_string).collect()).unwrap_or_default()),
        "address": cx.facts.client_ip.map(|ip| ip.to_string()),
        "hop": cx.hop,
        "reason": standing.filter(|standing| !standing.is_allowed()).map(|standing| standing.reason.code()),
    });
    Ok(answer::json(StatusCode::OK, &value))
}

/// GET `/jwks.json`: the keys that assertions are signed with, those to come included.
pub async fn jwks(cx: &mut Cx<'_>) -> Outcome {
    let mut answer = answer::json_text(cx.app.accounts.jwks());
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(answer)
}
