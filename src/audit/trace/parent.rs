//! Which trace a request says it belongs to, and how the next server is told (W3C Trace Context).

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long a `traceparent` of version 00 is, in bytes.
const LENGTH: usize = 55;

/// The span that fields name as the one above; nothing if there is none, if there are two, or if it is not to the letter.
///
/// Source: W3C Trace Context sections 3.2 and 3.3. Of later versions what version 00 has is read, as section 3.2.4 wants it.
pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let text = only.to_str().ok()?;
    let (own, more) = (text.get(..LENGTH)?, text.get(LENGTH..)?);
    let mut parts = own.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_later = version != "00" && more.starts_with('-');
    let fits = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2)
        && [version, trace, span, flags].iter().all(|part| part.bytes().all(is_hex))
        && version != "ff"
        && (more.is_empty() || is_later);
    if !fits {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let above = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        state(headers).unwrap_or_default(),
    );
    above.is_valid().then_some(above)
}

/// What vendors keep in the trace: several fields are one list (RFC 9110 section 5.3). What cannot be read is left out, the trace goes on.
fn state(headers: &HeaderMap) -> Option<TraceState> {
    let lines: Result<Vec<&str>, _> = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str).collect();
    TraceState::from_str(&lines.ok()?.join(",")).ok()
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Tells whoever is asked next which span is above, in place of what was told before.
pub(super) fn write(above: &SpanContext, headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    let sampled = u8::from(above.is_sampled());
    let parent = format!("00-{}-{}-{sampled:02x}", above.trace_id(), above.span_id());
    if let Ok(parent) = HeaderValue::try_from(parent) {
        headers.insert(TRACEPARENT, parent);
    }
    let state = above.trace_state().header();
    if !state.is_empty()
        && let Ok(state) = HeaderValue::try_from(state)
    {
        headers.insert(TRACESTATE, state);
    }
}
