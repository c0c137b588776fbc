//! The settings as meant: every value is one that can be used.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::base::grammar::Rate;
use crate::base::secret::{Hashed, Secret};
use crate::model::email::EmailAddress;
use crate::model::ip_pattern::AddressSet;
use crate::model::name::ApplicationName;

use super::address::{ListenAddress, PublicUrl};

/// All settings of `config/portcullis.toml`, with the environment applied and defaults filled in. Paths are absolute or count from the working folder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where people sign in; `iss`, links in mails.
    pub public_url: PublicUrl,
    /// Threads that serve requests; none: as many as there are processors.
    pub threads: Option<NonZeroUsize>,
    /// What listens where.
    pub listen: Listen,
    /// Certificates of the gateway.
    pub tls: Option<Tls>,
    /// Hops whose `X-Forwarded-For` is believed.
    pub trusted_proxies: AddressSet,
    /// Front proxies that may ask for decisions.
    pub peers: Vec<Peer>,
    /// Where the rules are.
    pub policy: PolicyFolder,
    /// Where records are kept.
    pub store: StoreSettings,
    /// Backups on a timer; none: none are made.
    pub backup: Option<BackupTimer>,
    /// Keys that seal secrets at rest.
    pub keys: Keys,
    /// How mail leaves; none: links and tokens are shown to be handed over.
    pub mail: Option<Mail>,
    /// Bounds of connections and requests.
    pub limits: Limits,
    /// Upper bounds of sessions.
    pub session: SessionBounds,
    /// The signed assertion.
    pub assertion: Assertion,
    /// The decision log.
    pub decision_log: DecisionLog,
    /// Where traces go; none: nowhere.
    pub traces: Option<Traces>,
    /// What every page draws.
    pub site: Site,
    /// Whether a denied person is told the title of what is missing.
    pub explain_to_users: bool,
    /// Whether a denied person is told the IP pattern's title.
    pub show_pattern_name: bool,
}

/// What listens where; an empty list does not listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The gateway in clear.
    pub http: Vec<ListenAddress>,
    /// The gateway with TLS.
    pub https: Vec<ListenAddress>,
    /// Decisions over HTTP.
    pub authz: Vec<ListenAddress>,
    /// Decisions over gRPC.
    pub grpc: Vec<ListenAddress>,
    /// Decisions over `FastCGI`.
    pub fastcgi: Vec<ListenAddress>,
    /// Health and metrics.
    pub management: Vec<ListenAddress>,
    /// Whether `http` may listen beyond loopback.
    pub allow_plain: bool,
    /// Who says in a header of the PROXY protocol whose connection it passes on, and has to.
    pub proxy_protocol: AddressSet,
}

/// Certificates of the gateway; the host names stand in the certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Pairs of certificate chain and key file, PEM.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// Authorities that clients' certificates must come from.
    pub client_ca_file: Option<PathBuf>,
    /// An authority that gives certificates by itself.
    pub acme: Option<Acme>,
}

/// How an authority sees that a host is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By a request in clear on port 80 (RFC 8555 section 8.3).
    Http01,
}

/// An authority that gives certificates by itself, by ACME (RFC 8555). Its terms have been agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Where its directory is, an https URL.
    pub directory: String,
    /// Mail addresses it may write to.
    pub contact: Vec<String>,
    /// How it sees that a host is ours.
    pub challenge: Challenge,
    /// Hosts to have certificates for; none: the portal's and those of all applications.
    pub names: Option<Vec<String>>,
    /// Authorities the directory's own certificate must come from; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Folder of the account's key and of the certificates.
    pub dir: PathBuf,
}

/// How a front proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// nginx `auth_request` and its like.
    AuthRequest,
    /// Traefik, Caddy: `forward-auth`.
    ForwardAuth,
    /// Envoy's HTTP `ext_authz`.
    ExtAuthz,
    /// Envoy's gRPC `ext_authz`.
    Grpc,
    /// A `FastCGI` authorizer.
    FastCgi,
}

/// A front proxy that may ask for decisions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name, also in `X-Portcullis-Peer`.
    pub name: String,
    /// Where it comes from.
    pub from: AddressSet,
    /// Digest of its secret.
    pub secret: Option<Hashed>,
    /// Authorities its certificate must come from.
    pub client_ca_file: Option<PathBuf>,
    /// Applications it may ask about; empty: all.
    pub apps: Vec<ApplicationName>,
    /// How it asks.
    pub dialect: Dialect,
}

/// Where the rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFolder {
    /// The folder.
    pub dir: PathBuf,
    /// Whether changes are picked up by themselves.
    pub watch: bool,
    /// A second tree by which live traffic is decided too, to log differences.
    pub shadow: Option<PathBuf>,
    /// Whether a tree without a test is refused.
    pub require_tests: bool,
}

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The embedded store.
    Redb,
    /// A database that speaks the `PostgreSQL` protocol.
    Postgres,
}

