//! `portcullis check`: settings and policies, read and tested as a start or reload would, without touching anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::live::context;
use crate::base::diagnostic::{Diagnostic, Level, Texts};
use crate::base::sources::Sources;
use crate::base::time::Clock;
use crate::config;
use crate::policy;
use crate::policy::application::Target;
use crate::policy::definitions::Definitions;
use crate::policy::{Checked, Context, TEST_FAILED};
use crate::server::control::{Answer, Ended, Finding, Request};
use crate::server::files::Files;

use super::Outcome;
use super::arguments::{CheckOptions, FindingsFormat};
use super::ask;
use super::output::{Output, complain, print};

/// How long an application has to take a connection.
const LIVE_TIME: Duration = Duration::from_secs(3);

/// Everything found, ready to be printed in any form.
struct Report {
    texts: Texts,
    findings: Vec<Diagnostic>,
    tests: Vec<(String, String, Option<String>)>,
    files: usize,
    applications: usize,
    rules: usize,
    /// Findings that only the store or the network can tell.
    others: Vec<Finding>,
    /// What would end that is open on the running server.
    will_end: Option<Ended>,
}

pub(super) fn run(config: &Path, options: &CheckOptions, output: &Output) -> Outcome {
    let mut files = Files::at(config);
    files.policies.clone_from(&options.dir);
    let mut report = match judge(&files) {
        Ok(report) => report,
        Err(error) => {
            complain(&error);
            return Outcome::Wrong;
        }
    };
    if options.store {
        match ask::ask(
            config,
            &Request::CheckStore {
                policies: options.dir.as_ref().and_then(|dir| std::path::absolute(dir).ok()),
            },
        ) {
            Ok(Answer::Checked(checked)) => {
                report.others.extend(checked.findings);
                report.will_end = checked.will_end;
            }
            Ok(other) => return ask::strange(&other),
            Err(outcome) => return outcome,
        }
    }
    if options.live {
        match live_findings(&files) {
            Ok(findings) => report.others.extend(findings),
            Err(error) => {
                complain(&error);
                return Outcome::Wrong;
            }
        }
    }
    let format = options.format.unwrap_or(if output.is_json() {
        FindingsFormat::Json
    } else {
        FindingsFormat::Text
    });
    print(&match format {
        FindingsFormat::Text => report.to_text(output),
        FindingsFormat::Json => format!("{:#}", report.to_json()),
        FindingsFormat::Sarif => format!("{:#}", report.to_sarif()),
    });
    let failed = report.failed() > 0 || report.count(Level::Error) > 0;
    if failed || (options.strict && report.count(Level::Warning) > 0) {
        Outcome::Wrong
    } else {
        Outcome::Sound
    }
}

/// Reads and judges. Settings and policies are judged both, so that all problems are told at once.
fn judge(files: &Files) -> Result<Report, String> {
    let sources = read(files)?;
    let now = Clock::System.now();
    let (context, mut findings) = match &sources.settings {
        // A policies folder alone: what the settings would say is as shipped.
        None => (Context::plain("", now), Vec::new()),
        Some(_) => match config::load(&sources) {
            Ok((settings, warnings)) => (context(&settings, now), warnings),
            Err(problems) => (Context::plain("", now), problems),
        },
    };
    let checked: Checked = policy::check(&sources.policies, &context);
    let texts = sources.texts();
    let tests = checked
        .tests
        .iter()
        .map(|test| (test.name.clone(), test.at.location.to_string(), test.failure.clone()))
        .collect();
    findings.extend(
        checked
            .findings
            .iter()
            .filter(|finding| finding.code != TEST_FAILED || checked.tests.is_empty())
            .cloned(),
    );
    Ok(Report {
        texts,
        findings,
        tests,
        files: checked.files,
        applications: checked.applications,
        rules: checked.rules,
        others: Vec::new(),
        will_end: None,
    })
}

fn read(files: &Files) -> Result<Sources, String> {
    match &files.policies {
        Some(folder) if !files.settings.exists() => files.read_policies_alone(folder),
        _ => files.read(),
    }
    .map_err(|error| error.to_string())
}

impl Report {
    fn count(&self, level: Level) -> usize {
        let word = level.to_string();
        self.findings.iter().filter(|finding| finding.level == level).count()
            + self.others.iter().filter(|finding| finding.level == word).count()
    }

    fn failed(&self) -> usize {
        self.tests.iter().filter(|(_, _, failure)| failure.is_some()).count()
    }

    fn summary(&self) -> String {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        format!(
            "{}, {}, {}, {}: {} passed, {} failed; {}, {}",
            plural(self.files, "file"),
            plural(self.applications, "app"),
            plural(self.rules, "rule"),
            plural(self.tests.len(), "test"),
            self.tests.len() - self.failed(),
            self.failed(),
            plural(self.count(Level::Error), "error"),
            plural(self.count(Level::Warning), "warning"),
        )
    }

