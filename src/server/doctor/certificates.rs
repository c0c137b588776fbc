//! Certificates and when they end: the gateway's own, the authorities it believes, and what it shows to applications.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::base::time::{DAY, Timestamp};
use crate::config::Settings;
use crate::policy::Application;
use crate::policy::application::HostPattern;
use crate::policy::application::Mode;
use crate::server::acme;
use crate::server::acme::Kept;
use crate::server::control::chain;
use crate::server::tls;

use super::fault::{Area, Fault};

/// Days before its end from which a certificate is worth a look, and from which it is urgent.
const SOON: u32 = 30;
const URGENT: u32 = 7;

const RENEW: &str = "renew it; a running server takes the new file within a minute";

/// The certificates that the settings name.
pub(super) fn of_settings(settings: &Settings, applications: &[Application], now: Timestamp) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(written) = &settings.tls {
        let mut names = Vec::new();
        for (certificate, key) in &written.certificates {
            let one = tls_of(certificate, key);
            match tls::server_config(&one) {
                Err(error) => faults.push(broken(&certificate.display().to_string(), &chain(&error))),
                Ok(_) => faults.extend(of_file(certificate, now)),
            }
            names.extend(names_in(certificate));
        }
        let kept = written.acme.as_ref().map(|authority| acme::kept(settings, authority, applications));
        let mut asked = kept.unwrap_or_default();
        // For a host that a file of one's own names nobody is asked.
        asked.retain(|kept| !covers(&names, &kept.host));
        for kept in &asked {
            faults.extend(of_authority(kept, now));
        }
        if !settings.listen.https.is_empty() && faults.iter().all(|fault| fault.code != "certificate-unusable") {
            names.extend(asked.into_iter().map(|kept| kept.host));
            faults.extend(unnamed(settings, applications, &names));
        }
    }
    let authorities = settings
        .tls
        .iter()
        .filter_map(|written| written.client_ca_file.as_ref())
        .chain(settings.peers.iter().filter_map(|peer| peer.client_ca_file.as_ref()));
    for file in authorities {
        faults.extend(of_file(file, now));
    }
    faults
}

fn tls_of(certificate: &Path, key: &Path) -> crate::config::Tls {
    crate::config::Tls {
        certificates: vec![(certificate.to_owned(), key.to_owned())],
        client_ca_file: None,
        acme: None,
    }
}

/// What an authority gave for a host. It is renewed with a third of its life left, so only later does it become a fault.
fn of_authority(kept: &Kept, now: Timestamp) -> Option<Fault> {
    let Kept { host, file, why } = kept;
    let at = file.display().to_string();
    let help = "mend what the authority or the log says, then `portcullis reload` has it asked again";
    let error = |code: &str, what: String| Some(Fault::error(Area::Certificates, code, at.as_str(), what, help));
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound && why.is_empty() => {
            let what = format!("no certificate for {host} yet: none has been asked for");
            let help = "start the server, which asks the authority for it";
            return Some(Fault::warning(Area::Certificates, "certificate-awaited", at, what, help));
        }
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {
            return error("certificate-refused", format!("no certificate for {host}: {why}"));
        }
        Err(error) => return Some(broken(&at, &format!("it cannot be read: {error}"))),
    };
    if let Err(why) = belongs(&bytes, &bytes) {
        return Some(broken(&at, &why));
    }
    let leaf = CertificateDer::pem_slice_iter(&bytes).find_map(Result::ok)?;
    let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
    let begins = Timestamp::from_secs(parsed.validity().not_before.timestamp());
    let ends = Timestamp::from_secs(parsed.validity().not_after.timestamp());
    let (life, left) = (ends.since(begins), ends.since(now));
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    if now < begins {
        return validity(&at, host, begins, ends, now);
    }
    if left.is_zero() {
        return error("certificate-ended", format!("the certificate of {host} ended at {ends}{because}"));
    }
    let what = format!(
        "the certificate of {host} was to be renewed and ends in {} days, at {ends}{because}",
        left.as_secs() / DAY.as_secs()
    );
    if left <= life / 8 {
        error("certificate-ends", what)
    } else if left <= life / 4 {
        Some(Fault::warning(Area::Certificates, "certificate-ends", at, what, help))
    } else {
        None
    }
}

/// The certificates that an application's policy names.
pub(super) fn of_application(application: &Application, now: Timestamp) -> Vec<Fault> {
    let at = |file: &str| format!("app.{} {file}", application.name);
    let mut faults = Vec::new();
    if let Some(file) = &application.tls.ca_file {
        faults.extend(of_pem(&at(&file.path), &file.bytes, now));
    }
    if let Some(file) = &application.tls.cert_file {
        faults.extend(of_pem(&at(&file.path), &file.bytes, now));
        if let Some(key) = &application.tls.key_file
            && let Err(why) = belongs(&file.bytes, &key.bytes)
        {
            faults.push(broken(&at(&key.path), &why));
        }
    }
    faults
}

fn belongs(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| "the certificate is no PEM".to_owned())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "it holds no private key in PEM form".to_owned())?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map(drop)
        .map_err(|error| format!("the key is not the certificate's: {error}"))
}