/// Where records are kept.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// File of the embedded store.
    pub path: PathBuf,
    /// Address of the database, with its password.
    pub url: Option<Secret<String>>,
    /// How long sessions already known go on when the store is away.
    pub on_loss: Duration,
}

/// Backups that the server makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTimer {
    /// The folder they are written to; made where it is not there.
    pub dir: PathBuf,
    /// How old the newest may become.
    pub every: Duration,
    /// How many stay; at least 1.
    pub keep: usize,
}

/// Keys that seal secrets at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The master key; made at the first start.
    pub master_file: PathBuf,
    /// Keys that were used before, still able to open.
    pub previous_files: Vec<PathBuf>,
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct Mail {
    /// As it is written, without a password.
    pub url: url::Url,
    /// The same, as it is meant.
    pub route: MailRoute,
    /// The sender.
    pub from: Sender,
    /// The password for the user in `url`, as it was when the settings were read.
    pub password: Option<Secret<String>>,
    /// The file it came from, to be read again: passwords are changed without a reload.
    pub password_file: Option<PathBuf>,
    /// How long one letter may take, connecting included.
    pub timeout: Duration,
}

/// Which way mail leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailRoute {
    /// To a mail server.
    Smtp(SmtpServer),
    /// By a program that takes what sendmail takes.
    Sendmail(PathBuf),
    /// Into a folder, one file for each letter.
    Folder(PathBuf),
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// Its host, an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS from the start (`smtps`), rather than STARTTLS.
    pub implicit_tls: bool,
    /// Who we are to it.
    pub user: Option<String>,
    /// Authorities its certificate must come from; none: the system's.
    pub ca_file: Option<PathBuf>,
}

/// Whom letters come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// A name to show.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

/// Bounds of connections and requests (SECURITY: "Limits as shipped").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the request head.
    pub head_time: Duration,
    /// Silence within a body.
    pub body_stall: Duration,
    /// The least a client may send of a body while it is waited for, in bytes a second; 0 is no bound.
    pub body_rate: usize,
    /// Silence between requests.
    pub idle: Duration,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Fields of a request head.
    pub head_fields: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
    /// Streams of one HTTP/2 connection.
    pub h2_streams: u32,
    /// Bytes of an HTTP/2 header list, each field counted with 32 more (RFC 9113 section 6.5.2).
    pub h2_header_list_bytes: u32,
    /// Bytes of request bodies that may be under way on one stream.
    pub h2_stream_window: u32,
    /// The same on one HTTP/2 connection.
    pub h2_connection_window: u32,
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and unknown frames of one HTTP/2 connection, beyond what its requests and their
    /// answers call for.
    pub h2_control_frames: Rate,
    /// Streams that one HTTP/2 connection resets or makes us reset, beyond one for each answer it took to the end.
    pub h2_resets: Rate,
    /// Forms sent from one address prefix.
    pub forms: Rate,
    /// SAML answers sent from one address prefix.
    pub saml: Rate,
}

/// Upper bounds of sessions; policy may be stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionBounds {
    /// From sign-in to the end, however busy.
    pub absolute: Duration,
    /// From the last request to the end.
    pub idle: Duration,
}

/// How assertions are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// The signed assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// How it is signed.
    pub algorithm: SigningAlgorithm,
    /// How long one is good.
    pub ttl: Duration,
    /// How long a key signs.
    pub rotate: Duration,
    /// How long before it signs a key is published.
    pub publish_ahead: Duration,
}

/// Traces of requests for OpenTelemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where a collector takes them by OTLP over HTTP, an http or https URL.
    pub otlp: Uri,
    /// Share of the traces begun here that is kept, 0 to 1.
    pub sampling: f64,
    /// What we are called in them.
    pub service_name: String,
    /// Authorities the collector's certificate must come from; none: the system's.
    pub ca_file: Option<PathBuf>,
}

/// How paths are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedPath {
    /// As they came, without the query.
    Full,
    /// Only the rule that decided.
    Rule,
    /// As a digest.
    Hash,
}

/// The decision log.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionLog {
    /// Where it is written; none: standard error.
    pub file: Option<PathBuf>,
    /// How paths are logged.
    pub path: LoggedPath,
    /// How long lines are kept.
    pub keep: Duration,
    /// Share of the allowed requests that is logged; denials always are.
    pub sample_allow: f64,
}

/// A file that pages use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub content: Arc<[u8]>,
}

/// What every page draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Name of the house.
    pub name: String,
    /// A logo.
    pub logo: Option<SiteFile>,
    /// A stylesheet that sets tokens.
    pub style: Option<SiteFile>,
    /// Where help is.
    pub help_url: Option<url::Url>,
    /// Where the privacy notice is.
    pub privacy_url: Option<url::Url>,
}
