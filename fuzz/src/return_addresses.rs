//! Return addresses: whatever is gone on to after a sign-in is ours, as a browser reads it.
//!
//! Input: the address.

use std::sync::OnceLock;

use portcullis::config::PublicUrl;
use portcullis::web::return_to::Destination;
use url::Url;

const PORTAL: &str = "sso.example.com";
const APPLICATION: &str = "eln.example.com";

/// Reads the address as asked of the portal and of an application.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    static PORTALS: OnceLock<[PublicUrl; 2]> = OnceLock::new();
    let portals =
        PORTALS.get_or_init(|| ["https://sso.example.com:8443", "https://sso.example.com"].map(|url| PublicUrl::parse(url).unwrap()));
    for portal in portals {
        for asked in [PORTAL, APPLICATION] {
            let Ok(destination) = Destination::read(text, asked, portal, |host| host == APPLICATION) else {
                continue;
            };
            leads_to_us(&destination, asked, portal, text);
            let again = Destination::read(&destination.to_address(asked, portal), asked, portal, |host| host == APPLICATION);
            assert_eq!(again.as_ref(), Ok(&destination), "written out and read again: {text:?}");
        }
    }
}

fn leads_to_us(destination: &Destination, asked: &str, portal: &PublicUrl, text: &str) {
    let (host, target) = match destination {
        Destination::Here(target) => (asked, target),
        Destination::Elsewhere { host, target } => (&**host, target),
    };
    assert!([PORTAL, APPLICATION].contains(&host), "{text:?}");
    let page = Url::parse(&format!("{}/.portcullis/sign-in?a=b", portal.origin_of(host))).unwrap();
    // As `Location` and as a link, as it stands and decoded once more by somebody on the way.
    let decoded = percent_decoded(target);
    for address in [target.as_str(), &decoded, &destination.to_address(asked, portal)] {
        let lands = page.join(address).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(lands.origin(), page.origin(), "{text:?} leads to {lands}");
        assert!(lands.username().is_empty() && lands.password().is_none(), "{text:?}");
    }
    // A server that sends on to the path it was asked for must not send elsewhere either.
    let lands = page.join(target).unwrap();
    let again = page.join(lands.path()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.origin(), page.origin(), "{text:?} leads to {again}");
    assert!(
        target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'),
        "{text:?} in a header"
    );
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
                .and_then(|digit| u8::try_from(digit).ok())
        };
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            out.push(high << 4 | low);
            rest = &after[2..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
