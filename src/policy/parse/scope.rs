//! What reading a policy needs at hand: where problems go, which names were used, where things stand.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::str::FromStr;

use crate::base::diagnostic::{Diagnostic, Span, Texts};
use crate::base::document::At;
use crate::base::grammar::Flaw;
use crate::base::reader::{Problems, Reader};
use crate::base::sources::{NamedFile, Wanted};
use crate::model::ip_pattern::AddressRange;
use crate::model::name::ApplicationName;
use crate::model::role::Permission;

use super::super::application;
use super::super::place::Place;

/// What a name points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum Kind {
    Application,
    Role,
    Team,
    IpPattern,
    Window,
    Limit,
    Service,
    /// `[idp.NAME]`
    Idp,
    /// `[directory.NAME]`
    Directory,
    /// Either.
    Provider,
    /// `app:permission`
    Permission,
}

impl Kind {
    /// The word for it in messages.
    pub(in crate::policy) const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Role => "role",
            Self::Team => "team",
            Self::IpPattern => "IP pattern",
            Self::Window => "window",
            Self::Limit => "limit",
            Self::Service => "service",
            Self::Idp => "identity provider",
            Self::Directory => "directory",
            Self::Provider => "identity provider or directory",
            Self::Permission => "permission",
        }
    }
}

/// A name that was used, to be looked up once every file is read.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Reference {
    pub(in crate::policy) kind: Kind,
    pub(in crate::policy) name: String,
    pub(in crate::policy) span: Span,
}

/// At hand while reading.
pub(in crate::policy) struct Scope<'t> {
    pub(in crate::policy) problems: &'t Problems,
    pub(in crate::policy) texts: &'t Texts,
    pub(in crate::policy) named: &'t BTreeMap<String, NamedFile>,
    pub(in crate::policy) references: RefCell<Vec<Reference>>,
    pub(in crate::policy) wanted: RefCell<Vec<Wanted>>,
    /// Further addresses of providers on the portal.
    pub(in crate::policy) aliases: RefCell<Vec<At<String>>>,
    /// Reasons that tests name.
    pub(in crate::policy) reasons: RefCell<Vec<At<String>>>,
}

impl<'t> Scope<'t> {
    pub(in crate::policy) fn new(problems: &'t Problems, texts: &'t Texts, named: &'t BTreeMap<String, NamedFile>) -> Self {
        Self {
            problems,
            texts,
            named,
            references: RefCell::default(),
            wanted: RefCell::default(),
            aliases: RefCell::default(),
            reasons: RefCell::default(),
        }
    }

    /// Where something stands, for people and for carets.
    pub(in crate::policy) fn place(&self, span: &Span) -> Place {
        Place {
            location: self.texts.locate(span),
            bytes: span.bytes.clone(),
        }
    }

    pub(in crate::policy) fn problem(&self, code: &'static str, message: impl Into<String>, span: &Span) {
        self.problems.push(Diagnostic::error(code, message).at(span.clone()));
    }

    /// Notes that a name was used.
    pub(in crate::policy) fn refers(&self, kind: Kind, name: &str, span: &Span) {
        self.references.borrow_mut().push(Reference {
            kind,
            name: name.to_owned(),
            span: span.clone(),
        });
    }

    /// A list of names of one kind; empty if the key is not written.
    pub(in crate::policy) fn names<T: FromStr>(&self, reader: &mut Reader<'_>, key: &'static str, kind: Kind) -> Vec<T> {
        self.names_if_written(reader, key, kind).unwrap_or_default()
    }

    /// A list of names of one kind.
    pub(in crate::policy) fn names_if_written<T: FromStr>(&self, reader: &mut Reader<'_>, key: &'static str, kind: Kind) -> Option<Vec<T>> {
        let list = reader.list(key, |text| name::<T>(text).map(|parsed| (text.to_owned(), parsed)))?;
        Some(
            list.value
                .into_iter()
                .map(
                    |At {
                         value: (text, parsed),
                         span,
                     }| {
                        self.refers(kind, &text, &span);
                        parsed
                    },
                )
                .collect(),
        )
    }

    /// One name of a kind.
    pub(in crate::policy) fn name<T: FromStr>(&self, reader: &mut Reader<'_>, key: &'static str, kind: Kind) -> Option<T> {
        let one = reader.parsed(key, |text| name::<T>(text).map(|parsed| (text.to_owned(), parsed)))?;
        self.refers(kind, &one.value.0, &one.span);
        Some(one.value.1)
    }

    /// A list of permissions: `app:permission`, inside an application also `permission`.
    pub(in crate::policy) fn permissions(
        &self,
        reader: &mut Reader<'_>,
        key: &'static str,
        inside: Option<&ApplicationName>,
    ) -> Option<Vec<Permission>> {
        let list = reader.list(key, |text| permission(text, inside))?;
        Some(
            list.value
                .into_iter()
                .map(|At { value, span }| {
                    self.refers(Kind::Permission, &value.to_string(), &span);
                    value
                })
                .collect(),
        )
    }

