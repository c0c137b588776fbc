//! `[idp.NAME]` and `[directory.NAME]`: where identities come from. Every key is checked; deciding needs few of them.

use std::time::Duration;

use url::{Host, Url};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::document::{At, Entry};
use crate::base::grammar::Flaw;
use crate::base::reader::Reader;
use crate::base::time::{DAY, HOUR, MINUTE};

use super::super::definitions::{Jit, Provider, ProviderKind};
use super::condition::values;
use super::scope::{Kind, Scope, between, domain, line, listed};

/// How a directory is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirectoryTls {
    Ldaps,
    StartTls,
    None,
}

impl Scope<'_> {
    pub(super) fn idp(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Provider> {
        reader.need("kind", "the only kind is \"saml\"");
        reader.need("metadata", "a file below the policies folder, or an https address");
        let _ = reader.word("kind", &[("saml", ())]);
        if let Some(metadata) = reader.text("metadata") {
            self.metadata(&metadata, reader.table_has("metadata_refresh"), &mut reader);
        }
        let _ = reader.parsed("metadata_refresh", between("metadata_refresh", MINUTE, 365 * DAY));
        if let Some(cert) = reader.text("metadata_cert_file") {
            let _ = self.file(&cert, false);
        }
        let _ = reader.parsed("entity_id", line);
        self.attribute_names(&mut reader, &["id", "email", "name", "login", "groups"]);
        let _ = reader.list("mfa_contexts", line);
        for key in ["sign_requests", "want_encrypted", "cbc", "idp_initiated", "slo"] {
            let _ = reader.boolean(key);
        }
        let _ = reader.parsed("clock_skew", between("clock_skew", Duration::ZERO, 5 * MINUTE));
        self.aliases(&mut reader);
        let provider = self.provider(written, &mut reader, ProviderKind::Saml)?;
        reader.finish();
        Some(provider)
    }

    pub(super) fn directory(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Provider> {
        reader.need("kind", "the only kind is \"ldap\"");
        reader.need("url", "such as [\"ldaps://ldap.example.org\"]");
        reader.need("base", "where people are, such as \"ou=people,dc=example,dc=org\"");
        reader.need("user_filter", "such as \"(uid={login})\"");
        let _ = reader.word("kind", &[("ldap", ())]);
        let urls = reader.one_or_more("url", directory_url);
        if let Some(urls) = &urls
            && urls.value.is_empty()
            && self.problems.count() == 0
        {
            self.problem("E103", "a directory needs at least one address", &urls.span);
        }
        self.directory_tls(&mut reader, urls.as_ref().map_or(&[], |urls| &urls.value));
        if let Some(ca) = reader.text("ca_file") {
            let _ = self.file(&ca, false);
        }
        let _ = reader.parsed("server_name", line);
        for key in ["connect_timeout", "timeout", "sign_in_deadline"] {
            let _ = reader.parsed(key, between(key, Duration::from_millis(100), 5 * MINUTE));
        }
        let _ = reader.integer("pool", 1..=256);
        let _ = reader.parsed("bind_dn", distinguished_name);
        if let Some(secret) = reader.text("bind_password_file") {
            let _ = self.file(&secret, true);
        }
        reader.no_secret(
            "bind_password",
            "put it in a file that only the server reads and name that with `bind_password_file`",
        );
        let _ = reader.parsed("base", distinguished_name);
        let _ = reader.parsed("user_filter", |text| filter(text, &["login"], Some("login")));
        let _ = reader.word(
            "preset",
            &[("openldap", ()), ("ad", ()), ("freeipa", ()), ("lldap", ()), ("389ds", ())],
        );
        let _ = reader.word(
            "groups",
            &[
                ("memberof", ()),
                ("search", ()),
                ("posix", ()),
                ("ad-chain", ()),
                ("token-groups", ()),
            ],
        );
        let _ = reader.parsed("group_base", distinguished_name);
        let _ = reader.parsed("group_filter", |text| filter(text, &["dn", "login"], None));
        let _ = reader.boolean("nested");
        self.attribute_names(&mut reader, &["id", "email", "name", "login", "groups"]);
        let _ = reader.parsed("refresh", between("refresh", Duration::from_secs(1), DAY));
        let _ = reader.parsed("stale_for", between("stale_for", Duration::ZERO, 7 * DAY));
        let provider = self.provider(written, &mut reader, ProviderKind::Ldap)?;
        reader.finish();
        Some(provider)
    }

    /// What both kinds have.
    fn provider(&self, written: &At<String>, reader: &mut Reader<'_>, kind: ProviderKind) -> Option<Provider> {
        let title = reader.parsed("title", line);
        let rank = reader.integer("rank", -1_000_000..=1_000_000);
        let team = self.name(reader, "team", Kind::Team);
        let email_domains = values(reader.list("email_domains", |text| if text == "*" { Ok(text.to_owned()) } else { domain(text) }));
        let jit = reader.word("jit", listed!(Jit));
        let formerly = self.formerly(reader);
        let _ = reader.boolean("sealed");
        let name = self.own_name(written)?;
        Some(Provider {
            at: self.place(&written.span),
            formerly,
            kind,
            title: title.map_or_else(|| written.value.clone(), |title| title.value),
            rank: rank.map_or(0, |rank| rank.value),
            team,
            email_domains,
            jit: jit.map_or(Jit::Invited, |jit| jit.value),
            name,
        })
    }

    /// Metadata: a file that looks like it, or an https address.
    fn metadata(&self, written: &At<String>, refreshed: Option<Span>, reader: &mut Reader<'_>) {
        if written.value.contains("://") {
            match Url::parse(&written.value) {
                Ok(url) if url.scheme() == "https" && url.host().is_some() => {}
                Ok(url) if url.scheme() == "http" => self.problems.push(
                    Diagnostic::error("E141", "metadata over http could be anybody's")
                        .at(written.span.clone())
                        .help("use https, or fetch it once and name the file"),
                ),
                _ => self.problem(
                    "E103",
                    format!("\"{}\" is neither a file nor an https address", written.value),
                    &written.span,
                ),
            }
            return;
        }
        if let Some(span) = refreshed.or_else(|| reader.table_has("metadata_cert_file")) {
            self.problem("E122", "metadata in a file is not fetched: this key is for an address", &span);
        }
        let Some(file) = self.file(written, false) else { return };
        let text = String::from_utf8_lossy(&file.bytes);
        if !(text.contains("EntityDescriptor") && text.contains("IDPSSODescriptor")) {
            self.problems.push(
                Diagnostic::error("E140", format!("\"{}\" is not the metadata of an identity provider", written.value))
                    .at(written.span.clone())
                    .help("it is XML with an EntityDescriptor and an IDPSSODescriptor"),
            );
        }
    }

    fn attribute_names(&self, reader: &mut Reader<'_>, known: &[&'static str]) {
        let Some(mut written) = reader.table("attributes") else {
            return;
        };
        for key in known {
            let _ = written.parsed(key, |text| {
                if text.is_empty() || text.len() > 256 || text.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(Flaw::malformed(format!("\"{text}\" is no attribute's name")));
                }
                Ok(())
            });
        }
        written.finish();
    }

    fn aliases(&self, reader: &mut Reader<'_>) {
        let Some(mut written) = reader.table("aliases") else {
            return;
        };
        for key in ["acs", "slo", "metadata"] {
            let Some(path) = written.parsed(key, |text| {
                let plain = text.starts_with('/')
                    && !text.starts_with("//")
                    && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\%;*".contains(&byte));
                if plain && !text.split('/').any(|segment| matches!(segment, "." | "..")) {
                    Ok(text.to_owned())
                } else {
                    Err(Flaw::new("E121", "an alias is a plain path on the portal, such as /saml/acs"))
                }
            }) else {
                continue;
            };
            self.aliases.borrow_mut().push(path);
        }
        written.finish();
    }

    /// Clear text is for loopback, or for those who say so: `E142`.
    fn directory_tls(&self, reader: &mut Reader<'_>, urls: &[At<Url>]) {
        let tls = reader.word(
            "tls",
            &[
                ("ldaps", DirectoryTls::Ldaps),
                ("starttls", DirectoryTls::StartTls),
                ("none", DirectoryTls::None),
            ],
        );
        let allowed = reader.boolean("allow_plaintext").is_some_and(|yes| yes.value);
        for url in urls {
            let secure = url.value.scheme() == "ldaps";
            let word = tls.as_ref().map(|tls| tls.value);
            if secure && matches!(word, Some(DirectoryTls::StartTls | DirectoryTls::None)) || !secure && word == Some(DirectoryTls::Ldaps) {
                let at = tls.as_ref().map_or(&url.span, |tls| &tls.span);
                self.problem("E122", format!("`tls` and the address \"{}\" contradict each other", url.value), at);
                continue;
            }
            if !secure && word != Some(DirectoryTls::StartTls) && !allowed && !is_loopback(&url.value) {
                self.problems.push(
                    Diagnostic::error("E142", "passwords would cross the network in clear text")
                        .at(url.span.clone())
                        .help("write ldaps://, or tls = \"starttls\"; `allow_plaintext = true` if you must"),
                );
            }
        }
    }
}

