//! From texts to rules that can decide, or every problem found; the same for `check`, for a start and for a reload.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::base::diagnostic::{Diagnostic, Level};
use crate::base::document;
use crate::base::reader::Problems;
use crate::base::sources::{NamedFile, PolicyTexts, Wanted};
use crate::base::time::Timestamp;

use super::PolicySet;
use super::analyse;
use super::application::{AcceptedSignIn, MfaRule};
use super::definitions::{Definitions, Generation};
use super::parse::scope::Scope;
use super::parse::{Levels, PolicyTest, parse};
use super::resolve::resolve;
use super::selftest::{self, TestOutcome};

/// What the server's settings and the moment add to the texts.
#[derive(Clone, Debug)]
pub struct Context {
    /// The portal's host, in lower case, without port.
    pub portal_host: String,
    /// Upper bound of every `max_age`.
    pub session_absolute: Duration,
    /// Upper bound of every `idle`.
    pub session_idle: Duration,
    /// Whether clients can reach us over both IPv4 and IPv6.
    pub both_families: bool,
    /// Whether a tree without a test is refused.
    pub require_tests: bool,
    /// Now: what has expired, and when tests happen that do not say when.
    pub now: Timestamp,
}

impl Context {
    /// What holds where the settings say nothing.
    #[must_use]
    pub fn plain(portal_host: impl Into<String>, now: Timestamp) -> Self {
        Self {
            portal_host: portal_host.into(),
            session_absolute: Duration::from_secs(24 * 60 * 60),
            session_idle: Duration::from_secs(2 * 60 * 60),
            both_families: false,
            require_tests: false,
            now,
        }
    }
}

/// Everything found out about a policy tree.
#[derive(Debug)]
pub struct Checked {
    /// The rules, if they may go live.
    pub policies: Option<PolicySet>,
    /// Findings in the order of their places; failed tests are among them (`E160`).
    pub findings: Vec<Diagnostic>,
    /// How each test went.
    pub tests: Vec<TestOutcome>,
    /// How many files there are.
    pub files: usize,
    /// How many applications.
    pub applications: usize,
    /// How many rules, of all applications.
    pub rules: usize,
}

impl Checked {
    /// How many findings there are of a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.level == level && finding.code != TEST_FAILED)
            .count()
    }
}

/// The code of a test that failed.
pub const TEST_FAILED: &str = "E160";

/// Makes rules of the texts, with the warnings found.
///
/// # Errors
/// Every finding, if one of them is an error: nothing of the texts is used then.
pub fn load(texts: &PolicyTexts, context: &Context) -> Result<(PolicySet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let checked = check(texts, context);
    match checked.policies {
        Some(policies) => Ok((policies, checked.findings)),
        None => Err(checked.findings),
    }
}

/// The files that the policies name, which have to be read before [`load`] can judge.
#[must_use]
pub fn wanted(texts: &PolicyTexts) -> Vec<Wanted> {
    let problems = Problems::default();
    let places = texts.texts();
    let scope = Scope::new(&problems, &places, &texts.named);
    let _ = parse(texts, &scope, &ceiling(&Context::plain("", Timestamp::EPOCH)));
    let wanted: BTreeSet<Wanted> = scope.wanted.take().into_iter().collect();
    wanted.into_iter().collect()
}

/// Reads, resolves, analyses and tests.
#[must_use]
pub fn check(texts: &PolicyTexts, context: &Context) -> Checked {
    let problems = Problems::default();
    let places = texts.texts();
    for (stray, why) in &texts.strays {
        problems.push(Diagnostic::error("E114", format!("{stray}: {why}")));
    }
    let scope = Scope::new(&problems, &places, &texts.named);
    let mut checked = Checked {
        policies: None,
        findings: Vec::new(),
        tests: Vec::new(),
        files: texts.files.len(),
        applications: 0,
        rules: 0,
    };
    let parsed = parse(texts, &scope, &ceiling(context));
    let mut ready = None;
    if let Some(mut parsed) = parsed {
        resolve(&mut parsed.definitions, &scope);
        checked.applications = parsed.definitions.applications.len();
        checked.rules = parsed.definitions.applications.iter().map(|app| app.rules.len()).sum();
        if context.require_tests && parsed.tests.is_empty() {
            problems.push(Diagnostic::error("E160", "the settings ask for tests, and there is none").help("write a [[test]]"));
        }
        parsed.definitions.generation = generation(texts);
        ready = Some(parsed);
    }
    drop(scope);
    checked.findings = problems.into_inner();
    if ready.is_none() {
        checked.findings.extend(beside_torn_files(texts, context));
    }
    if let Some(parsed) = ready
        && !has_error(&checked.findings)
    {
        judge(parsed.definitions, &parsed.tests, &parsed.levels, context, &mut checked);
    }
    tidy(&mut checked.findings, texts);
    checked
}

