//! Applications, their rules, and the guards above them, as the files mean them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::model::name::{ApplicationName, IpPatternName, LimitName, PermissionName, ProviderName, RoleName, TeamName};
use crate::model::role::{Permission, SignInMethod, words};

use super::condition::Condition;
use super::headers::{Encoding, Preset, Template};
use super::pattern::PathPattern;
use super::place::Place;

pub use super::upstream::{Balance, BodyLimit, Health, NamedFile, Target, Timeouts, TlsVersion, UpstreamServer, UpstreamTls};

words!(
    /// Whether we forward, or only answer a front proxy.
    Mode {
        /// Requests are forwarded.
        Proxy = "proxy",
        /// Only questions of front proxies are answered.
        Authorize = "authorize",
    }
);

words!(
    /// What a rule says of its paths. The stricter wins.
    Effect {
        /// Nobody.
        Deny = "deny",
        /// The application's requirement, and the rule's.
        App = "app",
        /// Everybody, without a session.
        Public = "public",
    }
);

words!(
    /// What becomes of paths that no rule names.
    Unlisted {
        /// The application's requirement holds.
        App = "app",
        /// Nobody gets there.
        Deny = "deny",
    }
);

words!(
    /// Whether a second factor is asked for.
    MfaRule {
        /// Never.
        Never = "never",
        /// Where the person has set one up.
        Optional = "optional",
        /// Always; who lacks it is asked for it.
        Required = "required",
    }
);

/// A public host: exact, or any one label in front of a domain. Lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `lab.example.org`
    Exact(Arc<str>),
    /// `*.example.org`, kept as `example.org`
    Under(Arc<str>),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Under(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Ways in that an application accepts; house rules already merged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedSignIn {
    /// Accepted methods.
    pub methods: BTreeSet<SignInMethod>,
    /// Accepted identity providers for `saml`; empty is every one.
    pub idps: Vec<ProviderName>,
    /// Whether a second factor is needed.
    pub mfa: MfaRule,
    /// A sign-in that is this old must be repeated for this application.
    pub max_age: Duration,
    /// Where a session was unused for so long, the sign-in must be repeated for this application.
    pub idle: Duration,
}

impl Default for AcceptedSignIn {
    fn default() -> Self {
        Self {
            methods: BTreeSet::from([SignInMethod::Password]),
            idps: Vec::new(),
            mfa: MfaRule::Optional,
            max_age: Duration::from_secs(12 * 60 * 60),
            idle: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// A permission that an application knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionDefinition {
    /// Its name.
    pub name: PermissionName,
    /// Where it is written.
    pub at: Place,
    /// What the checkbox says.
    pub title: String,
    /// What it is for.
    pub help: String,
    /// Permissions of the same application that come with it.
    pub implies: Vec<PermissionName>,
    /// What it was called before.
    pub formerly: Vec<PermissionName>,
}

/// Who gets a value of `headers.choose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Whoever holds the role.
    Role(RoleName),
    /// Whoever holds the permission.
    Permission(Permission),
    /// Members of the team.
    Team(TeamName),
}

/// One entry of `headers.choose`: the first that is held gives the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where it is written.
    pub at: Place,
    /// The header's name.
    pub header: HeaderName,
    /// Who gets what, first come first served.
    pub from: Vec<(Holder, String)>,
    /// What everybody else gets; empty if nothing is said.
    pub otherwise: String,
}

/// A header, or a family of them, that is removed from the client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strip {
    /// Exactly this name, in any spelling.
    Name(String),
    /// Every name that begins like this.
    Prefix(String),
}

/// What an application is told of whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// Names an application expects.
    pub preset: Preset,
    /// Further headers, by template.
    pub set: Vec<(HeaderName, Template)>,
    /// Headers whose value depends on what is held.
    pub choose: Vec<Choice>,
    /// Between entries of a list; the preset's where `None`.
    pub separator: Option<String>,
    /// What becomes of characters beyond ASCII.
    pub encoding: Encoding,
    /// The most bytes all identity headers may have together, names included.
    pub max_bytes: usize,
    /// Whether `X-Portcullis-*` is sent.
    pub identity: bool,
    /// Whether the signed assertion is sent.
    pub assertion: bool,
    /// What else is removed from the client's request.
    pub strip: Vec<Strip>,
}

impl Default for HeaderRules {
    fn default() -> Self {
        Self {
            preset: Preset::None,
            set: Vec::new(),
            choose: Vec::new(),
            separator: None,
            encoding: Encoding::Percent,
            max_bytes: 3 * 1024,
            identity: true,
            assertion: true,
            strip: Vec::new(),
        }
    }
}

/// A path pattern with the place where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPattern {
    /// The pattern.
    pub pattern: PathPattern,
    /// Where it is written.
    pub at: Place,
}

