//! Faults of what is on the disk: modes, the master key, certificates, listeners in the settings, the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::base::seal::MasterKey;
use portcullis::base::time::{Clock, DAY, Timestamp};
use rcgen::{CertificateParams, KeyPair};

use super::{Site, codes, copy, without_machine};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn files_that_too_many_may_read_or_write_are_found() {
    let site = Site::sound().await;
    site.settings("decision_log.file = \"data/decisions.jsonl\"\nmail = { url = \"smtp://127.0.0.1:9\", from = \"a@example.org\", password_file = \"mail.secret\" }");
    site.write("mail.secret", "hush");
    site.write("data/decisions.jsonl", "");
    for secret in ["mail.secret", "data/decisions.jsonl"] {
        chmod(&site.at(secret), 0o640);
    }
    let running = site.serve().await;
    // Nobody listens for mail there; that is another test's matter.
    let found = async || {
        let mut codes = site.codes().await;
        codes.retain(|code| code != "mail-unreachable");
        codes
    };
    assert!(found().await.is_empty(), "{:?}", site.faults().await);
    for (path, mode, code) in [
        ("config/portcullis.toml", 0o666, "mode-settings"),
        ("policies/main.toml", 0o646, "mode-policies"),
        ("policies", 0o777, "mode-policies"),
        ("data", 0o770, "mode-data"),
        ("data/portcullis.redb", 0o640, "mode-store"),
        ("data/portcullis.sock", 0o666, "mode-socket"),
        ("mail.secret", 0o644, "mode-secret"),
        ("data/decisions.jsonl", 0o644, "mode-log"),
        (".", 0o757, "mode-above"),
    ] {
        let path = site.at(path);
        let before = fs::metadata(&path).unwrap().permissions().mode();
        chmod(&path, mode);
        assert_eq!(found().await, [code], "{} {mode:o}", path.display());
        chmod(&path, before);
    }
    running.stop().await;
    let key = site.at("data/master.key");
    chmod(&key, 0o640);
    let mut both = found().await;
    both.sort();
    assert_eq!(both, ["key-readable", "mode-master-key"]);
}

#[tokio::test]
async fn a_master_key_that_opens_nothing_is_found() {
    let site = Site::sound().await;
    let key = site.at("data/master.key");
    let kept = fs::read(&key).unwrap();
    let other = MasterKey::generate(&Random::System).to_file_text();
    for (name, content, code) in [
        ("of another store", other.expose().as_bytes(), "key-of-another-store"),
        ("cut short", &kept[..20], "key-malformed"),
        ("empty", b"", "key-malformed"),
    ] {
        fs::write(&key, content).unwrap();
        assert_eq!(site.codes().await, [code], "{name}");
    }
    fs::remove_file(&key).unwrap();
    assert_eq!(site.codes().await, ["key-missing"]);
    assert!(!key.exists(), "none was made in its place");
    fs::write(&key, kept).unwrap();
    chmod(&key, 0o600);
    assert!(site.codes().await.is_empty());
}

/// Writes a certificate for the hosts, good for so long from now, and its key.
fn certificate(site: &Site, name: &str, hosts: &[&str], good_for: Duration) {
    let key = KeyPair::generate().unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    let now = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(Clock::System.now().as_millis()).unwrap());
    parameters.not_before = (now - DAY * 400).into();
    parameters.not_after = (now + good_for).into();
    let made = parameters.self_signed(&key).unwrap();
    site.write(&format!("{name}.pem"), &made.pem());
    site.write(&format!("{name}.key"), &key.serialize_pem());
    chmod(&site.at(&format!("{name}.key")), 0o600);
}

const TLS: &str =
    "listen.https = \"127.0.0.1:0\"\nserver.public_url = \"https://portal.example\"\ntls.cert_file = \"c.pem\"\ntls.key_file = \"c.key\"";

#[tokio::test]
async fn certificates_that_end_or_do_not_fit_are_found() {
    let site = Site::sound().await;
    site.settings(TLS);
    let both: &[&str] = &["portal.example", "*.localhost"];
    certificate(&site, "c", both, DAY * 90);
    assert_eq!(site.faults().await, []);

    let long_ago = without_machine(site.examine_at(&Clock::fixed(Timestamp::from_secs(1_700_000_000))).await);
    assert!(codes(&long_ago).contains(&"certificate-early".to_owned()), "{long_ago:?}");
    for (name, hosts, good_for, code) in [
        ("three weeks", both, DAY * 21, "certificate-ends"),
        ("three days", both, DAY * 3, "certificate-ends"),
        ("the portal is not in it", &["*.localhost"][..], DAY * 90, "certificate-name"),
        (
            "the application is not in it",
            &["portal.example"][..],
            DAY * 90,
            "certificate-name",
        ),
    ] {
        certificate(&site, "c", hosts, good_for);
        assert_eq!(site.codes().await, [code], "{name}");
    }
    certificate(&site, "c", both, DAY * 90);
    let next_year = without_machine(site.examine_at(&Clock::fixed(Clock::System.now().after(DAY * 365))).await);
    assert!(codes(&next_year).contains(&"certificate-ended".to_owned()), "{next_year:?}");

    certificate(&site, "other", both, DAY * 90);
    copy(&site.at("other.key"), &site.at("c.key"));
    assert_eq!(site.codes().await, ["certificate-unusable"], "another's key");
    site.write("c.pem", "nothing");
    assert_eq!(site.codes().await, ["certificate-unusable"], "no certificate");
}

