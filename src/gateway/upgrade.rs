//! WebSockets: both ends agree on HTTP, then bytes are passed on until one ends it, or until it is no longer allowed.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::app::open::Kind;
use crate::app::refusal::RefusalKind;
use crate::upstream::tunnel::{Close, splice};
use crate::upstream::{RequestBody, Sending, Wanted};

use super::body::Body;
use super::forward::{Failure, Forward, clean_answer, send};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What is added to the key before it is digested (RFC 6455 section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// With what code a WebSocket is closed whose right has ended: one of those left to applications (RFC 6455 section 7.4.2), after 401.
const RIGHT_ENDED: u16 = 4401;

/// Whether a request asks for a WebSocket and nothing else: `Upgrade: websocket` alone, `Connection: upgrade`, a GET of HTTP/1.1 without
/// body, version 13 and a key. Anything else is an ordinary request, and its `Upgrade` stays behind: h2c never passes.
pub(super) fn is_asked_for(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let websocket = upgrades
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none();
    let connection = headers.get_all(CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|key| STANDARD.decode(key.as_bytes()).ok())
        .is_some_and(|key| key.len() == 16);
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    websocket && connection && key && version && parts.method == Method::GET && parts.version == Version::HTTP_11
}

/// What the server must answer a key with (RFC 6455 section 4.2.2).
fn accept_of(key: &HeaderValue) -> String {
    let mut text = key.as_bytes().to_vec();
    text.extend_from_slice(MAGIC);
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// Opens a WebSocket to the application and passes bytes on.
pub(super) async fn serve(forward: &Forward<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    drop(body);
    let parts = forward.ask.parts;
    let ours = parts.extensions.get::<OnUpgrade>().cloned();
    let key = parts.headers.get(SEC_WEBSOCKET_KEY).cloned();
    let (Some(ours), Some(key)) = (ours, key) else {
        let kind = RefusalKind::Malformed {
            what: "the WebSocket's handshake is not complete",
        };
        return Err(forward.refuse(kind).into());
    };
    let head = || {
        let mut head = forward.head();
        ask_for(head.headers_mut());
        head
    };
    let how = Sending {
        timeouts: forward.terms.timeouts,
        wanted: Wanted::Http1,
        key: forward.key(),
        upload: None,
        lasting: &|| forward.lasting(None),
    };
    let mut answer = send(forward, head, RequestBody::Empty, &how).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        clean_answer(answer.headers_mut());
        let (head, body) = answer.into_parts();
        return Ok(Response::from_parts(head, Body::upstream(body).await));
    }
    let agreed = answer
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && answer
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| *accept == *accept_of(&key));
    if !agreed {
        // Whatever was agreed on, it is no WebSocket with this client: bytes passed on blindly could be somebody else's requests.
        tracing::warn!(application = %forward.application.name, "the application answered a WebSocket's handshake wrongly");
        return Err(forward.refuse(RefusalKind::UpstreamDown).into());
    }
    let theirs = hyper::upgrade::on(&mut answer);
    let (mut head, rest) = answer.into_parts();
    clean_answer(&mut head.headers);
    ask_for(&mut head.headers);
    forward.ask.conversation.upgrade();
    let ticket = forward.register(Kind::WebSocket);
    let mask = forward.app.random.bytes();
    let idle = forward.terms.timeouts.websocket_idle;
    let counted = forward.app.metrics.tunnel();
    let conversation = Arc::clone(forward.ask.conversation);
    tokio::spawn(async move {
        // Held while the socket is open: they count it, and say that it is busy.
        let _open = (counted, rest, conversation);
        let Ok((ours, theirs)) = futures_util::future::try_join(ours, theirs).await else {
            return;
        };
        let cut = async {
            Close {
                code: RIGHT_ENDED,
                reason: ticket.cut().await.words(),
            }
        };
        // An end that breaks off ends the other; there is nobody to tell.
        let _ = splice(TokioIo::new(ours), TokioIo::new(theirs), idle, cut, mask).await;
    });
    Ok(Response::from_parts(head, Body::empty()))
}

/// Puts back what belongs to this connection, now that it is ours to say.
fn ask_for(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // Only of requests; kept from the client where it was sent.
    headers.remove(HeaderName::from_static("content-length"));
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        assert_eq!(
            accept_of(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn only_a_whole_handshake_is_one() {
        let whole = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ];
        let parts = |change: &dyn Fn(&mut Parts)| {
            let mut request = Request::get("/ws");
            for (name, value) in whole {
                request = request.header(name, value);
            }
            let mut parts = request.body(()).unwrap().into_parts().0;
            change(&mut parts);
            parts
        };
        assert!(is_asked_for(&parts(&|_| {})));
        for (name, change) in [
            (
                "h2c",
                &(|parts: &mut Parts| drop(parts.headers.insert(UPGRADE, HeaderValue::from_static("h2c")))) as &dyn Fn(&mut Parts),
            ),
            ("h2c too", &|parts| {
                assert!(parts.headers.append(UPGRADE, HeaderValue::from_static("h2c")))
            }),
            ("list", &|parts| {
                drop(parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket, h2c")))
            }),
            ("no connection", &|parts| drop(parts.headers.remove(CONNECTION))),
            ("short key", &|parts| {
                drop(parts.headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("AAAA")))
            }),
            ("old version", &|parts| {
                drop(parts.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8")))
            }),
            ("POST", &|parts| parts.method = Method::POST),
            ("HTTP/2", &|parts| parts.version = Version::HTTP_2),
        ] {
            assert!(!is_asked_for(&parts(change)), "{name}");
        }
    }
}
