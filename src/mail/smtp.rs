//! A conversation with a mail server, a letter at a time; the one file that knows how SMTP is spoken.

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use crate::base::secret::Secret;
use crate::config::SmtpServer;

use super::Outcome;
use super::envelope::Envelope;
use super::wire::Wire;

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> std::io::Result<std::net::SocketAddr> {
        Ok(self.peer())
    }
}

/// What a server has taken a letter with (RFC 5321 section 4.2.3).
const TAKEN: u16 = 250;
/// It wants to hear the letter.
const GO_ON: u16 = 354;
/// It closes the connection.
const CLOSING: u16 = 421;

/// A connection to a mail server on which letters may be said.
pub(super) struct Conversation {
    connection: AsyncSmtpConnection,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

impl Conversation {
    /// Connects and says who we are.
    ///
    /// # Errors
    /// What went wrong, in words. It says nothing about any one letter, so none is refused by it.
    pub(super) async fn open(server: &SmtpServer, password: Option<Secret<String>>, hello: &str) -> Result<Self, String> {
        let wire = Wire::open(server, hello).await.map_err(|error| error.to_string())?;
        let encrypted = wire.is_encrypted();
        let hello = ClientId::Domain(hello.to_owned());
        let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &hello)
            .await
            .map_err(|error| said(&error))?;
        if let (Some(user), Some(password)) = (&server.user, password) {
            let credentials = Credentials::new(user.clone(), password.expose().clone());
            // Both send the password as it is, which TLS hides, or the machine's own wire.
            if let Err(error) = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await {
                connection.abort().await;
                let how = if encrypted { "" } else { " in clear" };
                return Err(format!("it does not take the user and password{how}: {}", said(&error)));
            }
        }
        Ok(Self { connection })
    }

    /// Whether another letter can be said on it.
    pub(super) fn goes_on(&self) -> bool {
        !self.connection.has_broken()
    }

    /// Says one letter.
    pub(super) async fn send(&mut self, envelope: &Envelope) -> Outcome {
        let mail = Mail::new(Some(envelope.from.clone()), Vec::new());
        if let Err(error) = self.connection.command(mail).await {
            // The sender is the same for all letters: a refusal is the server's settings, or ours.
            return self.closed(&error).await;
        }
        if let Err(error) = self.connection.command(Rcpt::new(envelope.to.clone(), Vec::new())).await {
            return self.refused(&error).await;
        }
        match self.connection.command(Data).await {
            Ok(reply) if reply.has_code(GO_ON) => {}
            Ok(reply) => return self.out_of_step(&reply).await,
            Err(error) => return self.refused(&error).await,
        }
        match self.connection.message(&envelope.bytes).await {
            Ok(reply) if reply.has_code(TAKEN) => Outcome::Taken(words(&reply)),
            Ok(reply) => self.out_of_step(&reply).await,
            Err(error) => self.refused(&error).await,
        }
    }

    /// Takes leave.
    pub(super) async fn end(mut self) {
        let _farewell = self.connection.quit().await;
    }

    /// A letter was refused, for now or for good; or there is nobody there any more.
    async fn refused(&mut self, error: &Error) -> Outcome {
        let closing = error.status().is_some_and(|code| u16::from(code) == CLOSING);
        if closing || error.status().is_none() {
            return self.closed(error).await;
        }
        if self.connection.command(Rset).await.is_err() {
            self.connection.abort().await;
        }
        if error.is_permanent() {
            Outcome::Never(said(error))
        } else {
            Outcome::NotNow(said(error))
        }
    }

    async fn closed(&mut self, error: &Error) -> Outcome {
        self.connection.abort().await;
        Outcome::Closed(said(error))
    }

    /// It answers something else than it was asked. What it would say next is then not about what we say next.
    async fn out_of_step(&mut self, reply: &Response) -> Outcome {
        self.connection.abort().await;
        Outcome::Closed(format!("it answers out of step: {}", words(reply)))
    }
}

fn words(reply: &Response) -> String {
    let lines: Vec<&str> = reply.message().collect();
    format!("{} {}", reply.code(), lines.join(" "))
}

/// What the server said, or what kept it from saying anything.
fn said(error: &Error) -> String {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => format!("{code} {source}"),
        None if source.is_empty() => error.to_string(),
        None => source,
    }
}