/// The default of `signin.invitation_ttl` and the like stand in the definitions; these are the bounds.
pub(super) const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// Longest life of an invitation or token.
pub(super) const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Longest lock of a name from a network.
pub(super) const LONGEST_LOCK: Duration = HOUR.saturating_mul(24);
/// The longest that sensitive acts may be done without a new proof: longer would be as good as none.
pub(super) const LONGEST_FRESH: Duration = HOUR;

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // `ldap:` is no special scheme, so addresses in it are read as names.
        Some(Host::Domain(name)) => name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn directory_url(text: &str) -> Result<Url, Flaw> {
    let wrong = || Flaw::malformed(format!("\"{text}\" is no directory's address")).help("write ldaps://ldap.example.org");
    let url = Url::parse(text).map_err(|_| wrong())?;
    if url.password().is_some() {
        return Err(Flaw::new("E113", "a directory's address holds a password").help("use bind_dn and bind_password_file"));
    }
    let bare = url.username().is_empty() && matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "ldaps" | "ldap") || url.host().is_none() || !bare {
        return Err(wrong());
    }
    Ok(url)
}

/// A distinguished name, checked as far as attribute=value between commas (RFC 4514).
fn distinguished_name(text: &str) -> Result<String, Flaw> {
    let mut escaped = false;
    let mut parts = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' | '+' => {
                parts.push(String::new());
                continue;
            }
            _ if c.is_control() => return Err(Flaw::malformed("a distinguished name has no control characters")),
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let fine = |part: &String| {
        part.split_once('=').is_some_and(|(key, _)| {
            !key.trim().is_empty() && key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        })
    };
    if !escaped && parts.iter().all(fine) {
        return Ok(text.to_owned());
    }
    Err(Flaw::malformed(format!("\"{text}\" is no distinguished name")).help("such as ou=people,dc=example,dc=org"))
}

