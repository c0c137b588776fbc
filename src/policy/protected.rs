//! Names that a client may not use: what an application would take for our word.

use std::collections::HashSet;

use super::application::{Application, Strip};
use super::headers::{Preset, names};

/// Names that proxies speak under, folded. An application believes them, so a client's own are never passed on.
const SPOKEN_BY_PROXIES: &[&str] = &[
    "forwarded",
    "xrealip",
    "xrewriteurl",
    "trueclientip",
    "cfconnectingip",
    "cfconnectingipv6",
    "fastlyclientip",
    "xclientip",
    "xclusterclientip",
    "xremoteip",
    "xremoteaddr",
    "xoriginatingip",
    "xrequestid",
    "clientip",
    "xproxyuserip",
    "xhost",
    "xscheme",
    "xurlscheme",
    "frontendhttps",
    // CGI turns a field `Proxy` into the variable HTTP_PROXY (CVE-2016-5385).
    "proxy",
];

/// The same, by how they begin.
const SPOKEN_BY_PROXIES_PREFIXES: &[&str] = &["xportcullis", "xforwarded", "xoriginal", "xenvoyexternal"];

/// Names that say how a message is framed, where it goes or who sends it. Only their own spelling has that meaning here; a reader that takes
/// `_` for `-` would give it to another spelling too, and read the request differently.
const SPELLED_ONE_WAY: &[(&str, &str)] = &[
    ("authorization", "authorization"),
    ("connection", "connection"),
    ("contentencoding", "content-encoding"),
    ("contentlength", "content-length"),
    ("contenttype", "content-type"),
    ("cookie", "cookie"),
    ("expect", "expect"),
    ("host", "host"),
    ("te", "te"),
    ("trailer", "trailer"),
    ("transferencoding", "transfer-encoding"),
    ("upgrade", "upgrade"),
];

/// Every name that is removed from what a client sends to one application.
///
/// Compared folded: lower case, letters and digits only, since CGI-style readers take `X_Portcullis.User` for `X-Portcullis-User`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedNames {
    exact: HashSet<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
    /// Which lengths with which first byte there are among `exact`, near enough: nearly every name is told apart by them.
    shapes: u128,
}

/// One bit for the length and the first byte of a folded name.
fn shape(folded: &[u8]) -> u128 {
    let first = folded.first().copied().unwrap_or(0);
    1 << ((folded.len() * 37 + usize::from(first)) % 128)
}

impl ProtectedNames {
    /// The names an application trusts, and those nobody's client may use.
    #[must_use]
    pub fn of(application: &Application) -> Self {
        let mut exact: HashSet<Box<[u8]>> = SPOKEN_BY_PROXIES.iter().map(|name| name.as_bytes().into()).collect();
        let mut prefixes: Vec<Box<[u8]>> = SPOKEN_BY_PROXIES_PREFIXES.iter().map(|prefix| prefix.as_bytes().into()).collect();
        exact.extend(names(application).iter().map(|name| fold(name.as_str()).into_bytes().into()));
        // Grafana reads the role under a name of its own, whether or not `headers.choose` fills it.
        if application.headers.preset == Preset::Grafana {
            exact.insert(b"xwebauthrole".as_slice().into());
        }
        for strip in &application.headers.strip {
            match strip {
                Strip::Name(name) => {
                    exact.insert(fold(name).into_bytes().into());
                }
                Strip::Prefix(prefix) => prefixes.push(fold(prefix).into_bytes().into()),
            }
        }
        prefixes.sort();
        prefixes.dedup();
        let shapes = exact.iter().fold(0, |shapes, name| shapes | shape(name));
        Self { exact, prefixes, shapes }
    }

    /// No name at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            exact: HashSet::new(),
            prefixes: Vec::new(),
            shapes: 0,
        }
    }

    /// Whether a field of that name is removed. `folded` is room to work in, kept between calls.
    pub fn covers(&self, name: &str, folded: &mut Vec<u8>) -> bool {
        folded.clear();
        folded.extend(folded_bytes(name));
        // A name that folds to nothing means nothing to us, and perhaps something to somebody.
        folded.is_empty()
            || self.shapes & shape(folded) != 0 && self.exact.contains(folded.as_slice())
            || self.prefixes.iter().any(|prefix| folded.starts_with(prefix))
            || SPELLED_ONE_WAY
                .iter()
                .any(|(fold, spelling)| fold.as_bytes() == folded.as_slice() && *spelling != name)
    }
}

fn folded_bytes(name: &str) -> impl Iterator<Item = u8> + '_ {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// A field name as a CGI-style reader would compare it.
#[must_use]
pub fn fold(name: &str) -> String {
    folded_bytes(name).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected() -> ProtectedNames {
        let exact: HashSet<Box<[u8]>> = ["remoteuser", "forwarded"].map(|name| name.as_bytes().into()).into();
        ProtectedNames {
            shapes: exact.iter().fold(0, |shapes, name| shapes | shape(name)),
            exact,
            prefixes: vec![b"xportcullis".as_slice().into()],
        }
    }

    #[test]
    fn every_spelling_of_a_protected_name_is_covered() {
        let protected = protected();
        let mut room = Vec::new();
        for (name, covered) in [
            ("x-portcullis-user", true),
            ("X_Portcullis_User", true),
            ("x.portcullis.user", true),
            ("xPORTCULLISuser", true),
            ("x-portcullis-anything-new", true),
            ("remote-user", true),
            ("Remote_User", true),
            ("remote~user", true),
            ("remote-users", false),
            ("accept", false),
            ("content-length", false),
            ("content_length", true),
            ("transfer.encoding", true),
            ("transfer-encoding", false),
            ("cookie", false),
            ("coo-kie", true),
            ("-_-", true),
        ] {
            assert_eq!(protected.covers(name, &mut room), covered, "{name}");
        }
    }
}
