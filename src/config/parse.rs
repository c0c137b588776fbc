//! From the settings as written to the settings as meant, telling every problem at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::document::{self, At, Table};
use crate::base::grammar::Flaw;
use crate::base::reader::{Problems, Reader};
use crate::base::secret::{Hashed, Secret};
use crate::base::sources::{NamedFile, SourceText, Sources, Wanted};
use crate::base::time::{DAY, MINUTE};
use crate::model::ip_pattern::AddressSet;
use crate::model::name::ApplicationName;

use super::address::ListenAddress;
use super::environment;
use super::grammar::{loopback, network, page_url, peer_name};
use super::settings::{
    DecisionLog, Dialect, Keys, Listen, LoggedPath, Peer, PolicyFolder, Settings, Site, SiteFile, StoreKind, StoreSettings,
};
use super::tables::{assertion, backup, limits, listen, server, session, span, trusted};

/// Makes settings of the sources, with the warnings found.
///
/// # Errors
/// Everything that is wrong with them, warnings included. Codes: `E100` not TOML, `E101` unknown key, `E102` type, `E103` malformed, `E104` range,
/// `E105` word, `E110` twice, `E113` literal secret, `E114` file, `E122` keys that exclude each other, `E127` not in this
/// build, `E130` address.
pub fn load(sources: &Sources) -> Result<(Settings, Vec<Diagnostic>), Vec<Diagnostic>> {
    let problems = Problems::default();
    let (table, place, slips) = written(sources);
    if !slips.is_empty() {
        // What is left of a broken text reads like other mistakes, which nobody made.
        return Err(slips);
    }
    let settings = {
        let mut parser = Parser {
            sources,
            problems: &problems,
            wanted: Vec::new(),
        };
        parser.settings(&table, place)
    };
    let found = problems.into_inner();
    match settings {
        Some(settings) if !found.iter().any(|problem| problem.level == crate::base::diagnostic::Level::Error) => Ok((settings, found)),
        _ => Err(found),
    }
}

/// The files the settings name, which have to be read before [`load`] can judge.
#[must_use]
pub fn wanted(sources: &Sources) -> Vec<Wanted> {
    let problems = Problems::default();
    let (table, place, _) = written(sources);
    let mut parser = Parser {
        sources,
        problems: &problems,
        wanted: Vec::new(),
    };
    let _ = parser.settings(&table, place);
    parser.wanted
}

/// Where the policies are, so that they can be read; said even if other settings are wrong.
#[must_use]
pub fn policy_dir(sources: &Sources) -> PathBuf {
    let (table, place, _) = written(sources);
    let problems = Problems::default();
    let mut reader = Reader::new(&table, "", place, &problems);
    let dir = reader.table("policy").and_then(|mut policy| policy.text("dir"));
    sources.root.join(dir.map_or_else(|| "policies".to_owned(), |dir| dir.value))
}

fn written(sources: &Sources) -> (Table, Span, Vec<Diagnostic>) {
    let nowhere: Arc<str> = "config/portcullis.toml".into();
    let (name, text) = match &sources.settings {
        Some(SourceText { name, text }) => (Arc::clone(name), Arc::clone(text)),
        None => (nowhere, "".into()),
    };
    let (mut table, slips) = document::read(&name, &text);
    environment::lay_over(&mut table, &sources.environment);
    (table, Span { file: name, bytes: 0..0 }, slips)
}

/// Reads the tables that name files.
pub(super) struct Parser<'s> {
    sources: &'s Sources,
    pub(super) problems: &'s Problems,
    wanted: Vec<Wanted>,
}