#[tokio::test]
async fn what_an_authority_gave_and_what_it_refused_are_looked_at() {
    let site = Site::sound().await;
    certificate(&site, "c", &["*.localhost"], DAY * 90);
    site.settings(&format!(
        "{TLS}\ntls.acme = {{ agree_to_terms = true, names = [\"portal.example\"], dir = \"kept\" }}"
    ));
    assert_eq!(site.codes().await, ["certificate-awaited"]);
    site.write("kept/tried.json", "{\"portal.example\": {\"why\": \"it did not find us\"}}");
    chmod(&site.at("kept/tried.json"), 0o600);
    let found = site.faults().await;
    assert_eq!(codes(&found), ["certificate-refused"]);
    assert!(found[0].what.contains("it did not find us"), "{found:?}");
    for (name, good_for, code) in [
        ("a third left", DAY * 200, None),
        ("less than a quarter", DAY * 110, Some("certificate-ends")),
        ("less than an eighth", DAY * 21, Some("certificate-ends")),
    ] {
        certificate(&site, "given", &["portal.example"], good_for);
        let text = |name: &str| fs::read_to_string(site.at(name)).unwrap();
        site.write("kept/portal.example.pem", &format!("{}{}", text("given.key"), text("given.pem")));
        chmod(&site.at("kept/portal.example.pem"), 0o600);
        let found = site.faults().await;
        assert_eq!(found.first().map(|fault| &*fault.code), code, "{name}");
        assert!(
            found.iter().all(|fault| fault.what.contains("it did not find us")),
            "{name}: {found:?}"
        );
    }
    site.write("kept/portal.example.pem", "nothing");
    chmod(&site.at("kept/portal.example.pem"), 0o640);
    assert_eq!(site.codes().await, ["mode-acme", "certificate-unusable"]);
}

#[tokio::test]
async fn certificates_towards_applications_are_looked_at_too() {
    let site = Site::sound().await;
    certificate(&site, "policies/ca", &["ca.example"], DAY * 3);
    certificate(&site, "policies/client", &["client.example"], DAY * 90);
    certificate(&site, "policies/other", &["client.example"], DAY * 90);
    let tls = |key: &str| format!("tls = {{ ca_file = \"ca.pem\", cert_file = \"client.pem\", key_file = \"{key}.key\" }}");
    site.application(&site.upstream.url(), &tls("client"));
    let found = site.faults().await;
    assert_eq!(codes(&found), ["certificate-ends"]);
    assert!(found[0].at.contains("app.echo ca.pem"), "{found:?}");
    certificate(&site, "policies/ca", &["ca.example"], DAY * 90);
    site.application(&site.upstream.url(), &tls("other"));
    assert_eq!(site.codes().await, ["certificate-unusable"]);
}

#[tokio::test]
async fn listeners_that_are_too_open_are_found() {
    let site = Site::sound().await;
    for (settings, code) in [
        ("listen.http = \"0.0.0.0:0\"\nlisten.allow_plain = true", "listener-in-clear"),
        ("listen.management = \"0.0.0.0:0\"", "management-public"),
        ("listen.management = \"203.0.113.9:4190\"", "management-public"),
        ("listen.management = \"[2001:db8::1]:4190\"", "management-public"),
        ("trusted_proxies = [\"0.0.0.0/0\"]", "trusted-proxies"),
        ("trusted_proxies = [\"10.0.0.0/8\"]", "trusted-proxies"),
        ("trusted_proxies = [\"2001:db8::/32\"]", "trusted-proxies"),
    ] {
        site.settings(settings);
        assert_eq!(site.codes().await, [code], "{settings}");
    }
    for settings in [
        "listen.management = \"10.0.0.7:4190\"",
        "listen.http = \"10.0.0.7:4180\"\ntrusted_proxies = [\"10.0.0.1\", \"10.0.1.0/28\"]",
    ] {
        site.settings(settings);
        assert!(site.codes().await.is_empty(), "{settings}");
    }
}

/// Changes a table of the store behind its back.
fn tamper(path: &Path, table: &str, deed: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>)) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    deed(
        &mut transaction
            .open_table(redb::TableDefinition::<&'static [u8], &'static [u8]>::new(table))
            .unwrap(),
    );
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_store_that_was_tampered_with_or_damaged_is_found() {
    use redb::ReadableTable;
    let site = Site::sound().await;
    let store = site.at("data/portcullis.redb");
    let kept = fs::read(&store).unwrap();

    tamper(&store, "audit", |table| {
        let first = [&[0; 4][..], &1_u64.to_be_bytes()].concat();
        let mut value = table.get(first.as_slice()).unwrap().unwrap().value().to_vec();
        // Behind the shape of an entry stands its hash.
        value[5] ^= 1;
        table.insert(first.as_slice(), value.as_slice()).unwrap();
    });
    assert_eq!(site.codes().await, ["audit-broken"]);
    let running = site.serve().await;
    assert_eq!(site.codes().await, ["audit-broken"], "the running server finds it as well");
    running.stop().await;

    fs::write(&store, &kept).unwrap();
    tamper(&store, "users", |table| {
        table.insert(&b"key"[..], &b""[..]).unwrap();
    });
    assert_eq!(site.codes().await, ["store-damaged"], "a row that is none");

    fs::write(&store, &kept[..kept.len() / 2]).unwrap();
    assert_eq!(site.codes().await, ["store-damaged"], "cut off");
    let mut scratched = kept.clone();
    let page = scratched.len() / 4;
    for byte in &mut scratched[page..] {
        *byte ^= 0x55;
    }
    fs::write(&store, &scratched).unwrap();
    assert_eq!(site.codes().await, ["store-damaged"], "scratched");
    fs::write(&store, "a text").unwrap();
    assert_eq!(site.codes().await, ["store-damaged"], "something else");
    fs::write(&store, &kept).unwrap();
    assert_eq!(site.faults().await, []);
}
