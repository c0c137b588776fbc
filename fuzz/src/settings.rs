//! Settings text: every finding points into the text, and settings that are taken hold what the others rely on.
//!
//! Input: the settings file; lines that begin with `PORTCULLIS__` are variables, laid over it.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis::app::Live;
use portcullis::base::diagnostic::Level;
use portcullis::base::sources::{PolicyTexts, SourceText, Sources};
use portcullis::base::time::Timestamp;
use portcullis::config::{self, ListenAddress, PublicUrl, Settings};

use super::policies::findings_are_sound;

/// Reads the text as settings, alone and with rules.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut environment = BTreeMap::new();
    let mut file = String::new();
    for line in text.split_inclusive('\n') {
        match line.trim_end().split_once('=').filter(|_| line.starts_with("PORTCULLIS__")) {
            Some((name, value)) => {
                environment.insert(name.to_owned(), value.to_owned());
            }
            None => file.push_str(line),
        }
    }
    let sources = Sources {
        root: "/srv".into(),
        settings: Some(SourceText {
            name: "config/portcullis.toml".into(),
            text: file.into(),
        }),
        environment,
        policies: policies(),
        ..Sources::default()
    };
    let _ = (config::wanted(&sources), config::policy_dir(&sources));
    let now = Timestamp::from_secs(1_772_452_800);
    match config::load(&sources) {
        Ok((settings, findings)) => {
            findings_are_sound(&findings, &sources.texts());
            assert!(findings.iter().all(|finding| finding.level != Level::Error), "{findings:?}");
            others_can_rely(&settings);
            if let Ok(live) = Live::parse(&sources, now) {
                assert_eq!(live.settings.public_url, settings.public_url);
                let rules = live.house_rules();
                assert!(rules.session.idle <= settings.session.idle && rules.token_tries > 0, "{rules:?}");
                let _ = live.log_settings();
            }
        }
        Err(findings) => {
            findings_are_sound(&findings, &sources.texts());
            assert!(
                findings.iter().any(|finding| finding.level == Level::Error),
                "refused without an error: {findings:?}"
            );
            assert!(Live::parse(&sources, now).is_err());
        }
    }
}

fn others_can_rely(settings: &Settings) {
    let portal = &settings.public_url;
    assert!(portal.is_secure() || is_loopback(portal.host()), "{portal:?}");
    assert_eq!(PublicUrl::parse(portal.origin()).as_ref(), Ok(portal), "written out and read again");
    for listen in settings.listen.http.iter().chain(&settings.listen.https) {
        assert_eq!(
            ListenAddress::parse(&listen.to_string()).as_ref(),
            Ok(listen),
            "written out and read again"
        );
    }
    let limits = &settings.limits;
    for time in [
        limits.head_time,
        limits.body_stall,
        limits.idle,
        settings.session.idle,
        settings.session.absolute,
        settings.assertion.ttl,
    ] {
        assert!(time > Duration::ZERO, "{settings:?}");
    }
    assert!(limits.head_bytes >= 1 && limits.head_fields >= 1 && limits.target_bytes >= 1 && limits.connections >= 1);
    assert!(limits.target_bytes <= limits.head_bytes || limits.head_bytes >= 1024);
}

fn is_loopback(host: &str) -> bool {
    host.trim_end_matches('.').ends_with("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn policies() -> PolicyTexts {
    let text = "[app.eln]\nhost = \"eln.example.com\"\nupstream = \"http://127.0.0.1:1\"\nrequire = { signed_in = true }\n";
    PolicyTexts {
        files: vec![SourceText {
            name: "policies/eln.toml".into(),
            text: text.into(),
        }],
        ..PolicyTexts::default()
    }
}
