//! Policy text: every finding points into the text, the same text means the same, and what may go live decides in one way only.
//!
//! Input: a policy file; a line `#file NAME` begins another.

use std::sync::Arc;

use http::Method;
use portcullis::base::diagnostic::{Diagnostic, Level, Texts};
use portcullis::base::sources::{PolicyTexts, SourceText};
use portcullis::base::time::Timestamp;
use portcullis::model::id::CredentialId;
use portcullis::model::principal::{Principal, Service};
use portcullis::policy::decision::Verdict;
use portcullis::policy::explain::explain;
use portcullis::policy::{self, Checked, Context, PolicySet, RequestFacts, decide};

/// Reads the texts as policies, in two orders.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let texts = PolicyTexts {
        files: files(text),
        ..PolicyTexts::default()
    };
    let context = Context::plain("sso.example.com", Timestamp::from_secs(1_772_452_800));
    let checked = policy::check(&texts, &context);
    findings_are_sound(&checked.findings, &texts.texts());
    let has_error = checked.findings.iter().any(|finding| finding.level == Level::Error);
    assert_eq!(
        checked.policies.is_none(),
        has_error,
        "either rules or an error: {:?}",
        checked.findings
    );
    let _ = policy::wanted(&texts);

    let mut turned = texts;
    turned.files.reverse();
    let again = policy::check(&turned, &context);
    assert_eq!(codes(&again), codes(&checked), "the order of files means nothing");
    if let (Some(policies), Some(again)) = (&checked.policies, &again.policies) {
        assert_eq!(policies.generation().short(), again.generation().short());
        decides_in_one_way(policies, again);
    }
}

fn files(text: &str) -> Vec<SourceText> {
    let mut files: Vec<(String, String)> = vec![("policies/a.toml".to_owned(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("#file ") {
            Some(name) if files.len() < 4 => files.push((format!("policies/b{}-{}.toml", files.len(), name.trim()), String::new())),
            _ => files.last_mut().unwrap().1.push_str(line),
        }
    }
    files
        .into_iter()
        .map(|(name, text)| SourceText {
            name: name.into(),
            text: text.into(),
        })
        .collect()
}

/// Findings as an administrator sees them: a place in a file that is there, and a page that can be drawn.
pub fn findings_are_sound(findings: &[Diagnostic], texts: &Texts) {
    for finding in findings {
        assert!(!finding.message.is_empty() && finding.code.len() == 4, "{finding:?}");
        for span in finding.at.iter().chain(finding.also.iter().map(|(span, _)| span)) {
            if let Some(text) = texts.text(&span.file) {
                assert!(text.get(span.bytes.clone()).is_some(), "{finding:?} points outside its file");
                let place = texts.locate(span);
                assert!(texts.line(&span.file, place.line).is_some(), "{finding:?} has no line");
            }
        }
        assert!(finding.render(texts).contains(finding.code));
        assert!(!finding.one_line(texts).is_empty());
    }
}

/// What was found, in an order of its own: texts of findings may say which file came first.
fn codes(checked: &Checked) -> Vec<(Level, &'static str)> {
    let mut codes: Vec<_> = checked.findings.iter().map(|finding| (finding.level, finding.code)).collect();
    codes.sort_unstable();
    codes
}

fn decides_in_one_way(policies: &PolicySet, again: &PolicySet) {
    let service = Service {
        name: "plate-reader".parse().unwrap(),
        credential: CredentialId::from_number(1),
        made: Timestamp::EPOCH,
    };
    let callers = [Principal::Anonymous, Principal::Service(Arc::new(service))];
    for application in policies.applications().iter().take(3) {
        for host in application.hosts.iter().take(2) {
            for path in ["/", "/health", "/groups/7", "/a%2fb", "/.portcullis/x", "/a/../b"] {
                for method in [Method::GET, Method::POST] {
                    let facts = RequestFacts::new(
                        method,
                        host.to_string().as_str(),
                        path,
                        "203.0.113.9".parse().ok(),
                        Timestamp::from_secs(1_772_452_800),
                    );
                    for caller in &callers {
                        let decision = decide(policies, caller, &facts);
                        let other = decide(again, caller, &facts);
                        assert_eq!((decision.verdict, &decision.reason), (other.verdict, &other.reason), "{facts:?}");
                        let told = explain(policies, caller, &facts);
                        assert_eq!(
                            (told.decision, told.reason),
                            (decision.verdict.word(), decision.reason.code()),
                            "{facts:?}"
                        );
                        assert_eq!(told.to_allow.is_empty(), decision.verdict == Verdict::Allow, "{facts:?}");
                        assert!(!path.contains("..") || decision.verdict != Verdict::Allow, "dots never help");
                    }
                }
            }
        }
    }
}
