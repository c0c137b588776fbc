use std::collections::BTreeMap;

use super::super::settings::{Challenge, SessionBounds};
use super::*;
use crate::base::diagnostic::Level;
use crate::base::time::{DAY, HOUR};

const PORTAL: &str = "server.public_url = \"https://sso.example.org\"\n";

fn sources(text: &str, environment: &[(&str, &str)]) -> Sources {
    Sources {
        root: "/srv/portcullis".into(),
        settings: Some(SourceText {
            name: "config/portcullis.toml".into(),
            text: text.into(),
        }),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        named: BTreeMap::from([
            ("cert.pem".to_owned(), NamedFile::Plain(Arc::from(&b"cert"[..]))),
            ("key.pem".to_owned(), NamedFile::Secret(Arc::new(Secret::new(b"key".to_vec())))),
            (
                "secrets/edge".to_owned(),
                NamedFile::Secret(Arc::new(Secret::new(b"hush\n".to_vec()))),
            ),
            ("gone.css".to_owned(), NamedFile::Missing("no such file".to_owned())),
        ]),
        ..Sources::default()
    }
}

fn loaded(text: &str) -> Settings {
    match load(&sources(text, &[])) {
        Ok((settings, _)) => settings,
        Err(found) => panic!("{found:?}"),
    }
}

#[test]
fn what_is_not_written_has_the_documented_value() {
    let settings = loaded(PORTAL);
    assert_eq!(settings.listen.http, [ListenAddress::parse("127.0.0.1:4180").unwrap()]);
    assert_eq!(settings.listen.management, [ListenAddress::parse("127.0.0.1:4190").unwrap()]);
    assert!(settings.listen.https.is_empty() && settings.listen.authz.is_empty());
    assert_eq!(settings.policy.dir, PathBuf::from("/srv/portcullis/policies"));
    assert!(settings.policy.watch && !settings.policy.require_tests);
    assert_eq!(settings.store.path, PathBuf::from("/srv/portcullis/data/portcullis.redb"));
    assert_eq!(settings.keys.master_file, PathBuf::from("/srv/portcullis/data/master.key"));
    assert_eq!(
        settings.session,
        SessionBounds {
            absolute: DAY,
            idle: 2 * HOUR
        }
    );
    assert_eq!(settings.assertion.ttl, 5 * MINUTE);
    assert_eq!(settings.limits.head_bytes, 32 * 1024);
    assert_eq!(settings.site.name, "portcullis");
    assert!(settings.explain_to_users && settings.show_pattern_name);
    assert!(settings.mail.is_none() && settings.trusted_proxies.is_empty());
}

