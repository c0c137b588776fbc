//! A letter as mail servers want it: headers, and its two texts. The one place where headers are written, by a builder that lets no line
//! break through.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::base::time::Timestamp;
use crate::config::Sender;
use crate::model::email::EmailAddress;
use crate::model::id::MessageId;
use crate::model::message::LetterText;

/// A letter that leaves.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its identifier.
    pub id: MessageId,
    /// To whom.
    pub to: EmailAddress,
    /// When it was written.
    pub made: Timestamp,
    /// What it says.
    pub letter: LetterText,
}

/// A letter as it goes over the wire.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) id: MessageId,
    pub(super) from: Address,
    pub(super) to: Address,
    /// Headers and body, lines ended by CRLF.
    pub(super) bytes: Vec<u8>,
}

/// A letter that no header can be made for. There is no such: addresses are of one strict grammar.
#[derive(Debug, thiserror::Error)]
#[error("the letter cannot be put into an envelope: {0}")]
pub(super) struct NoEnvelope(String);

impl Envelope {
    pub(super) fn of(outgoing: &Outgoing, from: &Sender) -> Result<Self, NoEnvelope> {
        let address = |text: &str| text.parse::<Address>().map_err(|error| NoEnvelope(error.to_string()));
        let (sender, to) = (address(from.address.as_str())?, address(outgoing.to.as_str())?);
        let id = outgoing.id;
        let made = u64::try_from(outgoing.made.as_secs()).unwrap_or(0);
        let parts = MultiPart::alternative()
            .boundary(format!("={id}="))
            .singlepart(SinglePart::plain(outgoing.letter.text.clone()))
            .singlepart(SinglePart::html(outgoing.letter.html.clone()));
        let message = lettre::Message::builder()
            .from(Mailbox::new(from.name.clone(), sender.clone()))
            .to(Mailbox::new(None, to.clone()))
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(made))
            .message_id(Some(format!("<{id}@{}>", from.address.domain())))
            .subject(outgoing.letter.subject.clone())
            // So that no absence notice comes back (RFC 3834 section 5).
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .multipart(parts)
            .map_err(|error| NoEnvelope(error.to_string()))?;
        Ok(Self {
            id,
            from: sender,
            to,
            bytes: message.formatted(),
        })
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(subject: &str, text: &str) -> String {
        let outgoing = Outgoing {
            id: MessageId::from_number(7),
            to: "ada@lab.example".parse().unwrap(),
            made: Timestamp::from_secs(1_773_325_740),
            letter: LetterText {
                subject: subject.to_owned(),
                text: text.to_owned(),
                html: format!("<p>{text}</p>"),
            },
        };
        let from = Sender {
            name: Some("Gate, \"the\" Lab".to_owned()),
            address: "gate@lab.example".parse().unwrap(),
        };
        String::from_utf8(Envelope::of(&outgoing, &from).unwrap().bytes).unwrap()
    }

    #[test]
    fn a_letter_has_the_headers_it_needs_and_two_texts() {
        let text = written("Your token", "one\ntwo");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: =?utf-8?b?R2F0ZSwgInRoZSIgTGFi?= <gate@lab.example>",
            "To: ada@lab.example",
            "Subject: Your token",
            "Message-ID: <m-00000000000000000000000007@lab.example>",
            "Date: Thu, 12 Mar 2026 14:29:00 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(head.lines().any(|other| other == line), "{line} is not in {head}");
        }
        assert!(body.contains("one\r\ntwo") && body.contains("<p>one\r\ntwo</p>"), "{body}");
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "every line ends in CRLF");
    }

    #[test]
    fn no_subject_makes_a_header_of_its_own() {
        for subject in [
            "Hello\r\nBcc: all@lab.example",
            "Hello\nBcc: all@lab.example",
            "Ünï\r\nBcc: a@b.example",
            "\u{202e}x",
        ] {
            let text = written(subject, "x");
            let head = text.split_once("\r\n\r\n").unwrap().0;
            assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
            assert!(head.is_ascii(), "{head}");
        }
    }
}
