//! `headers.*`: what an application is told, and what is taken off.

use http::HeaderName;

use crate::base::diagnostic::Diagnostic;
use crate::base::document::{At, Entry, Value};
use crate::base::grammar::{Flaw, size};
use crate::base::reader::Reader;
use crate::model::name::{ApplicationName, RoleName, TeamName};

use super::super::application::{Choice, HeaderRules, Holder, Strip};
use super::super::headers::{Encoding, InvalidTemplate, Preset, Template, Variable};
use super::scope::{Kind, Scope, listed, name};

/// What all identity headers together may have at most.
const LARGEST: u64 = 16 * 1024;

/// Names, folded, that steer the connection, the framing or the routing of a request, or that are ours (RFC 9110 section 7.6.1, SECURITY row 11).
const RESERVED: &[&str] = &[
    "connection",
    "keepalive",
    "proxyconnection",
    "te",
    "trailer",
    "transferencoding",
    "upgrade",
    "proxyauthenticate",
    "proxyauthorization",
    "contentlength",
    "contentencoding",
    "contenttype",
    "host",
    "expect",
    "cookie",
    "setcookie",
    "xforwardedfor",
    "xforwardedproto",
    "xforwardedhost",
    "xforwardedport",
    "forwarded",
    "xrequestid",
    "range",
    "accept",
    "origin",
    "via",
    "http2settings",
];

impl Scope<'_> {
    pub(super) fn headers(&self, reader: &mut Reader<'_>, app: &ApplicationName) -> HeaderRules {
        let mut rules = HeaderRules::default();
        let Some(mut written) = reader.table("headers") else {
            return rules;
        };
        if let Some(preset) = written.word("preset", listed!(Preset)) {
            rules.preset = preset.value;
        }
        let mut seen: Vec<(String, At<()>)> = Vec::new();
        if let Some(table) = written.free_table("set") {
            for Entry { key, node } in &table.entries {
                let header = self.header_name(key, &mut seen);
                let Value::Text(text) = &node.value else {
                    written.wrong_type(&key.value, node, "a template in quotes");
                    continue;
                };
                match (header, template(text)) {
                    (Some(header), Ok(template)) => rules.set.push((header, template)),
                    (_, Err(flaw)) => self.problems.flaw(flaw, &node.span),
                    (None, Ok(_)) => {}
                }
            }
        }
        for inner in written.tables("choose") {
            rules.choose.extend(self.choice(inner, app, &mut seen));
        }
        if let Some(separator) = written.parsed("separator", |text| {
            let fine = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if fine {
                Ok(text.to_owned())
            } else {
                Err(Flaw::malformed("a separator is 1 to 8 characters of visible ASCII"))
            }
        }) {
            rules.separator = Some(separator.value);
        }
        if let Some(encoding) = written.word("encoding", listed!(Encoding)) {
            rules.encoding = encoding.value;
        }
        if let Some(most) = written.parsed("max", |text| match size(text)? {
            0 => Err(Flaw::range("`max` of 0 would deny everybody")),
            bytes if bytes > LARGEST => Err(Flaw::range("`max` is at most 16KiB: servers refuse longer heads")),
            bytes => Ok(bytes),
        }) {
            rules.max_bytes = usize::try_from(most.value).unwrap_or(rules.max_bytes);
        }
        if let Some(identity) = written.boolean("identity") {
            rules.identity = identity.value;
        }
        if let Some(assertion) = written.boolean("assertion") {
            rules.assertion = assertion.value;
        }
        rules.strip = super::condition::values(written.list("strip", strip));
        written.finish();
        rules
    }

    /// A header we may set: not hop-by-hop, not reserved (`E125`), not set twice (`E110`).
    fn header_name(&self, written: &At<String>, seen: &mut Vec<(String, At<()>)>) -> Option<HeaderName> {
        let Ok(header) = HeaderName::from_bytes(written.value.as_bytes()) else {
            self.problem("E125", format!("\"{}\" is no header's name", written.value), &written.span);
            return None;
        };
        let folded = fold(&written.value);
        if folded.starts_with("xportcullis") {
            self.problems.push(
                Diagnostic::error(
                    "E125",
                    format!("\"{}\" is ours: `X-Portcullis-*` is always set by portcullis", written.value),
                )
                .at(written.span.clone())
                .help("choose another name"),
            );
            return None;
        }
        if RESERVED.contains(&folded.as_str()) || folded.starts_with("secwebsocket") || folded.is_empty() {
            self.problem(
                "E125",
                format!("\"{}\" steers the connection or the routing and cannot be set", written.value),
                &written.span,
            );
            return None;
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == folded) {
            self.problems.push(
                Diagnostic::error(
                    "E110",
                    format!(
                        "\"{}\" is set twice; CGI-style servers read all its spellings as one",
                        written.value
                    ),
                )
                .at(written.span.clone())
                .also(first.span.clone(), "also here"),
            );
            return None;
        }
        seen.push((
            folded,
            At {
                value: (),
                span: written.span.clone(),
            },
        ));
        Some(header)
    }

    fn choice(&self, mut reader: Reader<'_>, app: &ApplicationName, seen: &mut Vec<(String, At<()>)>) -> Option<Choice> {
        let span = reader.place().clone();
        reader.need("header", "");
        reader.need("from", "such as [{ role = \"lab-admin\", value = \"admin\" }]");
        let header = reader.text("header").and_then(|text| self.header_name(&text, seen));
        let mut from = Vec::new();
        for mut entry in reader.tables("from") {
            entry.need("value", "");
            let value = entry.parsed("value", header_value);
            let role = self.name::<RoleName>(&mut entry, "role", Kind::Role).map(Holder::Role);
            let team = self.name::<TeamName>(&mut entry, "team", Kind::Team).map(Holder::Team);
            let permission = entry
                .parsed("permission", |text| {
                    let (application, text) = match text.split_once(':') {
                        Some((owner, rest)) => (name::<ApplicationName>(owner)?, rest),
                        None => (app.clone(), text),
                    };
                    Ok(crate::model::role::Permission {
                        application,
                        name: name(text)?,
                    })
                })
                .map(|permission| {
                    self.refers(Kind::Permission, &permission.value.to_string(), &permission.span);
                    Holder::Permission(permission.value)
                });
            let holders: Vec<Holder> = [role, team, permission].into_iter().flatten().collect();
            let written = ["role", "team", "permission"]
                .into_iter()
                .filter(|key| entry.entry(key).is_some())
                .count();
            if written != 1 {
                self.problem(
                    "E122",
                    "an entry of `from` names one of `role`, `permission` and `team`",
                    entry.place(),
                );
            }
            entry.finish();
            if let (Some(holder), Some(value)) = (holders.into_iter().next(), value) {
                from.push((holder, value.value));
            }
        }
        let otherwise = reader.parsed("otherwise", header_value).map_or_else(String::new, |text| text.value);
        reader.finish();
        Some(Choice {
            at: self.place(&span),
            header: header?,
            from,
            otherwise,
        })
    }
}

