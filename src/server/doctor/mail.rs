//! Mail: whether the server answers, and speaks TLS before anything secret is said; or whether the program or folder can be used. Nothing
//! is sent.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};

use crate::config::{Mail, MailRoute, SmtpServer};
use crate::mail::wire::{NoWay, Wire};

use super::fault::{Area, Fault};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at the way mail leaves.
pub(super) async fn look(mail: &Mail) -> Option<Fault> {
    let at = format!("mail.url {}", mail.url);
    match &mail.route {
        MailRoute::Smtp(server) => greet(server, at).await,
        MailRoute::Sendmail(program) => unusable(program, Access::EXEC_OK).map(|why| {
            let help = "install a mail program there, or name another way in `mail.url`";
            Fault::error(Area::Mail, "mail-program", at, why, help)
        }),
        MailRoute::Folder(folder) => unusable(folder, Access::WRITE_OK | Access::EXEC_OK).map(|why| {
            let help = "make the folder, and let the user that portcullis runs as write to it";
            Fault::error(Area::Mail, "mail-folder", at, why, help)
        }),
    }
}

fn unusable(path: &Path, how: Access) -> Option<String> {
    access(path, how).err().map(|error| std::io::Error::from(error).to_string())
}

/// Greets the mail server.
async fn greet(server: &SmtpServer, at: String) -> Option<Fault> {
    let opened = tokio::time::timeout(LIMIT, Wire::open(server, "portcullis-doctor")).await;
    let error = match opened {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error,
        Err(_) => {
            let help = "start it, or correct `mail.url` and the firewall between";
            return Some(Fault::error(
                Area::Mail,
                "mail-unreachable",
                at,
                format!("no answer within {LIMIT:?}"),
                help,
            ));
        }
    };
    let (code, help) = match &error {
        NoWay::Unreachable(_) => ("mail-unreachable", "start it, or correct `mail.url` and the firewall between"),
        NoWay::Unwelcome(_) => (
            "mail-unwelcome",
            "is that the port of a mail server, and the right scheme: smtps:// for TLS from the start?",
        ),
        NoWay::NoStartTls => ("mail-in-clear", "switch STARTTLS on there, or use smtps://"),
        NoWay::Tls(_) => (
            "mail-tls",
            "the name in `mail.url` must be in its certificate, and this machine must know the authority, or `mail.ca_file` name it",
        ),
        NoWay::Roots(_) => ("mail-authority", "`mail.ca_file` is the authority's certificate as PEM"),
    };
    Some(Fault::error(Area::Mail, code, at, error.to_string(), help))
}