/// What is wrong in the files that are TOML, where others are not. Only what is written there and can mean nothing is told: what is
/// missing, and every name, may stand in a file that cannot be read yet.
fn beside_torn_files(texts: &PolicyTexts, context: &Context) -> Vec<Diagnostic> {
    const SURE: [&str; 7] = ["E101", "E102", "E104", "E105", "E121", "E130", "E131"];
    let mut whole = texts.clone();
    whole.files.retain(|file| document::read(&file.name, &file.text).1.is_empty());
    let problems = Problems::default();
    let places = whole.texts();
    let scope = Scope::new(&problems, &places, &whole.named);
    let _ = parse(&whole, &scope, &ceiling(context));
    drop(scope);
    let mut found = problems.into_inner();
    found.retain(|finding| SURE.contains(&finding.code));
    found
}

/// Analyses and tests what has been read without an error.
fn judge(definitions: Definitions, tests: &[PolicyTest], levels: &Levels, context: &Context, checked: &mut Checked) {
    let analysed = analyse::analyse(&definitions, context);
    checked.findings.extend(at_levels(analysed, levels));
    let policies = match PolicySet::compile(definitions) {
        Ok(policies) => policies,
        Err(unknown) => {
            // Names were looked up before; what is said here is better than silence.
            checked.findings.extend(
                unknown
                    .into_iter()
                    .map(|unknown| Diagnostic::error("E111", unknown.to_string()).at(unknown.at.span())),
            );
            return;
        }
    };
    checked.tests = selftest::run(&policies, tests, context.now);
    checked.findings.extend(checked.tests.iter().filter_map(TestOutcome::finding));
    checked
        .findings
        .extend(at_levels(analyse::analyse_tests(policies.definitions(), &checked.tests), levels));
    if !has_error(&checked.findings) {
        checked.policies = Some(policies);
    }
}

/// The findings at the levels that `[checks]` gives them.
fn at_levels(mut found: Vec<Diagnostic>, levels: &Levels) -> Vec<Diagnostic> {
    found.retain_mut(|finding| match levels.get(finding.code) {
        Some(None) => false,
        Some(Some(level)) => {
            finding.level = *level;
            true
        }
        None => true,
    });
    found
}

fn has_error(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Error)
}

/// Each finding once, in the order of files and lines.
fn tidy(findings: &mut Vec<Diagnostic>, texts: &PolicyTexts) {
    let names: BTreeSet<&str> = texts.files.iter().map(|file| &*file.name).collect();
    findings.sort_by_key(|finding| {
        let at = finding.at.as_ref();
        (
            at.map(|span| (!names.contains(&*span.file), span.file.clone(), span.bytes.start)),
            finding.code,
            finding.message.clone(),
        )
    });
    findings.dedup();
}

fn ceiling(context: &Context) -> AcceptedSignIn {
    AcceptedSignIn {
        methods: crate::model::role::SignInMethod::ALL.iter().copied().collect(),
        idps: Vec::new(),
        mfa: MfaRule::Never,
        max_age: context.session_absolute,
        idle: context.session_idle,
    }
}

/// SHA-256 over path and bytes of all files and of those they name, secrets apart. Lengths go in too, so that no two trees run together.
fn generation(texts: &PolicyTexts) -> Generation {
    let mut parts: Vec<(&str, &[u8])> = texts.files.iter().map(|file| (&*file.name, file.text.as_bytes())).collect();
    parts.extend(texts.named.iter().filter_map(|(path, file)| match file {
        NamedFile::Plain(bytes) => Some((path.as_str(), &**bytes)),
        NamedFile::Secret(_) | NamedFile::Missing(_) => None,
    }));
    parts.sort_unstable();
    let mut context = digest::Context::new(&digest::SHA256);
    for (path, bytes) in parts {
        for piece in [path.as_bytes(), bytes] {
            context.update(&(piece.len() as u64).to_be_bytes());
            context.update(piece);
        }
    }
    let mut generation = Generation::default();
    generation.0.copy_from_slice(context.finish().as_ref());
    generation
}

#[cfg(test)]
mod tests;