/// A name as CGI-style servers read it: letters and digits only, in lower case.
fn fold(header: &str) -> String {
    header
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn template(text: &str) -> Result<Template, Flaw> {
    text.parse::<Template>().map_err(|bad| match &bad {
        InvalidTemplate::Unknown { name } => {
            let words: Vec<&str> = Variable::ALL.iter().map(|variable| variable.word()).collect();
            let flaw = Flaw::new("E126", bad.to_string());
            match crate::base::grammar::nearest(name, words.iter().copied()) {
                Some(near) => flaw.help(format!("did you mean `{{{near}}}`?")),
                None => flaw.help(format!("one of: {}", words.join(" "))),
            }
        }
        InvalidTemplate::Unbalanced => Flaw::new("E126", bad.to_string()),
        InvalidTemplate::Characters => Flaw::malformed(bad.to_string()),
    })
}

fn header_value(text: &str) -> Result<String, Flaw> {
    if text.len() <= 1024 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Flaw::malformed("a header's value is at most 1024 characters of visible ASCII"))
}

fn strip(text: &str) -> Result<Strip, Flaw> {
    let (stem, prefix) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
    if HeaderName::from_bytes(stem.as_bytes()).is_err() || fold(stem).is_empty() {
        return Err(Flaw::new("E125", format!("\"{text}\" is neither a header's name nor \"Prefix-*\"")));
    }
    Ok(if prefix {
        Strip::Prefix(stem.to_owned())
    } else {
        Strip::Name(stem.to_owned())
    })
}
