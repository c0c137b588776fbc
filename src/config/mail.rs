//! The table `[mail]`: how letters leave.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::base::diagnostic::Diagnostic;
use crate::base::document::At;
use crate::base::grammar::Flaw;
use crate::base::reader::Reader;
use crate::base::time::MINUTE;
use crate::model::email::EmailAddress;
use crate::model::name::is_unprintable;

use super::parse::Parser;
use super::settings::{Mail, MailRoute, Sender, SmtpServer};
use super::tables::span;

/// Where every system has it.
const SENDMAIL: &str = "/usr/sbin/sendmail";
const GRAMMAR: &str = "write smtps://mail.example.org, smtp://mail.example.org, sendmail: or file:///var/spool/portcullis";

impl Parser<'_> {
    pub(super) fn mail(&mut self, top: &mut Reader<'_>) -> Option<Mail> {
        let mut mail = top.table("mail")?;
        mail.need("url", "such as smtps://mail.example.org");
        mail.need("from", "the sender's address");
        let written = mail.parsed("url", route);
        let from = mail.parsed("from", sender);
        let file = mail.entry("password_file").map(|entry| entry.node.span.clone());
        let password_file = mail.text("password_file").map(|file| self.path(&file.value));
        let password = self.secret(&mut mail, "password", "password_file");
        let ca_file = mail.text("ca_file");
        let ca_place = ca_file.as_ref().map(|file| file.span.clone());
        let ca_file = self.file_path(ca_file);
        let timeout = span(&mut mail, "timeout", MINUTE, Duration::from_millis(100), 10 * MINUTE);
        mail.finish();
        let At {
            value: (url, mut route),
            span,
        } = written?;
        let exclude = |place, what: &str, help: &str| Diagnostic::error("E122", what).at(place).help(help);
        match &mut route {
            MailRoute::Smtp(server) => {
                server.ca_file = ca_file;
                let unused = |place, what: &str, help: &str| Diagnostic::warning("W303", what).at(place).help(help);
                if let (Some(place), None) = (&file, &server.user) {
                    let what = "the password is said to nobody: the mail server's address has no user";
                    self.problems
                        .push(unused(place.clone(), what, "write it as smtps://user@mail.example.org"));
                }
                if server.user.is_some() && password.is_none() && file.is_none() {
                    let what = "nobody is signed in to the mail server: its user has no password";
                    self.problems
                        .push(unused(span, what, "name the file that holds it with `password_file`"));
                }
            }
            MailRoute::Sendmail(_) | MailRoute::Folder(_) => {
                for (key, place) in [("ca_file", ca_place), ("password_file", file)] {
                    let what = format!("`{key}` is for mail servers");
                    let push = |place| self.problems.push(exclude(place, &what, "take it out, or write smtps:// in `url`"));
                    place.map(push);
                }
            }
        }
        Some(Mail {
            url,
            route,
            from: from?.value,
            password,
            password_file,
            timeout,
        })
    }
}

fn route(text: &str) -> Result<(Url, MailRoute), Flaw> {
    let url = Url::parse(text).map_err(|_| Flaw::malformed(format!("\"{text}\" is no mail server")).help(GRAMMAR))?;
    if url.password().is_some() {
        return Err(
            Flaw::new("E113", "the mail server's address holds a password").help("put it in a file and name that with `password_file`")
        );
    }
    let plain = url.query().is_none() && url.fragment().is_none();
    let no_path = matches!(url.path(), "" | "/");
    let here = url.host_str().is_none_or(|host| host.is_empty() || host == "localhost");
    let route = match url.scheme() {
        scheme @ ("smtps" | "smtp") if plain && no_path => {
            let host = url.host_str().filter(|host| !host.is_empty());
            let host = host.ok_or_else(|| Flaw::malformed("a mail server's address has a host").help(GRAMMAR))?;
            let implicit_tls = scheme == "smtps";
            let user = percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
            MailRoute::Smtp(SmtpServer {
                host: host.to_ascii_lowercase(),
                // RFC 8314 section 7.3, RFC 6409 section 3.1.
                port: url.port().unwrap_or(if implicit_tls { 465 } else { 587 }),
                implicit_tls,
                user: (!user.is_empty()).then_some(user),
                ca_file: None,
            })
        }
        "sendmail" if plain && here && no_path => MailRoute::Sendmail(PathBuf::from(SENDMAIL)),
        "sendmail" if plain && here => MailRoute::Sendmail(absolute(&url)?),
        "file" if plain && here && !no_path => MailRoute::Folder(absolute(&url)?),
        "smtps" | "smtp" => return Err(Flaw::malformed("a mail server's address ends with its host and port").help(GRAMMAR)),
        _ => return Err(Flaw::malformed(format!("\"{text}\" is no way for mail to leave")).help(GRAMMAR)),
    };
    Ok((url, route))
}

