//! The policy in force: its files, tests and findings, what it lets in, and when it was loaded.

use askama::Template;

use crate::accounts::AuditSearch;
use crate::app::waiting::{Concerned, NotReckoned, OnDisk, consequences, on_disk};
use crate::base::diagnostic::Level;
use crate::model::event::Action;
use crate::model::role::Power;
use crate::policy::application::{Application, Rule};

use super::super::cx::{Cx, Outcome, Stop};
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Me, initials};

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

/// A person whom the waiting change concerns.
#[derive(Clone, Debug)]
pub struct ConcernedRow {
    /// The name to show.
    pub name: String,
    /// Its initials.
    pub initials: String,
    /// The person's page.
    pub href: String,
    /// The applications.
    pub applications: String,
}

/// A place that means something else to somebody by the waiting change.
#[derive(Clone, Debug)]
pub struct MovedRow {
    /// The application's title.
    pub application: String,
    /// Methods and path as the rule names them.
    pub place: String,
    /// How many gain.
    pub gain: usize,
    /// How many lose.
    pub lose: usize,
}

/// What was found in the files on disk.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// The colour of the note.
    pub kind: &'static str,
    /// What it is, in a sentence.
    pub words: String,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// Who loses access.
    pub lose: Vec<ConcernedRow>,
    /// How many more do.
    pub more_lose: usize,
    /// Who gains access.
    pub gain: Vec<ConcernedRow>,
    /// How many more do.
    pub more_gain: usize,
    /// The places.
    pub places: Vec<MovedRow>,
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
    /// What stands on disk, if that was asked for.
    pub waiting: Option<Waiting>,
}

/// Rules that the page shows; the files have all of them.
const RULES: usize = 200;

/// People whom one page reckons with; `portcullis diff --store` has no bound.
const RECKONED: usize = 5_000;
/// People of each side that the page names.
const NAMED: usize = 50;

/// GET `/admin/policy`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let page = policy_page(cx, None).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/policy/check`: what the files on disk would change. Nothing is put in force.
pub async fn check(cx: &mut Cx<'_>) -> Outcome {
    let waiting = waiting(cx).await?;
    let page = policy_page(cx, Some(waiting)).await?;
    Ok(cx.page(&page))
}

async fn waiting(cx: &Cx<'_>) -> Result<Waiting, Stop> {
    let now = cx.facts.now;
    let said = |kind, words: String| Waiting {
        kind,
        words,
        ..Waiting::default()
    };
    let found = match on_disk(cx.app, now).await {
        Ok(OnDisk::Other(live)) => consequences(&cx.app.accounts, &cx.live.policies, &live, RECKONED, now).await,
        Ok(OnDisk::Same) => return Ok(said("ok", "The files say what is in force.".to_owned())),
        Ok(OnDisk::Unknown) => return Ok(said("", "This server does not know where its files are.".to_owned())),
        Ok(OnDisk::Unusable(problems)) => {
            let words = "The files cannot be put in force. What is in force stays.".to_owned();
            return Ok(Waiting {
                problems,
                ..said("bad", words)
            });
        }
        Err(error) => Err(error),
    };
    let found = match found {
        Ok(found) => found,
        Err(NotReckoned::Unavailable(_)) => return Err(Stop::Unavailable),
        Err(NotReckoned::TooMany(most)) => {
            let words = format!(
                "The files say something else, and there are more than {most} people. portcullis diff --store tells who gains and who loses."
            );
            return Ok(said("warn", words));
        }
        Err(NotReckoned::Fault) => return Ok(said("bad", "Reckoning ended in a fault of portcullis; see the log.".to_owned())),
    };
    let many = |count: usize| {
        if count == 1 {
            "1 person".to_owned()
        } else {
            format!("{count} people")
        }
    };
    let words = if found.places.is_empty() {
        format!(
            "The files say something else (generation {}), and nothing changes for any of {}.",
            found.generation,
            many(found.people)
        )
    } else {
        format!(
            "The files say something else (generation {}): of {}, {} lose access and {} gain access.",
            found.generation,
            many(found.people),
            found.lose.len(),
            found.gain.len()
        )
    };
    let rows = |people: &[Concerned]| people.iter().take(NAMED).map(concerned_row).collect::<Vec<ConcernedRow>>();
    Ok(Waiting {
        more_lose: found.lose.len().saturating_sub(NAMED),
        more_gain: found.gain.len().saturating_sub(NAMED),
        lose: rows(&found.lose),
        gain: rows(&found.gain),
        places: found
            .places
            .into_iter()
            .map(|moved| MovedRow {
                application: moved.application,
                place: moved.place,
                gain: moved.gain,
                lose: moved.lose,
            })
            .collect(),
        ..said("warn", words)
    })
}

fn concerned_row(person: &Concerned) -> ConcernedRow {
    ConcernedRow {
        initials: initials(&person.name),
        name: person.name.clone(),
        href: format!("{BASE}/admin/users/{}", person.id),
        applications: person.applications.join(", "),
    }
}

async fn policy_page(cx: &Cx<'_>, waiting: Option<Waiting>) -> Result<PolicyPage, Stop> {
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
    Ok(PolicyPage {
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
        waiting,
    })
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
