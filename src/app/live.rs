//! All that comes from files: settings and rules, made of texts without looking at anything else.

use std::sync::Arc;

use crate::accounts::{HouseRules, SigningAlgorithm, network_limit};
use crate::audit::decisions::{Destination, LogSettings, PathDetail};
use crate::base::diagnostic::{Diagnostic, Level, Texts};
use crate::base::sources::{PolicyTexts, Sources};
use crate::base::time::Timestamp;
use crate::config;
use crate::config::{LoggedPath, Settings};
use crate::mail::letters::Letterhead;
use crate::model::attempts::AttemptLimit;
use crate::model::role::SignInMethod;
use crate::model::session::SessionLimits;
use crate::model::token::TokenStyle;
use crate::policy;
use crate::policy::definitions::{Registration, TokenStyle as WrittenTokenStyle};
use crate::policy::{Context, PolicySet, TestOutcome};

/// What came from files. Cheap to clone: its parts are shared.
#[derive(Clone, Debug)]
pub struct Live {
    /// The settings as meant.
    pub settings: Arc<Settings>,
    /// The rules.
    pub policies: Arc<PolicySet>,
    /// The policies' texts, to be kept as the last good ones and to quote from.
    pub texts: Arc<PolicyTexts>,
    /// Why these are not the rules that the files would make; nothing if they are.
    pub stale: Option<Stale>,
    /// The policies' own tests, all of which held.
    pub tests: Arc<[TestOutcome]>,
    /// What was found besides: warnings and notes.
    pub findings: Arc<[Diagnostic]>,
}

/// The files could not be used, and what is in force is older.
#[derive(Clone, Debug)]
pub struct Stale {
    /// Since when.
    pub since: Timestamp,
    /// What is wrong with the files, one line each.
    pub problems: Arc<[String]>,
}

impl Live {
    /// Makes settings and rules of the texts.
    ///
    /// # Errors
    /// Every problem found, in settings and policies alike; nothing of the texts is used then.
    pub fn parse(sources: &Sources, now: Timestamp) -> Result<Self, Vec<Diagnostic>> {
        let (settings, mut findings) = match config::load(sources) {
            Ok(loaded) => loaded,
            Err(problems) => return Err(with_those_of_the_policies(problems, sources, now)),
        };
        let checked = policy::check(&sources.policies, &context(&settings, now));
        let Some(policies) = checked.policies else {
            return Err(checked.findings);
        };
        findings.extend(checked.findings);
        Ok(Self {
            settings: Arc::new(settings),
            policies: Arc::new(policies),
            texts: Arc::new(sources.policies.clone()),
            stale: None,
            tests: checked.tests.into(),
            findings: findings.into(),
        })
    }

    /// The texts, for rendering findings and quoting rules.
    #[must_use]
    pub fn texts_of(&self) -> Texts {
        self.texts.texts()
    }

    /// The generation in force, as logs and headers show it.
    #[must_use]
    pub fn generation(&self) -> &Arc<str> {
        self.policies.shown_generation()
    }

    /// What settings and policies say about accounts.
    #[must_use]
    pub fn house_rules(&self) -> HouseRules {
        let signin = self.policies.signin();
        let assertion = self.settings.assertion;
        HouseRules {
            passwords: signin.accepted.methods.contains(&SignInMethod::Password),
            registration: signin.registration == Registration::Invited,
            mail: self.settings.mail.is_some(),
            letterhead: Letterhead {
                site: self.settings.site.name.clone(),
                origin: self.settings.public_url.origin().to_owned(),
                host: self.settings.public_url.host().to_owned(),
                help: self.settings.site.help_url.as_ref().map(ToString::to_string),
            },
            session: SessionLimits {
                idle: self.settings.session.idle.min(signin.accepted.idle),
                absolute: self.settings.session.absolute,
            },
            on_loss: self.settings.store.on_loss,
            password_min: u32::try_from(signin.password_min).unwrap_or(u32::MAX),
            token_style: match signin.token_style {
                WrittenTokenStyle::Code => TokenStyle::Code,
                WrittenTokenStyle::Digits => TokenStyle::Digits(signin.token_digits),
            },
            token_tries: signin.token_attempts,
            registration_ttl: signin.invitation_ttl,
            fresh_for: signin.fresh_for,
            reset_ttl: signin.token_ttl,
            name_limit: AttemptLimit {
                attempts: signin.attempts,
                lock_for: signin.lock_for,
            },
            network_limit: network_limit(signin.attempts),
            signing_algorithm: match assertion.algorithm {
                config::SigningAlgorithm::Es256 => SigningAlgorithm::Es256,
                config::SigningAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
            },
            signing_rotate: assertion.rotate,
            signing_publish_ahead: assertion.publish_ahead,
            signing_ttl: assertion.ttl,
        }
    }

    /// What the settings say about the decision log.
    #[must_use]
    pub fn log_settings(&self) -> LogSettings {
        let log = &self.settings.decision_log;
        LogSettings {
            destination: log.file.clone().map_or(Destination::StandardError, Destination::File),
            path: match log.path {
                LoggedPath::Full => PathDetail::Full,
                LoggedPath::Rule => PathDetail::Rule,
                LoggedPath::Hash => PathDetail::Hash,
            },
            keep: log.keep,
            sample_allow: log.sample_allow,
        }
    }
}

/// Flaws of the settings, and those of the policies that can be told without them, so that one look mends both.
#[must_use]
pub fn with_those_of_the_policies(mut problems: Vec<Diagnostic>, sources: &Sources, now: Timestamp) -> Vec<Diagnostic> {
    let checked = policy::check(&sources.policies, &Context::plain("", now));
    // A test that fails by settings which are not in force says nothing.
    let sure = |finding: &Diagnostic| finding.level == Level::Error && finding.code != policy::TEST_FAILED;
    problems.extend(checked.findings.into_iter().filter(sure));
    problems
}

/// What the settings add to the policies' texts.
#[must_use]
pub fn context(settings: &Settings, now: Timestamp) -> Context {
    let families: Vec<bool> = settings
        .listen
        .http
        .iter()
        .chain(&settings.listen.https)
        .filter_map(config::ListenAddress::is_ipv6)
        .collect();
    Context {
        portal_host: settings.public_url.host().to_owned(),
        session_absolute: settings.session.absolute,
        session_idle: settings.session.idle,
        // An unspecified IPv6 address takes IPv4 too.
        both_families: families.contains(&true),
        require_tests: settings.policy.require_tests,
        now,
    }
}