impl Parser<'_> {
    fn settings(&mut self, table: &Table, place: Span) -> Option<Settings> {
        let mut top = Reader::new(table, "", place, self.problems);
        let (public_url, threads) = server(&mut top);
        let listen = listen(&mut top);
        let tls = self.tls(&mut top, &listen);
        let trusted_proxies = trusted(&mut top, "trusted_proxies");
        self.plain_listener(table, &listen, &trusted_proxies);
        let mut peers: Vec<Peer> = Vec::new();
        for written in top.tables("peer") {
            let place = written.place().clone();
            let Some(peer) = self.peer(written) else { continue };
            if peers.iter().any(|other| other.name == peer.name) {
                self.problems
                    .push(Diagnostic::error("E110", format!("two peers are called `{}`", peer.name)).at(place));
            }
            peers.push(peer);
        }
        let policy = self.policy(&mut top);
        let store = self.store(&mut top);
        let backup = backup(&mut top, &self.sources.root);
        let keys = self.keys(&mut top);
        let mail = self.mail(&mut top);
        let limits = limits(&mut top);
        let session = session(&mut top);
        let assertion = assertion(&mut top);
        let decision_log = self.decision_log(&mut top);
        let traces = self.traces(&mut top);
        let site = self.site(&mut top);
        let explain_to_users = top.boolean("explain_to_users").is_none_or(|yes| yes.value);
        let show_pattern_name = top.boolean("show_pattern_name").is_none_or(|yes| yes.value);
        top.finish();
        Some(Settings {
            public_url: public_url?,
            threads,
            listen,
            tls,
            trusted_proxies,
            peers,
            policy,
            store,
            backup,
            keys,
            mail,
            limits,
            session,
            assertion,
            decision_log,
            traces,
            site,
            explain_to_users,
            show_pattern_name,
        })
    }

    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.sources.root.join(written)
    }

    /// A file that must be there, as plain content.
    fn plain_file(&mut self, file: &At<String>) -> Option<Arc<[u8]>> {
        match self.look(file, false)? {
            NamedFile::Plain(content) => Some(content),
            NamedFile::Secret(_) | NamedFile::Missing(_) => None,
        }
    }

    /// A file that must be there, as a secret without blanks around it.
    fn secret_file(&mut self, file: &At<String>) -> Option<Secret<String>> {
        let NamedFile::Secret(content) = self.look(file, true)? else {
            return None;
        };
        let text = std::str::from_utf8(content.expose())
            .ok()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        if text.is_none() {
            self.problems
                .push(Diagnostic::error("E114", format!("the secret in \"{}\" is empty or not text", file.value)).at(file.span.clone()));
        }
        text.map(|text| Secret::new(text.to_owned()))
    }

    pub(super) fn look(&mut self, file: &At<String>, secret: bool) -> Option<NamedFile> {
        self.wanted.push(Wanted {
            written: file.value.clone(),
            secret,
        });
        let why = match self.sources.named.get(&file.value) {
            Some(NamedFile::Missing(why)) => why.clone(),
            Some(found) => return Some(found.clone()),
            None => "it was not read".to_owned(),
        };
        self.problems.push(
            Diagnostic::error("E114", format!("cannot read \"{}\": {why}", file.value))
                .at(file.span.clone())
                .help(format!("relative paths count from {}", shown(&self.sources.root))),
        );
        None
    }

    /// A secret: from `KEY_file`, or in plain under `KEY` if that came from the environment.
    pub(super) fn secret(&mut self, reader: &mut Reader<'_>, key: &'static str, key_file: &'static str) -> Option<Secret<String>> {
        let file = reader.text(key_file);
        let from_file = file.and_then(|file| self.secret_file(&file));
        let Some(literal) = reader.entry(key).map(|entry| entry.node.span.clone()) else {
            return from_file;
        };
        if environment::is_from_environment(&literal.file) {
            return reader.text(key).map(|text| Secret::new(text.value)).or(from_file);
        }
        reader.no_secret(
            key,
            &format!("put it in a file and name that with `{key_file}`, or set it in the environment"),
        );
        from_file
    }

    pub(super) fn file_path(&mut self, file: Option<At<String>>) -> Option<PathBuf> {
        let file = file?;
        let _ = self.look(&file, false);
        Some(self.path(&file.value))
    }

    /// Sign-in in clear beyond this machine is for those who say so, or have a proxy that speaks TLS in front.
    fn plain_listener(&self, table: &Table, listen: &Listen, trusted_proxies: &AddressSet) {
        if listen.allow_plain || !trusted_proxies.is_empty() || listen.http.iter().all(ListenAddress::is_local) {
            return;
        }
        let mut problem = Diagnostic::error("E122", "`listen.http` would serve other machines in clear").help(
            "listen on loopback, use `listen.https`, name the proxy in front in `trusted_proxies`, or set `listen.allow_plain = true`",
        );
        if let Some(document::Value::Table(inner)) = table.get("listen").map(|entry| &entry.node.value)
            && let Some(http) = inner.get("http")
        {
            problem = problem.at(http.node.span.clone());
        }
        self.problems.push(problem);
    }

    fn peer(&mut self, mut peer: Reader<'_>) -> Option<Peer> {
        peer.need("name", "");
        peer.need("from", "list the addresses it comes from, such as [\"127.0.0.1/32\"]");
        peer.need("dialect", "one of: auth-request forward-auth ext-authz grpc fastcgi");
        let name = peer.parsed("name", peer_name);
        let from = peer.list("from", network);
        let secret = self.secret(&mut peer, "secret", "secret_file");
        let client_ca = peer.text("client_ca_file");
        let apps = peer.list("apps", |text| {
            text.parse::<ApplicationName>().map_err(|bad| Flaw::malformed(bad.to_string()))
        });
        let dialect = peer.word(
            "dialect",
            &[
                ("auth-request", Dialect::AuthRequest),
                ("forward-auth", Dialect::ForwardAuth),
                ("ext-authz", Dialect::ExtAuthz),
                ("grpc", Dialect::Grpc),
                ("fastcgi", Dialect::FastCgi),
            ],
        );
        let client_ca_file = self.file_path(client_ca);
        let from_set = from
            .as_ref()
            .map(|list| AddressSet::of(list.value.iter().map(|entry| entry.value.clone())));
        if let (Some(list), Some(set)) = (&from, &from_set)
            && secret.is_none()
            && client_ca_file.is_none()
            && !set.is_within(&loopback())
        {
            self.problems.push(
                Diagnostic::warning("W302", "a peer on another machine proves itself by its address only")
                    .at(list.span.clone())
                    .help("give it `secret_file` or `client_ca_file`"),
            );
        }
        peer.finish();
        Some(Peer {
            name: name?.value,
            from: from_set?,
            secret: secret.map(|secret| Hashed::sha256(secret.expose().as_bytes())),
            client_ca_file,
            apps: apps.map_or_else(Vec::new, |apps| apps.value.into_iter().map(|app| app.value).collect()),
            dialect: dialect?.value,
        })
    }

    fn policy(&self, top: &mut Reader<'_>) -> PolicyFolder {
        let mut policy = top.table("policy");
        let mut read = |key| {
            policy
                .as_mut()
                .and_then(|policy| policy.text(key))
                .map(|text| self.path(&text.value))
        };
        let dir = read("dir").unwrap_or_else(|| self.path("policies"));
        let shadow = read("shadow");
        let watch = policy
            .as_mut()
            .and_then(|policy| policy.boolean("watch"))
            .is_none_or(|yes| yes.value);
        let require_tests = policy
            .as_mut()
            .and_then(|policy| policy.boolean("require_tests"))
            .is_some_and(|yes| yes.value);
        if let Some(policy) = policy {
            policy.finish();
        }
        PolicyFolder {
            dir,
            watch,
            shadow,
            require_tests,
        }
    }

    fn store(&mut self, top: &mut Reader<'_>) -> StoreSettings {
        let Some(mut store) = top.table("store") else {
            return StoreSettings {
                kind: StoreKind::Redb,
                path: self.path("data/portcullis.redb"),
                url: None,
                on_loss: Duration::ZERO,
            };
        };
        let kind = store.word("kind", &[("redb", StoreKind::Redb), ("postgres", StoreKind::Postgres)]);
        let path = store.text("path");
        let url = self.secret(&mut store, "url", "url_file");
        let on_loss = span(&mut store, "on_loss", Duration::ZERO, Duration::ZERO, 5 * MINUTE);
        let kind_value = kind.as_ref().map_or(StoreKind::Redb, |kind| kind.value);
        if let (StoreKind::Postgres, None, Some(kind)) = (kind_value, &url, &kind) {
            self.problems.push(
                Diagnostic::error("E122", "`kind = \"postgres\"` needs the database's address")
                    .at(kind.span.clone())
                    .help("name a file that holds it with `url_file`"),
            );
        }
        store.finish();
        StoreSettings {
            kind: kind_value,
            path: self.path(path.as_ref().map_or("data/portcullis.redb", |path| &path.value)),
            url,
            on_loss,
        }
    }

    fn keys(&mut self, top: &mut Reader<'_>) -> Keys {
        let mut keys = top.table("keys");
        let master = keys.as_mut().and_then(|keys| keys.text("master_file"));
        let previous = keys.as_mut().and_then(|keys| keys.texts("previous_files"));
        if let Some(mut keys) = keys {
            keys.no_secret(
                "master",
                "the key is kept in the file `master_file` names; it is made at the first start",
            );
            keys.finish();
        }
        let mut previous_files = Vec::new();
        for file in previous.map_or_else(Vec::new, |list| list.value) {
            let _ = self.look(&file, true);
            previous_files.push(self.path(&file.value));
        }
        Keys {
            master_file: self.path(master.as_ref().map_or("data/master.key", |file| &file.value)),
            previous_files,
        }
    }

    fn decision_log(&self, top: &mut Reader<'_>) -> DecisionLog {
        let mut log = DecisionLog {
            file: None,
            path: LoggedPath::Full,
            keep: 30 * DAY,
            sample_allow: 1.0,
        };
        let Some(mut written) = top.table("decision_log") else {
            return log;
        };
        log.file = written.text("file").map(|file| self.path(&file.value));
        if let Some(path) = written.word(
            "path",
            &[("full", LoggedPath::Full), ("rule", LoggedPath::Rule), ("hash", LoggedPath::Hash)],
        ) {
            log.path = path.value;
        }
        log.keep = span(&mut written, "keep", log.keep, Duration::ZERO, 36_500 * DAY);
        if let Some(share) = written.share("sample_allow") {
            log.sample_allow = share.value;
        }
        written.finish();
        log
    }

    fn site(&mut self, top: &mut Reader<'_>) -> Site {
        let mut site = Site {
            name: "portcullis".to_owned(),
            logo: None,
            style: None,
            help_url: None,
            privacy_url: None,
        };
        let Some(mut written) = top.table("site") else {
            return site;
        };
        if let Some(name) = written.parsed("name", |text| {
            if text.trim().is_empty() || text.chars().count() > 100 || text.chars().any(crate::model::name::is_unprintable) {
                return Err(Flaw::malformed("a site's name has 1 to 100 printable characters"));
            }
            Ok(text.trim().to_owned())
        }) {
            site.name = name.value;
        }
        let logo = written.text("logo_file");
        let style = written.text("style_file");
        site.help_url = written.parsed("help_url", page_url).map(|url| url.value);
        site.privacy_url = written.parsed("privacy_url", page_url).map(|url| url.value);
        written.finish();
        site.logo = logo.and_then(|file| self.site_file(&file));
        site.style = style.and_then(|file| self.site_file(&file));
        site
    }

    fn site_file(&mut self, file: &At<String>) -> Option<SiteFile> {
        let content = self.plain_file(file)?;
        Some(SiteFile {
            path: self.path(&file.value),
            content,
        })
    }
}

fn shown(root: &Path) -> String {
    if root.as_os_str().is_empty() {
        "the working folder".to_owned()
    } else {
        root.display().to_string()
    }
}

#[cfg(test)]
mod tests;
