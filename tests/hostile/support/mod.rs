//! How a case is written and run.
//!
//! A [`Case`] belongs to a row of the table, has a name, says over which [`Protocol`]s it runs and on which [`Setup`] of the server, and does
//! something to a [`World`]: a server process of its own folder (`World::server`), an application behind it that keeps every byte it is sent
//! (`World::behind`), and ways to ask (`World::ask`, `World::line`). It gives back `Ok(())`, or what was wrong in words.
//!
//! Before each run of a case the recorder is emptied; `World::arrived` waits until nothing more comes and gives the bytes of every connection
//! from the gateway since. [`readers::agree`] is the oracle for them: several differently lenient readers must see one and the same row of
//! requests.
//!
//! The usual kinds need no code of their own:
//! - [`Case::refused`]: raw bytes that must be answered with one of some statuses, once, and closed, with nothing upstream;
//! - [`Case::passed`]: raw bytes of which so many requests reach the application, all readers agreeing;
//! - [`Case::either`]: raw bytes that may be refused or passed on, so long as what arrives has one reading and never the smuggled request;
//! - [`Case::asks`]: a well-formed request ([`Asking`]) over every protocol, and a look at the answer and at what arrived;
//! - [`Case::story`]: anything else.
//!
//! All cases of a row run in one test, one after the other, on one server for each set-up they name: `rows.rs` has the list. A new file adds
//! its `cases()` there.
//!
//! For HTTP/2 [`h2::ask`] sends an [`Asking`] with a client that keeps to the rules; frames built by hand are `h2_*.rs`.

pub(crate) mod case;
pub(crate) mod h2;
pub(crate) mod person;
pub(crate) mod readers;
pub(crate) mod recorder;
pub(crate) mod reply;
pub(crate) mod server;
pub(crate) mod wire;

pub(crate) use case::{Case, Verdict};
pub(crate) use reply::Reply;
pub(crate) use wire::{Asking, Line, Protocol};

/// Fails a case with words where something does not hold.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;

/// Bytes as a person can read them, not too many.
pub(crate) fn show(bytes: &[u8]) -> String {
    let head = bytes.get(..600).unwrap_or(bytes);
    format!("{:?}", String::from_utf8_lossy(head))
}
