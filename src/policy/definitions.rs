//! What the policy files mean, in names: everything they define besides the applications.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::encoding::hex;
use crate::base::time::Timestamp;
use crate::model::ip_pattern::AddressSet;
use crate::model::name::{ApplicationName, IpPatternName, LimitName, ProviderName, RoleName, ServiceName, TeamName};
use crate::model::role::{Permission, Power, words};
use std::fmt;

use super::application::{AcceptedSignIn, Application, Guard};
use super::condition::Condition;
use super::place::Place;

pub use super::window::Window;

/// Names one state of the policy files: SHA-256 over path and bytes of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(pub [u8; 32]);

impl Generation {
    /// The first eight hexadecimal digits, as logs and headers show it.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = hex(&self.0);
        text.truncate(8);
        text
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

words!(
    /// Where a role is held.
    Scope {
        /// In the whole instance.
        Global = "global",
        /// Within one team.
        Team = "team",
        /// By services only.
        Service = "service",
    }
);

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<RoleName>,
    /// What people call it.
    pub title: String,
    /// Roles that come with it.
    pub includes: Vec<RoleName>,
    /// Permissions it carries.
    pub permissions: Vec<Permission>,
    /// Where it is held.
    pub scope: Scope,
    /// What it may do in the console.
    pub admin: BTreeSet<Power>,
    /// Who may hand it out in the console; empty: only policies.
    pub grantable_by: Vec<RoleName>,
    /// It counts only while this holds. Where that names roles, it means those that count themselves.
    pub require: Option<Condition>,
}

impl Role {
    /// A role that carries nothing.
    #[must_use]
    pub fn plain(name: RoleName) -> Self {
        Self {
            title: name.as_str().to_owned(),
            name,
            at: Place::default(),
            formerly: Vec::new(),
            includes: Vec::new(),
            permissions: Vec::new(),
            scope: Scope::Global,
            admin: BTreeSet::new(),
            grantable_by: Vec::new(),
            require: None,
        }
    }

    /// The built-in `admin`: every power.
    #[must_use]
    pub fn admin() -> Self {
        Self {
            title: "Administrator".to_owned(),
            admin: Power::ALL.iter().copied().collect(),
            grantable_by: vec![RoleName::admin()],
            ..Self::plain(RoleName::admin())
        }
    }

    /// The built-in `user`: held by every active person.
    #[must_use]
    pub fn user() -> Self {
        Self {
            title: "User".to_owned(),
            ..Self::plain(RoleName::user())
        }
    }
}

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: TeamName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<TeamName>,
    /// What people call it.
    pub title: String,
    /// Applications its administrators can assign.
    pub apps: Vec<ApplicationName>,
    /// Roles they can give.
    pub roles: Vec<RoleName>,
    /// Providers and directories of its members.
    pub idps: Vec<ProviderName>,
    /// Mail domains of its members, lower case.
    pub email_domains: Vec<String>,
    /// What the team gives counts only from inside one of them; empty is no bound.
    pub ip_pattern: Vec<IpPatternName>,
    /// Seats; `None` is any number.
    pub max_users: Option<u32>,
    /// Whether the console offers "Copy from…".
    pub copy_from: bool,
}

impl Team {
    /// A team that gives nothing.
    #[must_use]
    pub fn plain(name: TeamName) -> Self {
        Self {
            title: name.as_str().to_owned(),
            name,
            at: Place::default(),
            formerly: Vec::new(),
            apps: Vec::new(),
            roles: Vec::new(),
            idps: Vec::new(),
            email_domains: Vec::new(),
            ip_pattern: Vec::new(),
            max_users: None,
            copy_from: true,
        }
    }
}

/// A named set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPattern {
    /// Its name.
    pub name: IpPatternName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<IpPatternName>,
    /// What people call it.
    pub title: String,
    /// What was included, as written.
    pub include: Vec<String>,
    /// What was excluded, as written.
    pub exclude: Vec<String>,
    /// Included minus excluded, references followed.
    pub addresses: AddressSet,
    /// Whether "everybody" is meant.
    pub allow_all: bool,
}

