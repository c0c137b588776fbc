//! The table of the gateway's certificates: files of one's own, and an authority that gives them by ACME.

use crate::base::diagnostic::Diagnostic;
use crate::base::grammar::Flaw;
use crate::base::reader::Reader;
use crate::model::email::EmailAddress;

use super::parse::Parser;
use super::settings::{Acme, Challenge, Listen, Tls};
use super::tables::values;

/// Let's Encrypt, for certificates that every browser believes.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Parser<'_> {
    pub(super) fn tls(&mut self, top: &mut Reader<'_>, listen: &Listen) -> Option<Tls> {
        let Some(mut tls) = top.table("tls") else {
            if !listen.https.is_empty() {
                self.problems.push(
                    Diagnostic::error("E122", "`listen.https` needs a certificate")
                        .at(top.place().clone())
                        .help("set tls.cert_file and tls.key_file, or [tls.acme] to have an authority give it"),
                );
            }
            return None;
        };
        let text = |text: &str| Ok(text.to_owned());
        let certs = tls.one_or_more("cert_file", text);
        let keys = tls.one_or_more("key_file", text);
        let client_ca = tls.text("client_ca_file");
        let table = tls.table("acme");
        let is_acme = table.is_some();
        let acme = table.and_then(|acme| self.acme(acme, listen));
        let (certs, keys) = match (certs, keys) {
            (Some(certs), Some(keys)) if certs.value.len() == keys.value.len() => (certs.value, keys.value),
            (None, None) if is_acme => (Vec::new(), Vec::new()),
            _ => {
                self.problems
                    .push(Diagnostic::error("E122", "`tls` needs a `key_file` for each `cert_file`").at(tls.place().clone()));
                (Vec::new(), Vec::new())
            }
        };
        tls.finish();
        let certificates = certs
            .iter()
            .zip(&keys)
            .map(|(cert, key)| {
                let _ = self.look(cert, false);
                let _ = self.look(key, true);
                (self.path(&cert.value), self.path(&key.value))
            })
            .collect();
        Some(Tls {
            certificates,
            client_ca_file: self.file_path(client_ca),
            acme,
        })
    }

    fn acme(&mut self, mut acme: Reader<'_>, listen: &Listen) -> Option<Acme> {
        let agreed = acme.boolean("agree_to_terms").is_some_and(|yes| yes.value);
        let directory = acme.parsed("directory", directory);
        let contact = acme.list("contact", |text| match text.parse::<EmailAddress>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(Flaw::malformed(format!("\"{text}\" is no mail address")).help("write it as ops@example.org, without mailto:")),
        });
        let challenge = acme.word(
            "challenge",
            &[("tls-alpn-01", Challenge::TlsAlpn01), ("http-01", Challenge::Http01)],
        );
        let names = acme.list("names", host);
        let ca = acme.text("ca_file");
        let dir = acme.text("dir");
        let place = acme.place().clone();
        acme.finish();
        let refuse = |what: &str, help: &str| {
            self.problems.push(Diagnostic::error("E122", what).at(place.clone()).help(help));
        };
        if !agreed {
            refuse(
                "`tls.acme` needs your word that you agree to the authority's terms",
                "read them (its directory names them), then set tls.acme.agree_to_terms = true",
            );
        }
        if listen.https.is_empty() {
            refuse(
                "`tls.acme` has nobody to get certificates for",
                "set listen.https, which shows them",
            );
        }
        let challenge = challenge.map_or(Challenge::TlsAlpn01, |challenge| challenge.value);
        if challenge == Challenge::Http01 && listen.http.is_empty() {
            refuse(
                "`challenge = \"http-01\"` is answered on `listen.http`, which is empty",
                "let listen.http be reached at port 80, or use challenge = \"tls-alpn-01\"",
            );
        }
        Some(Acme {
            directory: directory.map_or_else(|| DIRECTORY.to_owned(), |url| url.value),
            contact: contact.map(values).unwrap_or_default(),
            challenge,
            names: names.map(values),
            ca_file: self.file_path(ca),
            dir: self.path(dir.as_ref().map_or("data/acme", |dir| &dir.value)),
        })
    }
}

fn directory(text: &str) -> Result<String, Flaw> {
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.host().is_some() => Ok(url.to_string()),
        _ => {
            Err(Flaw::malformed(format!("\"{text}\" is no directory of an ACME server"))
                .help("write it as https://acme.example.org/directory"))
        }
    }
}

/// A name that the two challenges can prove: no address, no wildcard.
fn host(text: &str) -> Result<String, Flaw> {
    let name = text.to_ascii_lowercase();
    let is_host = url::Host::parse(&name).is_ok_and(|host| matches!(&host, url::Host::Domain(domain) if *domain == name));
    if !is_host || name.contains('*') || name.ends_with('.') {
        return Err(Flaw::malformed(format!("\"{text}\" is no host name a certificate can be had for"))
            .help("wildcards and addresses cannot be had this way: give their certificate with tls.cert_file"));
    }
    Ok(name)
}