fn broken(at: &str, why: &str) -> Fault {
    Fault::error(
        Area::Certificates,
        "certificate-unusable",
        at,
        why,
        "put the certificate chain and the key that belongs to it in place, both as PEM",
    )
}

fn of_file(file: &Path, now: Timestamp) -> Vec<Fault> {
    let at = file.display().to_string();
    match fs::read(file) {
        Ok(bytes) => of_pem(&at, &bytes, now),
        Err(error) => vec![broken(&at, &format!("it cannot be read: {error}"))],
    }
}

/// Every certificate of a file: a chain is good until its first one ends.
fn of_pem(at: &str, bytes: &[u8], now: Timestamp) -> Vec<Fault> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
    if found.is_empty() {
        return vec![broken(at, "it holds no certificate in PEM form")];
    }
    let mut faults = Vec::new();
    for der in &found {
        let Ok((_, parsed)) = X509Certificate::from_der(der) else {
            faults.push(broken(at, "a certificate in it cannot be read"));
            continue;
        };
        let begins = Timestamp::from_secs(parsed.validity().not_before.timestamp());
        let ends = Timestamp::from_secs(parsed.validity().not_after.timestamp());
        faults.extend(validity(at, &parsed.subject().to_string(), begins, ends, now));
    }
    faults
}

fn validity(at: &str, subject: &str, begins: Timestamp, ends: Timestamp, now: Timestamp) -> Option<Fault> {
    let whose = if subject.is_empty() {
        "the certificate".to_owned()
    } else {
        format!("the certificate of {subject}")
    };
    if now < begins {
        let what = format!("{whose} is not valid before {begins}");
        let help = "wait, or correct this machine's clock";
        return Some(Fault::error(Area::Certificates, "certificate-early", at, what, help));
    }
    if now > ends {
        let what = format!("{whose} ended at {ends}");
        return Some(Fault::error(Area::Certificates, "certificate-ended", at, what, RENEW));
    }
    let left = ends.since(now);
    let what = format!("{whose} ends in {} days, at {ends}", left.as_secs() / DAY.as_secs());
    if left <= DAY * URGENT {
        Some(Fault::error(Area::Certificates, "certificate-ends", at, what, RENEW))
    } else if left <= DAY * SOON {
        Some(Fault::warning(Area::Certificates, "certificate-ends", at, what, RENEW))
    } else {
        None
    }
}

/// The names in the first certificate of a file, lower case.
fn names_in(file: &Path) -> Vec<String> {
    let bytes = fs::read(file).unwrap_or_default();
    let Some(Ok(leaf)) = CertificateDer::pem_slice_iter(&bytes).next() else {
        return Vec::new();
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&leaf) else {
        return Vec::new();
    };
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    <[u8; 4]>::try_from(bytes)
        .map(|v4| std::net::Ipv4Addr::from(v4).to_string())
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| std::net::Ipv6Addr::from(v6).to_string()))
        .ok()
}

/// Hosts that are served over TLS and that no certificate names.
fn unnamed(settings: &Settings, applications: &[Application], names: &[String]) -> Vec<Fault> {
    let covered = |host: &str| covers(names, host);
    let mut faults = Vec::new();
    let mut tell = |at: String, host: &str| {
        let what = format!("no certificate names {host}: browsers will refuse it");
        let help = "obtain one that names it, and add it to tls.cert_file and tls.key_file";
        faults.push(Fault::error(Area::Certificates, "certificate-name", at, what, help));
    };
    let portal = settings.public_url.host().trim_matches(['[', ']']);
    if settings.public_url.is_secure() && !covered(portal) {
        tell("server.public_url".to_owned(), portal);
    }
    // Where another proxy stands in front, that one shows the certificate.
    for application in applications.iter().filter(|application| application.mode == Mode::Proxy) {
        for host in &application.hosts {
            let (good, shown) = match host {
                HostPattern::Exact(host) => (covered(host.trim_matches(['[', ']'])), host.to_string()),
                HostPattern::Under(parent) => (names.contains(&format!("*.{parent}")), format!("*.{parent}")),
            };
            if !good {
                tell(format!("app.{}", application.name), &shown);
            }
        }
    }
    faults
}

/// Whether one of the names, which may be wildcards, is the host's.
fn covers(names: &[String], host: &str) -> bool {
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => name == host,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fault::Severity;
    use super::*;

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let now = Timestamp::from_secs(1_900_000_000);
        let (early, late) = (now.before(DAY * 60), now.after(DAY * 300));
        for (name, begins, ends, code, severity) in [
            ("good for long", early, late, "", Severity::Warning),
            ("a month left", early, now.after(DAY * 30), "certificate-ends", Severity::Warning),
            ("a week left", early, now.after(DAY * 7), "certificate-ends", Severity::Error),
            ("over", early, now.before(DAY), "certificate-ended", Severity::Error),
            ("of tomorrow", now.after(DAY), late, "certificate-early", Severity::Error),
        ] {
            let found = validity("x.pem", "", begins, ends, now);
            let expected = (!code.is_empty()).then_some((code, severity));
            assert_eq!(found.as_ref().map(|fault| (&*fault.code, fault.severity)), expected, "{name}");
        }
    }
}