impl IpPattern {
    /// A pattern of these addresses.
    #[must_use]
    pub fn plain(name: IpPatternName, addresses: AddressSet) -> Self {
        Self {
            title: name.as_str().to_owned(),
            name,
            at: Place::default(),
            formerly: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            addresses,
            allow_all: false,
        }
    }
}

words!(
    /// What a rate limit counts by.
    LimitKey {
        /// The person; the address where there is none.
        User = "user",
        /// The client's address.
        Ip = "ip",
        /// The session; the address where there is none.
        Session = "session",
        /// The service; the address where there is none.
        Service = "service",
        /// The team that gives the application; the address where there is none.
        Team = "team",
    }
);

/// A rate limit: a token bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: LimitName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<LimitName>,
    /// So many requests; at least 1.
    pub count: u32,
    /// In so long.
    pub per: Duration,
    /// So many at once; at least 1.
    pub burst: u32,
    /// Counted by.
    pub key: LimitKey,
}

words!(
    /// How a service shows who it is.
    CredentialKind {
        /// A bearer token made in the console.
        Token = "token",
        /// A client certificate.
        Mtls = "mtls",
    }
);

/// A caller that is no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<ServiceName>,
    /// What people call it.
    pub title: String,
    /// Whom to ask about it.
    pub owner: String,
    /// Roles it holds.
    pub roles: Vec<RoleName>,
    /// Permissions it holds.
    pub permissions: Vec<Permission>,
    /// Applications it was given.
    pub apps: Vec<ApplicationName>,
    /// From where it may come. Empty is nowhere.
    pub ip_pattern: Vec<IpPatternName>,
    /// How it shows who it is.
    pub credentials: CredentialKind,
    /// A credential is good for so long after it was made.
    pub max_ttl: Duration,
    /// From then on it is dead.
    pub expires: Option<Timestamp>,
}

impl Service {
    /// A service that holds nothing and may come from nowhere.
    #[must_use]
    pub fn plain(name: ServiceName) -> Self {
        Self {
            title: name.as_str().to_owned(),
            name,
            at: Place::default(),
            formerly: Vec::new(),
            owner: String::new(),
            roles: Vec::new(),
            permissions: Vec::new(),
            apps: Vec::new(),
            ip_pattern: Vec::new(),
            credentials: CredentialKind::Token,
            max_ttl: Duration::from_secs(90 * 24 * 60 * 60),
            expires: None,
        }
    }
}

words!(
    /// What kind of source of identity.
    ProviderKind {
        /// A SAML identity provider, from `[idp.NAME]`.
        Saml = "saml",
        /// An LDAP directory, from `[directory.NAME]`.
        Ldap = "ldap",
    }
);

words!(
    /// Whether unknown people are made known at sign-in.
    Jit {
        /// Never.
        Off = "off",
        /// If an invitation is open for them.
        Invited = "invited",
        /// If their mail domain is listed.
        Domain = "domain",
    }
);

/// A source of identity, as far as deciding and the sign-in page need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name; providers and directories share one set of names.
    pub name: ProviderName,
    /// Where it is written.
    pub at: Place,
    /// What it was called before.
    pub formerly: Vec<ProviderName>,
    /// What kind.
    pub kind: ProviderKind,
    /// What the button or the choice says.
    pub title: String,
    /// Lower comes first.
    pub rank: i64,
    /// Members that join here are of this team.
    pub team: Option<TeamName>,
    /// Only addresses of these domains are believed; `*` is all.
    pub email_domains: Vec<String>,
    /// Whether unknown people are made known.
    pub jit: Jit,
}

/// Gives while its condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where it is written.
    pub at: Place,
    /// While this holds. It reads no roles and no permissions (E129).
    pub when: Condition,
    /// Roles given; team roles within `teams`, else within the teams `when` names, else within each team that counts.
    pub roles: Vec<RoleName>,
    /// Teams given.
    pub teams: Vec<TeamName>,
    /// Permissions given.
    pub permissions: Vec<Permission>,
    /// Applications given.
    pub apps: Vec<ApplicationName>,
}

