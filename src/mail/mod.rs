//! Letters: what they say, and how they leave.

mod elsewhere;
pub mod envelope;
pub mod letters;
mod smtp;
pub mod wire;

use crate::base::secret::Secret;
use crate::config::{Mail, MailRoute};

use envelope::{Envelope, Outgoing};
use smtp::Conversation;

/// What became of a letter that was given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken, with these words.
    Taken(String),
    /// This letter was not taken now; another one may be.
    NotNow(String),
    /// No letter is taken now: there is nobody there, or nobody who takes our word.
    Closed(String),
    /// This letter is never taken.
    Never(String),
}

/// Gives letters away, one after the other, over one connection where that goes on.
#[derive(Debug)]
pub struct Mailer {
    mail: Mail,
    /// Who we say we are to a mail server.
    hello: String,
    conversation: Option<Conversation>,
}

impl Mailer {
    /// One that goes by these settings. Nothing is connected yet.
    #[must_use]
    pub fn new(mail: Mail, portal_host: &str) -> Self {
        let hello = match portal_host.parse::<std::net::IpAddr>() {
            // An address literal, as RFC 5321 section 4.1.3 writes them.
            Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
            Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Err(_) => portal_host.to_owned(),
        };
        Self {
            mail,
            hello,
            conversation: None,
        }
    }

    /// Gives one letter away. It takes `mail.timeout` at most; a letter whose answer did not come in time may have been taken.
    pub async fn send(&mut self, outgoing: &Outgoing) -> Outcome {
        let envelope = match Envelope::of(outgoing, &self.mail.from) {
            Ok(envelope) => envelope,
            Err(error) => return Outcome::Never(error.to_string()),
        };
        let limit = self.mail.timeout;
        let outcome = tokio::time::timeout(limit, self.give(&envelope)).await;
        outcome.unwrap_or_else(|_| {
            // What it says from now on would be taken for the answer to the next letter.
            self.conversation = None;
            Outcome::Closed(format!("no answer within {limit:?}"))
        })
    }

    async fn give(&mut self, envelope: &Envelope) -> Outcome {
        let server = match &self.mail.route {
            MailRoute::Sendmail(program) => return elsewhere::by_sendmail(program, envelope).await,
            MailRoute::Folder(folder) => return elsewhere::into_folder(folder, envelope).await,
            MailRoute::Smtp(server) => server,
        };
        let mut conversation = match self.conversation.take().filter(Conversation::goes_on) {
            Some(conversation) => conversation,
            None => match Conversation::open(server, self.password().await, &self.hello).await {
                Ok(conversation) => conversation,
                Err(said) => return Outcome::Closed(said),
            },
        };
        let outcome = conversation.send(envelope).await;
        self.conversation = Some(conversation).filter(Conversation::goes_on);
        outcome
    }

    /// The password as its file has it now.
    async fn password(&self) -> Option<Secret<String>> {
        let known = self.mail.password.clone();
        let Some(file) = &self.mail.password_file else { return known };
        match tokio::fs::read_to_string(file).await {
            Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim().to_owned())),
            _ => known,
        }
    }

    /// Takes leave of a mail server.
    pub async fn end(self) {
        if let Some(conversation) = self.conversation {
            let _in_time = tokio::time::timeout(self.mail.timeout, conversation.end()).await;
        }
    }
}
