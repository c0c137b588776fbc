//! Forwarded headers: only what trusted proxies added is believed, and an application hears of one origin only.
//!
//! Input: who is connected (an address, or `-` for a Unix socket), then fields as `name: value`, one a line.

use std::net::IpAddr;
use std::sync::{Mutex, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis::base::sources::{PolicyTexts, SourceText};
use portcullis::base::time::Timestamp;
use portcullis::gateway::authenticate::shows_service_credential;
use portcullis::gateway::client_ip::{Client, client_ip};
use portcullis::gateway::identity_headers::{Origin, cookies_of_others, pass_on, set_origin};
use portcullis::model::id::RequestId;
use portcullis::model::ip_pattern::{AddressRange, AddressSet, fold_mapped};
use portcullis::policy;
use portcullis::policy::facts::Scheme;
use portcullis::policy::protected::ProtectedNames;

/// What a reader that takes all marks for one would look for.
const ORIGIN_NAMES: [&str; 5] = ["forwarded", "xforwardedfor", "xforwardedhost", "xforwardedproto", "xrequestid"];

/// Sends the fields through the gate.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or("");
    let peer: Option<IpAddr> = match first {
        "-" => None,
        text => match text.parse() {
            // Folded where it is accepted.
            Ok(peer) => Some(fold_mapped(peer)),
            Err(_) => return,
        },
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(48) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value[1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    let client = client_ip(peer, trusted(), &headers);
    only_ours_are_believed(peer, &headers, &client);
    one_origin_is_told(peer, &headers, &client);
}

fn trusted() -> &'static AddressSet {
    static TRUSTED: OnceLock<AddressSet> = OnceLock::new();
    TRUSTED.get_or_init(|| AddressSet::of(["10.0.0.0/8", "::1", "fd00::/8"].map(|range| AddressRange::parse(range).unwrap())))
}

fn only_ours_are_believed(peer: Option<IpAddr>, headers: &HeaderMap, client: &Client) {
    assert_eq!(client.through_proxy, peer.is_none_or(|peer| trusted().contains(peer)));
    if !client.through_proxy {
        assert_eq!(
            (client.address, client.chain.len()),
            (peer.map(fold_mapped), 0),
            "a stranger is not believed"
        );
        return;
    }
    assert!(client.chain.len() <= 32);
    assert!(
        client.chain.iter().skip(1).all(|hop| trusted().contains(*hop)),
        "beyond a stranger nothing is believed: {client:?}"
    );
    assert!(client.chain.iter().chain(&client.address).all(|hop| fold_mapped(*hop) == *hop));

    // As one list, which is what several fields mean (RFC 9110 section 5.3).
    let fields: Vec<&[u8]> = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
    if fields.is_empty() {
        assert_eq!((client.address, client.chain.len()), (peer.map(fold_mapped), 0));
        return;
    }
    let list = fields.join(&b", "[..]);
    assert_eq!(&with_list(peer, &list), client);
    let end_is_reached = client.chain.len() == list.split(|byte| *byte == b',').count();
    let elements: Vec<&[u8]> = list.rsplit(|byte| *byte == b',').collect();
    for (hop, element) in client.chain.iter().rev().zip(&elements) {
        let written: IpAddr = std::str::from_utf8(element).unwrap().trim().parse().unwrap();
        assert_eq!(fold_mapped(written), *hop);
    }
    match client.address {
        None => assert!(
            elements.get(client.chain.len()).is_some_and(|element| !is_address(element)),
            "{client:?}"
        ),
        Some(address) => {
            assert_eq!(client.chain.first(), Some(&address));
            let stranger = !trusted().contains(address);
            assert!(stranger || end_is_reached || client.chain.len() == 32, "{client:?} of {list:?}");
            if stranger {
                // What a client writes in front of the truth changes nothing.
                for forged in ["10.0.0.9", "192.0.2.99", "unknown", ""] {
                    let longer = [forged.as_bytes(), &list].join(&b", "[..]);
                    assert_eq!(&with_list(peer, &longer), client, "{forged:?}");
                }
            }
        }
    }
}

fn is_address(element: &[u8]) -> bool {
    std::str::from_utf8(element).is_ok_and(|text| text.trim_matches([' ', '\t']).parse::<IpAddr>().is_ok())
}

fn with_list(peer: Option<IpAddr>, list: &[u8]) -> Client {
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-forwarded-for",
        HeaderValue::from_bytes(list).expect("parts of values make a value"),
    );
    client_ip(peer, trusted(), &headers)
}

fn one_origin_is_told(peer: Option<IpAddr>, sent: &HeaderMap, client: &Client) {
    let mut headers = HeaderMap::new();
    pass_on(sent, &mut headers, protected());
    for name in headers.keys() {
        let folded: String = name.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
        let theirs = ["xforwarded", "xportcullis", "xoriginal"]
            .iter()
            .any(|prefix| folded.starts_with(prefix));
        assert!(
            !theirs && !ORIGIN_NAMES.contains(&&*folded) && folded != "remoteuser" && !folded.is_empty(),
            "{name}"
        );
        assert!(
            !["connection", "te", "trailer", "transferencoding", "upgrade"].contains(&&*folded),
            "{name}"
        );
        assert!(
            ["host", "cookie", "contentlength", "authorization"]
                .iter()
                .all(|own| folded != *own || name.as_str().replace('-', "") == *own),
            "{name}"
        );
        assert!(
            name == "cookie" || headers.get_all(name).iter().eq(sent.get_all(name).iter()),
            "what passes, passes whole: {name}"
        );
    }
    for name in ["host", "content-type", "authorization"] {
        assert!(
            headers.get_all(name).iter().eq(sent.get_all(name).iter()) || name == "authorization" && shows_service_credential(sent),
            "no client has the message taken apart: {name}"
        );
    }
    assert_eq!(
        headers.get("cookie"),
        cookies_of_others(sent).as_ref(),
        "nor its cookies, but for ours"
    );
    assert!(!headers.contains_key("content-length"), "how long it is, is said anew");
    let origin = Origin {
        client,
        peer,
        scheme: Scheme::Https,
        host: "lab.example:8443",
    };
    set_origin(&mut headers, &origin, RequestId::from_number(1), &Mutex::default());
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-request-id",
    ] {
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    }
    // An application that trusts us and our proxies finds the client that we found.
    if let (Some(peer), Some(address), ..32) = (peer, client.address, client.chain.len()) {
        let told = client_ip(Some("10.0.0.250".parse().unwrap()), trusted(), &headers);
        assert_eq!(told.address, Some(address), "{headers:?}");
        if !client.through_proxy {
            assert_eq!(
                headers["x-forwarded-for"],
                fold_mapped(peer).to_string(),
                "a stranger is the whole chain"
            );
        }
    }
}

/// The names that are removed for an application like any other.
fn protected() -> &'static ProtectedNames {
    static PROTECTED: OnceLock<ProtectedNames> = OnceLock::new();
    PROTECTED.get_or_init(|| {
        let text = "[app.eln]\nhost = \"eln.example.com\"\nupstream = \"http://127.0.0.1:1\"\nrequire = { signed_in = true }\nheaders.strip = [\"Remote-User\"]\n";
        let texts = PolicyTexts {
            files: vec![SourceText { name: "policies/eln.toml".into(), text: text.into() }],
            ..PolicyTexts::default()
        };
        let context = policy::Context::plain("sso.example.com", Timestamp::EPOCH);
        let (policies, _) = policy::load(&texts, &context).expect("the policy is sound");
        ProtectedNames::of(&policies.applications()[0])
    })
}