    fn to_text(&self, output: &Output) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.render(&self.texts));
        }
        for finding in &self.others {
            let _ = writeln!(text, "{}[{}]: {}", finding.level, finding.code, finding.message);
            if let Some(help) = &finding.help {
                let _ = writeln!(text, "   = help: {help}");
            }
        }
        for (name, at, failure) in &self.tests {
            if let Some(failure) = failure {
                let _ = writeln!(text, "test {name:?} ... {}   {at}\n  {failure}", output.bad("FAILED"));
            }
        }
        if let Some(will_end) = self.will_end {
            let _ = writeln!(text, "will end {will_end}");
        }
        text + &output.strong(&self.summary())
    }

    fn to_json(&self) -> Value {
        let place = |finding: &Diagnostic| finding.at.as_ref().map(|span| self.texts.locate(span));
        let mut findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let also: Vec<Value> = finding
                    .also
                    .iter()
                    .map(|(span, what)| json!({ "what": what, "at": self.texts.locate(span) }))
                    .collect();
                json!({
                    "code": finding.code, "level": finding.level, "message": finding.message, "label": finding.label,
                    "at": place(finding), "also": also, "help": finding.help,
                })
            })
            .collect();
        findings.extend(
            self.others
                .iter()
                .map(|finding| json!({ "code": finding.code, "level": finding.level, "message": finding.message, "help": finding.help })),
        );
        let tests: Vec<Value> = self
            .tests
            .iter()
            .map(|(name, at, failure)| json!({ "name": name, "at": at, "passed": failure.is_none(), "failure": failure }))
            .collect();
        json!({
            "files": self.files, "apps": self.applications, "rules": self.rules,
            "errors": self.count(Level::Error), "warnings": self.count(Level::Warning),
            "tests_passed": self.tests.len() - self.failed(), "tests_failed": self.failed(),
            "findings": findings, "tests": tests, "will_end": self.will_end,
        })
    }

    /// SARIF 2.1.0, as code review tools read it.
    fn to_sarif(&self) -> Value {
        let level = |word: &str| match word {
            "error" => "error",
            "warning" => "warning",
            _ => "note",
        };
        let location = |file: &str, line: usize, column: usize| {
            json!([{ "physicalLocation": {
                "artifactLocation": { "uri": file }, "region": { "startLine": line, "startColumn": column },
            }}])
        };
        let mut results = Vec::new();
        for finding in &self.findings {
            let help = finding.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
            let label = if finding.label.is_empty() {
                String::new()
            } else {
                format!(": {}", finding.label)
            };
            let mut result = json!({
                "ruleId": finding.code, "level": level(&finding.level.to_string()),
                "message": { "text": format!("{}{label}{help}", finding.message) },
            });
            if let (Some(span), Some(result)) = (&finding.at, result.as_object_mut()) {
                let at = self.texts.locate(span);
                result.insert("locations".to_owned(), location(&at.file, at.line, at.column));
            }
            results.push(result);
        }
        for finding in &self.others {
            results.push(json!({ "ruleId": finding.code, "level": level(&finding.level), "message": { "text": finding.message } }));
        }
        for (name, at, failure) in &self.tests {
            let Some(failure) = failure else { continue };
            let mut parts = at.rsplitn(3, ':');
            let (column, line) = (number(parts.next()), number(parts.next()));
            results.push(json!({
                "ruleId": TEST_FAILED, "level": "error",
                "message": { "text": format!("test {name:?} failed: {failure}") },
                "locations": location(parts.next().unwrap_or_default(), line, column),
            }));
        }
        let ids: BTreeSet<&str> = results.iter().filter_map(|result| result.get("ruleId")?.as_str()).collect();
        let rules: Vec<Value> = ids.into_iter().map(|id| json!({ "id": id })).collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "portcullis", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
                "results": results,
            }],
        })
    }
}

fn number(text: Option<&str>) -> usize {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether every upstream takes a connection.
fn live_findings(files: &Files) -> Result<Vec<Finding>, String> {
    let sources = read(files)?;
    let checked = policy::check(&sources.policies, &Context::plain("", Clock::System.now()));
    Ok(checked
        .policies
        .map(|policies| silent_upstreams(policies.definitions()))
        .unwrap_or_default())
}

fn silent_upstreams(definitions: &Definitions) -> Vec<Finding> {
    // Several applications may share a server; each is asked once.
    let mut asked: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut findings = Vec::new();
    for application in &definitions.applications {
        for server in &application.upstreams {
            let name = server.target.to_string();
            let silence = asked.entry(name.clone()).or_insert_with(|| connect(&server.target).err()).clone();
            if let Some(why) = silence {
                findings.push(Finding {
                    code: "W262".to_owned(),
                    level: "warning".to_owned(),
                    message: format!("application `{}`: {name} takes no connection: {why}", application.name),
                    help: Some("start the application, or correct `upstream`".to_owned()),
                });
            }
        }
    }
    findings
}

fn connect(target: &Target) -> Result<(), String> {
    match target {
        Target::Unix { path } => std::os::unix::net::UnixStream::connect(path)
            .map(drop)
            .map_err(|error| error.to_string()),
        Target::Tcp { host, port, .. } => {
            let addresses = (&**host, *port).to_socket_addrs().map_err(|error| error.to_string())?;
            let mut why = "the name has no address".to_owned();
            for address in addresses {
                match TcpStream::connect_timeout(&address, LIVE_TIME) {
                    Ok(_) => return Ok(()),
                    Err(error) => why = error.to_string(),
                }
            }
            Err(why)
        }
    }
}