/// A search filter (RFC 4515) with places to fill in: balanced parentheses, known places, one that must be there. `E143`.
fn filter(text: &str, known: &[&str], needed: Option<&str>) -> Result<String, Flaw> {
    let flaw = |why: String| Flaw::new("E143", why).help("such as (&(objectClass=person)(uid={login}))");
    let mut depth = 0_i32;
    let mut filled = text.to_owned();
    for place in known {
        filled = filled.replace(&format!("{{{place}}}"), "x");
    }
    if filled.contains(['{', '}']) {
        return Err(flaw(format!(
            "a place in a filter is one of: {}",
            known.iter().map(|place| format!("{{{place}}}")).collect::<Vec<_>>().join(" ")
        )));
    }
    if let Some(needed) = needed
        && !text.contains(&format!("{{{needed}}}"))
    {
        return Err(flaw(format!("the filter must contain {{{needed}}}, or everybody would be found")));
    }
    let mut ended = false;
    for c in filled.chars() {
        match c {
            '(' if ended => return Err(flaw("a filter is one expression in parentheses".to_owned())),
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                ended = depth == 0;
            }
            _ if depth == 0 => return Err(flaw("a filter stands in parentheses".to_owned())),
            _ => {}
        }
        if depth < 0 {
            return Err(flaw("a parenthesis is closed that was not opened".to_owned()));
        }
    }
    if depth != 0 || !ended {
        return Err(flaw("a parenthesis is not closed".to_owned()));
    }
    if filled.contains("()") || !filled.contains('=') {
        return Err(flaw("a filter compares an attribute with a value".to_owned()));
    }
    Ok(text.to_owned())
}

/// Whether a value is there, without reading it.
trait Has {
    fn table_has(&mut self, key: &'static str) -> Option<Span>;
}

impl Has for Reader<'_> {
    fn table_has(&mut self, key: &'static str) -> Option<Span> {
        self.entry(key).map(|Entry { key, .. }| key.span.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_whole_and_name_the_person() {
        for (text, valid) in [
            ("(uid={login})", true),
            ("(&(objectClass=person)(uid={login}))", true),
            ("(uid=ada)", false),
            ("uid={login}", false),
            ("(uid={login}", false),
            ("(uid={login}))", false),
            ("(uid={login})(x=y)", false),
            ("(uid={user})", false),
            ("(&()(uid={login}))", false),
            ("", false),
        ] {
            assert_eq!(filter(text, &["login"], Some("login")).is_ok(), valid, "{text}");
        }
        assert!(filter("(member={dn})", &["dn", "login"], None).is_ok());
    }

    #[test]
    fn distinguished_names_are_pairs() {
        for (text, valid) in [
            ("ou=people,dc=example,dc=com", true),
            ("cn=Doe\\, Jane,dc=example", true),
            ("people", false),
            ("", false),
            ("=x", false),
            ("cn=x\\", false),
        ] {
            assert_eq!(distinguished_name(text).is_ok(), valid, "{text}");
        }
    }
}