#[test]
fn every_flaw_has_its_code_and_its_place() {
    let rows: &[(&str, &str, &str, &str)] = &[
        ("not TOML", "[[peer]\n", "E100", ""),
        ("unknown key", "listen.htp = \"127.0.0.1:1\"\n", "E101", "htp"),
        ("unknown table", "lissten.http = \"127.0.0.1:1\"\n", "E101", "lissten"),
        ("type", "policy.watch = \"yes\"\n", "E102", "\"yes\""),
        ("address", "listen.http = \"4180\"\n", "E103", "\"4180\""),
        ("range", "assertion.ttl = \"16m\"\n", "E104", "\"16m\""),
        ("store loss", "store.on_loss = \"6m\"\n", "E104", "\"6m\""),
        ("share", "decision_log.sample_allow = 1.5\n", "E104", "1.5"),
        ("word", "store.kind = \"redis\"\n", "E105", "\"redis\""),
        (
            "one address twice",
            "listen = { http = \"127.0.0.1:1\", authz = [\"127.0.0.1:0\", \"127.0.0.1:1\"] }\n",
            "E106",
            "\"127.0.0.1:1\"",
        ),
        ("twice", "explain_to_users = true\nexplain_to_users = false\n", "E110", ""),
        ("literal key", "keys.master = \"0123\"\n", "E113", "master"),
        (
            "literal mail password",
            "mail = { url = \"smtps://m.example\", from = \"p@example.org\", password = \"x\" }\n",
            "E113",
            "password",
        ),
        (
            "password without a user",
            "mail = { url = \"smtps://m.example\", from = \"p@example.org\", password_file = \"secrets/edge\" }\n",
            "W303",
            "\"secrets/edge\"",
        ),
        (
            "authority of a folder",
            "mail = { url = \"file:///var/spool/out\", from = \"p@example.org\", ca_file = \"cert.pem\" }\n",
            "E122",
            "\"cert.pem\"",
        ),
        (
            "password in an address",
            "mail = { url = \"smtps://u:p@m.example\", from = \"p@example.org\" }\n",
            "E113",
            "\"smtps",
        ),
        ("file that is gone", "site.style_file = \"gone.css\"\n", "E114", "\"gone.css\""),
        ("file nobody read", "site.style_file = \"other.css\"\n", "E114", "\"other.css\""),
        ("certificate without key", "tls.cert_file = \"cert.pem\"\n", "E122", "tls"),
        ("TLS without certificate", "listen.https = \"127.0.0.1:1\"\n", "E122", ""),
        (
            "terms nobody agreed to",
            "listen.https = \"127.0.0.1:1\"\ntls.acme.contact = [\"ops@example.org\"]\n",
            "E122",
            "",
        ),
        ("certificates for nobody", "tls.acme.agree_to_terms = true\n", "E122", ""),
        (
            "a challenge that nobody answers",
            "listen = { https = \"127.0.0.1:1\", http = [] }\ntls.acme = { agree_to_terms = true, challenge = \"http-01\" }\n",
            "E122",
            "",
        ),
        (
            "directory in clear",
            "listen.https = \"127.0.0.1:1\"\ntls.acme = { agree_to_terms = true, directory = \"http://a.example/\" }\n",
            "E103",
            "\"http:",
        ),
        (
            "wildcard by challenge",
            "listen.https = \"127.0.0.1:1\"\ntls.acme = { agree_to_terms = true, names = [\"*.lab.example\"] }\n",
            "E103",
            "\"*.lab",
        ),
        ("clear beyond loopback", "listen.http = \"0.0.0.0:80\"\n", "E122", "\"0.0.0.0:80\""),
        ("proxy", "trusted_proxies = [\"proxy\"]\n", "E130", "\"proxy\""),
        ("host bits", "trusted_proxies = [\"10.0.0.1/8\"]\n", "E131", "\"10.0.0.1/8\""),
        ("everybody is trusted", "trusted_proxies = [\"0.0.0.0/0\"]\n", "W301", "["),
        (
            "peer without secret",
            "peer = [{ name = \"edge\", from = [\"192.0.2.1\"], dialect = \"auth-request\" }]\n",
            "W302",
            "[",
        ),
        (
            "peer's name",
            "peer = [{ name = \"e x\", from = [\"127.0.0.1\"], dialect = \"grpc\" }]\n",
            "E103",
            "\"e x\"",
        ),
        (
            "sender",
            "mail = { url = \"smtps://m.example\", from = \"nobody\" }\n",
            "E103",
            "\"nobody\"",
        ),
    ];
    for (name, text, code, at) in rows {
        let sources = sources(&format!("{PORTAL}{text}"), &[]);
        let found = match load(&sources) {
            Ok((_, found)) | Err(found) => found,
        };
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        let problem = found.first().unwrap();
        assert_eq!(problem.code, *code, "{name}: {found:?}");
        assert_eq!(problem.level == Level::Error, code.starts_with('E'), "{name}");
        let shown = problem.render(&sources.texts());
        if !at.is_empty() {
            let texts = sources.texts();
            let slice = texts.slice(problem.at.as_ref().unwrap()).unwrap();
            assert!(slice.starts_with(at), "{name}: {slice}");
            assert!(shown.contains("--> config/portcullis.toml:"), "{shown}");
        }
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let Err(found) = load(&sources("listen.htp = 1\nstore.kind = \"x\"\nassertion.ttl = \"1d\"\n", &[])) else {
        panic!("accepted")
    };
    let mut codes: Vec<&str> = found.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["E101", "E103", "E104", "E105"]);
}

