//! The policy in force: its files, tests and findings, what it lets in, and when it was loaded.

use askama::Template;

use crate::accounts::AuditSearch;
use crate::base::diagnostic::Level;
use crate::model::event::Action;
use crate::model::role::Power;
use crate::policy::application::{Application, Rule};

use super::super::cx::{Cx, Outcome};
use super::super::relative::Moment;
use super::super::view::{Frame, Me};

const HERE: &str = "/admin/policy";
/// Loads that are listed.
const LOADS: usize = 20;

/// A test of the policy. It held, or the policy would not be in force.
#[derive(Clone, Debug)]
pub struct TestRow {
    /// Its name.
    pub name: String,
    /// File and line.
    pub at: String,
    /// What it expects.
    pub expected: &'static str,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// The application's title.
    pub application: String,
    /// Its paths.
    pub paths: Vec<String>,
    /// Its methods; empty is any.
    pub methods: String,
    /// What it says, in a word.
    pub access: String,
    /// File and line.
    pub at: String,
}

/// A load of the policy.
#[derive(Clone, Debug)]
pub struct Load {
    /// When.
    pub at: Moment,
    /// Its generation.
    pub generation: String,
    /// Whether it is the one in force.
    pub current: bool,
}

/// The page.
#[derive(Template)]
#[template(path = "console/policy.html")]
pub struct PolicyPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// The generation in force.
    pub generation: String,
    /// Since when it is in force, if that is known.
    pub since: Option<Moment>,
    /// Since when the files say something else that cannot be used.
    pub stale_since: Option<Moment>,
    /// The files.
    pub files: Vec<String>,
    /// Whether changes of the files are taken up by themselves.
    pub watched: bool,
    /// Its tests.
    pub tests: Vec<TestRow>,
    /// What was found besides, one line each.
    pub findings: Vec<String>,
    /// The rules, in the order of the files.
    pub rules: Vec<RuleRow>,
    /// How many rules there are besides.
    pub more_rules: usize,
    /// When policies were loaded, the latest first.
    pub loads: Vec<Load>,
}

/// Rules that the page shows; the files have all of them.
const RULES: usize = 200;

/// GET `/admin/policy`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting_by(Power::Policies)?;
    let (live, now) = (cx.live, cx.facts.now);
    let digest = live.policies.generation().to_string();
    let since = cx.app.accounts.policy_since(&digest).await?;
    let search = AuditSearch {
        action: Some(Action::PolicyLoaded),
        ..AuditSearch::default()
    };
    let found = cx.app.accounts.audit_page(&search, None, LOADS, &by, now).await?;
    let loads = found.lines.iter().map(|line| {
        let event = &line.entry.event;
        let generation = event.details.get("generation").map_or("", String::as_str);
        Load {
            at: Moment::of(event.at, now),
            generation: generation.get(..8).unwrap_or(generation).to_owned(),
            current: false,
        }
    });
    let mut loads: Vec<Load> = loads.collect();
    let generation = live.generation().to_string();
    if let Some(current) = loads.iter_mut().find(|load| load.generation == generation) {
        current.current = true;
    }
    let texts = live.texts_of();
    let told = |level: Level| level != Level::Error;
    let findings = live.findings.iter().filter(|one| told(one.level)).map(|one| one.one_line(&texts));
    let tests = live.tests.iter().map(|test| TestRow {
        name: test.name.clone(),
        at: test.at.line(),
        expected: test.expected.word(),
    });
    let mut files: Vec<String> = live.texts.files.iter().map(|file| file.name.to_string()).collect();
    files.sort();
    let rules = live
        .policies
        .applications()
        .iter()
        .flat_map(|application| application.rules.iter().map(move |rule| rule_row(application, rule)));
    let all: usize = live.policies.applications().iter().map(|application| application.rules.len()).sum();
    Ok(cx.page(&PolicyPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        generation,
        since: since.map(|at| Moment::of(at, now)),
        stale_since: live.stale.as_ref().map(|stale| Moment::of(stale.since, now)),
        files,
        watched: live.settings.policy.watch,
        tests: tests.collect(),
        findings: findings.collect(),
        rules: rules.take(RULES).collect(),
        more_rules: all.saturating_sub(RULES),
        loads,
    }))
}

fn rule_row(application: &Application, rule: &Rule) -> RuleRow {
    RuleRow {
        application: application.title.clone(),
        paths: rule.paths.iter().map(|path| path.pattern.to_string()).collect(),
        methods: rule.methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        access: rule.access.to_string(),
        at: rule.at.line(),
    }
}