words!(
    /// Whether people can register with a token.
    Registration {
        /// Whoever an administrator or an invitation gave a token.
        Invited = "invited",
        /// Nobody.
        Closed = "closed",
    }
);

words!(
    /// What tokens look like.
    TokenStyle {
        /// Eight symbols with a check symbol.
        Code = "code",
        /// A few digits.
        Digits = "digits",
    }
);

/// The house rules of signing in: `[signin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRules {
    /// Where it is written.
    pub at: Place,
    /// Accepted ways in; an application may be stricter.
    pub accepted: AcceptedSignIn,
    /// Token-based registration.
    pub registration: Registration,
    /// How long invitations and registration tokens are good.
    pub invitation_ttl: Duration,
    /// How long e-mailed and reset tokens are good.
    pub token_ttl: Duration,
    /// So many wrong guesses lock a token.
    pub token_attempts: u32,
    /// So many wrong passwords for one name from one network.
    pub attempts: u32,
    /// Lock that name from that network for so long.
    pub lock_for: Duration,
    /// How long after a sign-in sensitive acts are done without proving again who one is.
    pub fresh_for: Duration,
    /// What tokens look like.
    pub token_style: TokenStyle,
    /// Digits of a short token, 4 to 9.
    pub token_digits: u8,
    /// Fewest characters of a local password.
    pub password_min: usize,
}

impl Default for SignInRules {
    fn default() -> Self {
        Self {
            at: Place::default(),
            accepted: AcceptedSignIn::default(),
            registration: Registration::Invited,
            invitation_ttl: Duration::from_secs(48 * 60 * 60),
            token_ttl: Duration::from_secs(60 * 60),
            token_attempts: 5,
            attempts: 10,
            lock_for: Duration::from_secs(15 * 60),
            fresh_for: Duration::from_secs(10 * 60),
            token_style: TokenStyle::Code,
            token_digits: 6,
            password_min: 12,
        }
    }
}

/// Everything the policy files define, in names. Order carries no meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Which state of the files this is.
    pub generation: Generation,
    /// Applications.
    pub applications: Vec<Application>,
    /// Roles; `admin` and `user` are added where they are not written.
    pub roles: Vec<Role>,
    /// Teams; `main` is added where it is not written.
    pub teams: Vec<Team>,
    /// Sets of addresses.
    pub ip_patterns: Vec<IpPattern>,
    /// Stretches of time.
    pub windows: Vec<Window>,
    /// Rate limits.
    pub limits: Vec<Limit>,
    /// Callers that are no people.
    pub services: Vec<Service>,
    /// Identity providers and directories.
    pub providers: Vec<Provider>,
    /// What is given by policy.
    pub grants: Vec<Grant>,
    /// What is forbidden whatever rules say.
    pub guards: Vec<Guard>,
    /// House rules of signing in.
    pub signin: SignInRules,
}

impl Definitions {
    /// Adds what exists without being written: the roles `admin` and `user`, and the team `main` with every application, team role and provider.
    #[must_use]
    pub fn with_built_ins(mut self) -> Self {
        if !self.roles.iter().any(|role| role.name == RoleName::user()) {
            self.roles.push(Role::user());
        }
        // Policy cannot change `admin`.
        self.roles.retain(|role| role.name != RoleName::admin());
        self.roles.push(Role::admin());
        if !self.teams.iter().any(|team| team.name == TeamName::main()) {
            self.teams.push(Team {
                title: "Main".to_owned(),
                apps: self.applications.iter().map(|app| app.name.clone()).collect(),
                roles: self
                    .roles
                    .iter()
                    .filter(|role| role.scope == Scope::Team)
                    .map(|role| role.name.clone())
                    .collect(),
                idps: self.providers.iter().map(|provider| provider.name.clone()).collect(),
                ..Team::plain(TeamName::main())
            });
        }
        self
    }
}