#[test]
fn the_environment_lies_over_the_file_and_takes_the_type_it_needs() {
    let environment = [
        ("PORTCULLIS__SERVER__PUBLIC_URL", "https://other.example"),
        ("PORTCULLIS__LISTEN__HTTP", "127.0.0.1:0,[::1]:0"),
        ("PORTCULLIS__POLICY__WATCH", "false"),
        ("PORTCULLIS__LIMITS__HEAD_FIELDS", "50"),
        ("PORTCULLIS__SESSION__IDLE", "1h"),
        ("PORTCULLIS__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("PORTCULLIS__EXPLAIN_TO_USERS", "false"),
        ("PORTCULLIS__SITE__NAME", "12"),
        ("PORTCULLIS__PEER__EDGE_1__SECRET", "hush"),
        ("PORTCULLIS_CONFIG", "no setting"),
    ];
    let text = format!("{PORTAL}peer = [{{ name = \"edge-1\", from = [\"192.0.2.1\"], dialect = \"forward-auth\" }}]\n");
    let (settings, found) = load(&sources(&text, &environment)).unwrap();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(settings.public_url.host(), "other.example");
    assert_eq!(settings.listen.http.len(), 2);
    assert!(!settings.policy.watch && !settings.explain_to_users);
    assert_eq!(settings.limits.head_fields, 50);
    assert_eq!(settings.session.idle, HOUR);
    assert!(settings.trusted_proxies.contains("10.1.1.1".parse().unwrap()));
    assert_eq!(settings.site.name, "12");
    assert_eq!(settings.peers.first().unwrap().secret, Some(Hashed::sha256(b"hush")));
    let Err(found) = load(&sources(PORTAL, &[("PORTCULLIS__LISTEN__HTP", "x")])) else {
        panic!("accepted")
    };
    assert!(
        found
            .first()
            .unwrap()
            .one_line(&sources(PORTAL, &[]).texts())
            .contains("PORTCULLIS__LISTEN__HTP")
    );
}

#[test]
fn secrets_come_from_files_without_their_line_end() {
    let settings = loaded(&format!(
        "{PORTAL}peer = [{{ name = \"edge\", from = [\"192.0.2.1\"], dialect = \"auth-request\", secret_file = \"secrets/edge\" }}]\n"
    ));
    assert_eq!(settings.peers.first().unwrap().secret, Some(Hashed::sha256(b"hush")));
    let asked = wanted(&sources(
        &format!("{PORTAL}tls = {{ cert_file = \"cert.pem\", key_file = \"key.pem\" }}\n"),
        &[],
    ));
    assert_eq!(
        asked.iter().map(|file| (file.written.as_str(), file.secret)).collect::<Vec<_>>(),
        [("cert.pem", false), ("key.pem", true)]
    );
}

#[test]
fn an_authority_needs_agreement_and_nothing_else() {
    let settings = loaded(&format!("{PORTAL}listen.https = \"[::1]:443\"\ntls.acme.agree_to_terms = true\n"));
    let tls = settings.tls.unwrap();
    assert!(tls.certificates.is_empty());
    let acme = tls.acme.unwrap();
    assert_eq!(acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!((acme.challenge, acme.names), (Challenge::TlsAlpn01, None));
    assert!(acme.dir.ends_with("data/acme"), "{:?}", acme.dir);
}

#[test]
fn a_proxy_in_front_may_speak_clear_text_to_us() {
    let settings = loaded(&format!("{PORTAL}listen.http = \"0.0.0.0:80\"\ntrusted_proxies = [\"10.0.0.1\"]\n"));
    assert!(!settings.listen.allow_plain);
}

#[test]
fn the_shipped_settings_are_sound() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/portcullis.toml")).unwrap();
    let (settings, found) = load(&sources(&text, &[])).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(found.is_empty(), "{found:?}");
    assert!(
        settings
            .listen
            .http
            .iter()
            .chain(&settings.listen.management)
            .all(ListenAddress::is_local)
    );
    // What is commented out is an example, and must be one that works.
    let examples: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|line| line.contains(" = ") || line.starts_with('['))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let (table, slips) = document::read(&"config/portcullis.toml".into(), &examples);
    assert!(slips.is_empty() && !table.entries.is_empty(), "{slips:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = load(&sources(&text, &[]));
    }
}

#[test]
fn backups_are_made_where_a_folder_is_named() {
    assert_eq!(loaded(PORTAL).backup, None);
    let timer = loaded(&format!("{PORTAL}backup.dir = \"kept\"")).backup.unwrap();
    assert_eq!(timer.dir, PathBuf::from("/srv/portcullis/kept"));
    assert_eq!((timer.every, timer.keep), (DAY, 7));
    let timer = loaded(&format!("{PORTAL}backup = {{ dir = \"/var/backups\", every = \"6h\", keep = 28 }}"))
        .backup
        .unwrap();
    assert_eq!((timer.dir, timer.every, timer.keep), (PathBuf::from("/var/backups"), 6 * HOUR, 28));
    for (text, code) in [
        ("backup.keep = 3", "E103"),
        ("backup = { dir = \"x\", keep = 0 }", "E104"),
        ("backup = { dir = \"x\", every = \"0s\" }", "E104"),
        ("backup = { dir = \"x\", often = \"1h\" }", "E101"),
    ] {
        let found = load(&sources(&format!("{PORTAL}{text}"), &[])).unwrap_err();
        assert!(found.iter().any(|problem| problem.code == code), "{text}: {found:?}");
    }
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_what_to_do_about_their_settings() {
    let text = format!("{PORTAL}\n[telemetry.traces]\notlp = \"http://127.0.0.1:4318\"\n");
    let sources = sources(&text, &[]);
    let found = load(&sources).unwrap_err();
    let said = found.iter().map(|problem| problem.render(&sources.texts())).collect::<String>();
    assert!(said.contains("config/portcullis.toml:3:12"), "{said}");
    assert!(said.contains("error[E127]: this portcullis was built without traces"), "{said}");
    assert!(said.contains("cargo build --release --features otel"), "{said}");
}
