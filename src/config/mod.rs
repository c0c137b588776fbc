//! The server's settings: the file as written, the environment over it, and what both mean. Pure.

mod address;
mod environment;
mod grammar;
mod mail;
mod parse;
mod settings;
mod tables;
mod telemetry;
mod tls;

pub use crate::base::sources::{NamedFile, PolicyTexts, SourceText, Sources, Wanted};

pub use address::{ListenAddress, PublicUrl};
pub use parse::{load, policy_dir, wanted};
pub use settings::{
    Acme, Assertion, BackupTimer, Challenge, DecisionLog, Dialect, Keys, Limits, Listen, LoggedPath, Mail, MailRoute, Peer, PolicyFolder,
    Sender, SessionBounds, Settings, SigningAlgorithm, Site, SiteFile, SmtpServer, StoreKind, StoreSettings, Tls, Traces,
};