/// What some paths of an application need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Shown in explanations and logs; the first path where none is written.
    pub name: Arc<str>,
    /// Where it is written.
    pub at: Place,
    /// The paths, on the public host, the application's own `path` included. At least one.
    pub paths: Vec<PlacedPattern>,
    /// Methods it is about; empty is every one. GET covers HEAD.
    pub methods: Vec<Method>,
    /// What it says.
    pub access: Effect,
    /// What is needed in addition to the application's requirement.
    pub require: Option<Condition>,
    /// Public only: send identity headers where there is a session.
    pub identify: bool,
    /// A second factor for these paths; the application's word where `None`.
    pub mfa: Option<MfaRule>,
    /// A younger sign-in for these paths; the application's where `None`.
    pub max_age: Option<Duration>,
    /// Rate limits instead of the application's.
    pub limits: Option<Vec<LimitName>>,
    /// Time limits instead of the application's, already merged with them.
    pub timeouts: Option<Timeouts>,
    /// Body limit instead of the application's.
    pub max_body: Option<BodyLimit>,
    /// Upgrades instead of what the application says.
    pub websocket: Option<bool>,
}

impl Rule {
    /// A rule for one path that says `access` and nothing else.
    #[must_use]
    pub fn plain(pattern: PathPattern, access: Effect) -> Self {
        Self {
            name: pattern.to_string().into(),
            at: Place::default(),
            paths: vec![PlacedPattern {
                pattern,
                at: Place::default(),
            }],
            methods: Vec::new(),
            access,
            require: None,
            identify: false,
            mfa: None,
            max_age: None,
            limits: None,
            timeouts: None,
            max_body: None,
            websocket: None,
        }
    }

    /// Whether it names this method. GET covers HEAD.
    #[must_use]
    pub fn names_method(&self, method: &Method) -> bool {
        names_method(&self.methods, method)
    }
}

/// Whether a list names this method. GET covers HEAD.
#[must_use]
pub fn names_method(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || *method == Method::HEAD && methods.contains(&Method::GET)
}

/// Something behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: ApplicationName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<ApplicationName>,
    /// What people call it.
    pub title: String,
    /// What stands for it on the launcher.
    pub icon: Option<String>,
    /// Its public hosts. At least one.
    pub hosts: Vec<HostPattern>,
    /// The path below which it lies on them: `/`, or `/a/b` without a slash at the end.
    pub path: String,
    /// Whether we forward.
    pub mode: Mode,
    /// Where requests go; empty in `authorize` mode.
    pub upstreams: Vec<UpstreamServer>,
    /// Choosing among them.
    pub balance: Balance,
    /// Remove `path` before forwarding.
    pub strip_prefix: bool,
    /// Send the public host upstream.
    pub preserve_host: bool,
    /// Allow upgrades.
    pub websocket: bool,
    /// How often streams and sockets are decided again.
    pub recheck: Duration,
    /// Limit of a request's body.
    pub max_body: BodyLimit,
    /// Match paths without case.
    pub case_insensitive: bool,
    /// Who may enter at all.
    pub require: Condition,
    /// Paths no rule names.
    pub unlisted: Unlisted,
    /// The client must be inside one of them; empty is no bound. Public paths too.
    pub ip_pattern: Vec<IpPatternName>,
    /// A denied person gets 404.
    pub hide: bool,
    /// Let preflights of browsers through.
    pub cors_preflight: bool,
    /// Rate limits.
    pub limits: Vec<LimitName>,
    /// The `aud` of the assertion.
    pub audience: String,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Checks of the upstreams.
    pub health: Health,
    /// TLS to the upstreams.
    pub tls: UpstreamTls,
    /// Accepted ways in.
    pub signin: AcceptedSignIn,
    /// The permissions it knows.
    pub permissions: Vec<PermissionDefinition>,
    /// What it is told.
    pub headers: HeaderRules,
    /// What its paths need.
    pub rules: Vec<Rule>,
    /// Plain keys that were written, with their places, for findings about one key (`host`, `ip_pattern`, …).
    pub keys: BTreeMap<&'static str, Place>,
}

impl Application {
    /// An application with everything at its default.
    #[must_use]
    pub fn plain(name: ApplicationName, host: &str, require: Condition) -> Self {
        Self {
            at: Place::default(),
            formerly: Vec::new(),
            title: name.as_str().to_owned(),
            icon: None,
            hosts: vec![HostPattern::Exact(host.into())],
            path: "/".to_owned(),
            mode: Mode::Proxy,
            upstreams: Vec::new(),
            balance: Balance::LeastBusy,
            strip_prefix: false,
            preserve_host: true,
            websocket: false,
            recheck: Duration::from_secs(60),
            max_body: BodyLimit::Unlimited,
            case_insensitive: false,
            require,
            unlisted: Unlisted::App,
            ip_pattern: Vec::new(),
            hide: false,
            cors_preflight: false,
            limits: Vec::new(),
            audience: format!("https://{host}/"),
            timeouts: Timeouts::default(),
            health: Health::default(),
            tls: UpstreamTls::default(),
            signin: AcceptedSignIn::default(),
            permissions: Vec::new(),
            headers: HeaderRules::default(),
            rules: Vec::new(),
            keys: BTreeMap::new(),
            name,
        }
    }
}

/// A prohibition that no rule can undo: matching requests are denied unless `unless` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub at: Place,
    /// Applications it is about; empty is all.
    pub apps: Vec<ApplicationName>,
    /// Paths it is about; empty is all.
    pub paths: Vec<PlacedPattern>,
    /// Methods it is about; empty is all. GET covers HEAD.
    pub methods: Vec<Method>,
    /// It applies while this holds; `None`: always.
    pub when: Option<Condition>,
    /// Except while this holds; `None`: never.
    pub unless: Option<Condition>,
}