fn absolute(url: &Url) -> Result<PathBuf, Flaw> {
    let path = percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Flaw::malformed("the path must be absolute").help(GRAMMAR));
    }
    Ok(PathBuf::from(path))
}

/// `portcullis@example.org`, or with a name in front: `Portcullis <portcullis@example.org>`.
fn sender(text: &str) -> Result<Sender, Flaw> {
    let flaw =
        || Flaw::malformed(format!("\"{text}\" is no sender")).help("write portcullis@example.org or Portcullis <portcullis@example.org>");
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim().strip_suffix('>').ok_or_else(flaw)?),
        None => ("", text),
    };
    let address: EmailAddress = address.parse().map_err(|_| flaw())?;
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    if name.chars().any(is_unprintable) {
        return Err(flaw());
    }
    Ok(Sender {
        name: (!name.is_empty()).then(|| name.to_owned()),
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_leaves_by_servers_programs_and_folders() {
        let smtp = |host: &str, port, implicit_tls, user: Option<&str>| {
            Some(MailRoute::Smtp(SmtpServer {
                host: host.to_owned(),
                port,
                implicit_tls,
                user: user.map(str::to_owned),
                ca_file: None,
            }))
        };
        for (text, expected) in [
            ("smtps://mail.example.org", smtp("mail.example.org", 465, true, None)),
            ("smtp://Mail.example.org/", smtp("mail.example.org", 587, false, None)),
            ("smtp://127.0.0.1:2525", smtp("127.0.0.1", 2525, false, None)),
            ("smtps://[::1]:1", smtp("[::1]", 1, true, None)),
            (
                "smtps://gate%40example.org@mail.example.org",
                smtp("mail.example.org", 465, true, Some("gate@example.org")),
            ),
            ("sendmail:", Some(MailRoute::Sendmail("/usr/sbin/sendmail".into()))),
            (
                "sendmail:///opt/bin/sendmail",
                Some(MailRoute::Sendmail("/opt/bin/sendmail".into())),
            ),
            ("sendmail:/opt/bin/sendmail", Some(MailRoute::Sendmail("/opt/bin/sendmail".into()))),
            ("sendmail:sendmail", None),
            (
                "file:///var/spool/mail%20out",
                Some(MailRoute::Folder("/var/spool/mail out".into())),
            ),
            ("file:///", None),
            ("file://elsewhere/var/spool", None),
            ("smtp://", None),
            ("smtp:mail.example.org", None),
            ("smtps://mail.example.org/inbox", None),
            ("smtps://mail.example.org?tls=none", None),
            ("smtps://u:p@mail.example.org", None),
            ("http://mail.example.org", None),
            ("mail.example.org", None),
            ("", None),
        ] {
            assert_eq!(route(text).ok().map(|(_, route)| route), expected, "{text:?}");
        }
    }

    #[test]
    fn a_sender_may_have_a_name() {
        for (text, name, address) in [
            ("gate@example.org", None, Some("gate@example.org")),
            ("Gate <gate@example.org>", Some("Gate"), Some("gate@example.org")),
            ("\"Gate, the\" <gate@example.org>", Some("Gate, the"), Some("gate@example.org")),
            ("<gate@example.org>", None, Some("gate@example.org")),
            ("Gate <gate@example.org", None, None),
            ("Gate\r\nBcc: x <gate@example.org>", None, None),
            ("Gate <gate@example.org> <x@example.org>", None, None),
            ("nobody", None, None),
        ] {
            let read = sender(text).ok();
            assert_eq!(read.as_ref().map(|sender| sender.address.as_str()), address, "{text:?}");
            assert_eq!(read.and_then(|sender| sender.name).as_deref(), name, "{text:?}");
        }
    }
}