    /// A named table's name, by the grammar of names.
    pub(in crate::policy) fn own_name<T: FromStr>(&self, written: &At<String>) -> Option<T> {
        match name(&written.value) {
            Ok(name) => Some(name),
            Err(flaw) => {
                self.problems.flaw(flaw, &written.span);
                None
            }
        }
    }

    /// What a named table was called before.
    pub(in crate::policy) fn formerly<T: FromStr>(&self, reader: &mut Reader<'_>) -> Vec<T> {
        reader
            .list("formerly", name::<T>)
            .map_or_else(Vec::new, |list| list.value.into_iter().map(|one| one.value).collect())
    }

    /// A file that must be there: `E114`.
    pub(in crate::policy) fn file(&self, file: &At<String>, secret: bool) -> Option<application::NamedFile> {
        self.wanted.borrow_mut().push(Wanted {
            written: file.value.clone(),
            secret,
        });
        let why = match self.named.get(&file.value) {
            Some(NamedFile::Plain(bytes)) => {
                return Some(application::NamedFile {
                    path: file.value.as_str().into(),
                    bytes: std::sync::Arc::clone(bytes),
                });
            }
            Some(NamedFile::Secret(bytes)) => {
                return Some(application::NamedFile {
                    path: file.value.as_str().into(),
                    bytes: bytes.expose().as_slice().into(),
                });
            }
            Some(NamedFile::Missing(why)) => why.as_str(),
            None => "it was not read",
        };
        self.problems.push(
            Diagnostic::error("E114", format!("cannot read \"{}\": {why}", file.value))
                .at(file.span.clone())
                .help("paths in policies count from the policies folder"),
        );
        None
    }
}

/// A name by the grammar of names.
pub(in crate::policy) fn name<T: FromStr>(text: &str) -> Result<T, Flaw> {
    text.parse().map_err(|_| {
        Flaw::malformed(format!("\"{text}\" is no name")).help("a name is a small letter, then at most 62 small letters, digits and dashes")
    })
}

/// Any short text of one line.
pub(in crate::policy) fn line(text: &str) -> Result<String, Flaw> {
    if text.chars().count() > 200 || text.chars().any(crate::model::name::is_unprintable) {
        return Err(Flaw::malformed("a text of one line has at most 200 printable characters"));
    }
    Ok(text.to_owned())
}

/// A mail domain, in lower case.
pub(in crate::policy) fn domain(text: &str) -> Result<String, Flaw> {
    let folded = text.to_ascii_lowercase();
    if is_domain(&folded) && folded.contains('.') {
        return Ok(folded);
    }
    Err(Flaw::malformed(format!("\"{text}\" is no mail domain"))
        .help("write the whole domain, such as example.org; sub-domains are other domains"))
}

/// Labels of letters, digits and dashes between dots.
pub(in crate::policy) fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

fn permission(text: &str, inside: Option<&ApplicationName>) -> Result<Permission, Flaw> {
    let (application, name_text) = match (text.split_once(':'), inside) {
        (Some((application, name_text)), _) => (name::<ApplicationName>(application)?, name_text),
        (None, Some(inside)) => (inside.clone(), text),
        (None, None) => {
            return Err(Flaw::malformed(format!("\"{text}\" does not say whose permission it is")).help(format!("write \"APP:{text}\"")));
        }
    };
    Ok(Permission {
        application,
        name: name(name_text)?,
    })
}

/// An address, network, range or wildcard: `E130`, `E131` with the network that was meant.
pub(in crate::policy) fn addresses(text: &str) -> Result<AddressRange, Flaw> {
    use crate::model::ip_pattern::InvalidRange;
    AddressRange::parse(text).map_err(|bad| match bad {
        InvalidRange::HostBits { ref meant, .. } => {
            Flaw::new("E131", format!("\"{text}\" has bits after the prefix")).help(format!("did you mean \"{meant}\"?"))
        }
        other => Flaw::new("E130", format!("\"{text}\": {other}")),
    })
}

/// A duration between two bounds, which `E104` names.
pub(in crate::policy) fn between(
    key: &'static str,
    least: std::time::Duration,
    most: std::time::Duration,
) -> impl Fn(&str) -> Result<std::time::Duration, Flaw> {
    use crate::base::grammar::{duration, show_duration};
    move |text| {
        let span = duration(text)?;
        if span < least || span > most {
            return Err(Flaw::range(format!(
                "`{key}` must be between {} and {}",
                show_duration(least),
                show_duration(most)
            )));
        }
        Ok(span)
    }
}

/// Pairs of word and value, for enums made by `words!`.
macro_rules! listed {
    ($enum:ty) => {
        &<$enum>::ALL.iter().map(|one| (one.word(), *one)).collect::<Vec<_>>()
    };
}
pub(in crate::policy) use listed;
