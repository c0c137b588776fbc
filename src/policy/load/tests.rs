use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::secret::Secret;
use crate::base::sources::SourceText;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
}

fn context() -> Context {
    Context::plain("sso.example.org", now())
}

/// The policies of a tree of this package.
fn tree(name: &str) -> PolicyTexts {
    fn collect(folder: &Path, root: &Path, files: &mut Vec<SourceText>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, files);
            } else {
                files.push(SourceText {
                    name: path.strip_prefix(root).unwrap().to_str().unwrap().into(),
                    text: fs::read_to_string(&path).unwrap().into(),
                });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut texts = PolicyTexts::default();
    collect(&root.join("policies"), &root, &mut texts.files);
    texts
}

fn example(name: &str) -> PolicyTexts {
    tree(&format!("tests/data/examples/{name}"))
}

fn with_named_files(mut texts: PolicyTexts) -> PolicyTexts {
    let metadata = br#"<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.acme.example"><IDPSSODescriptor/></EntityDescriptor>"#;
    for wanted in wanted(&texts) {
        let file = if wanted.secret {
            NamedFile::Secret(Arc::new(Secret::new(b"hush".to_vec())))
        } else {
            NamedFile::Plain(Arc::from(&metadata[..]))
        };
        texts.named.insert(wanted.written, file);
    }
    texts
}

fn rendered(texts: &PolicyTexts, findings: &[Diagnostic]) -> String {
    findings.iter().map(|finding| finding.render(&texts.texts())).collect()
}

#[test]
fn the_worked_examples_load_and_their_tests_hold() {
    for (name, tests) in [("A", 4), ("B", 10), ("C", 5)] {
        let texts = with_named_files(example(name));
        let checked = check(&texts, &context());
        assert!(checked.policies.is_some(), "{name}:\n{}", rendered(&texts, &checked.findings));
        assert_eq!(checked.tests.len(), tests, "{name}");
        assert!(checked.tests.iter().all(TestOutcome::passed), "{name}");
    }
}

#[test]
fn the_shipped_policies_are_sound_even_by_strict_measure() {
    let texts = tree("");
    let checked = check(&texts, &Context::plain("portal.localhost", now()));
    assert!(checked.policies.is_some(), "{}", rendered(&texts, &checked.findings));
    assert!(
        checked.findings.iter().all(|finding| finding.level == Level::Info),
        "{}",
        rendered(&texts, &checked.findings)
    );
    let policies = checked.policies.unwrap();
    for title in [
        "Team Permission Administrator",
        "Team Data Administrator",
        "Team Data Quality Manager",
    ] {
        assert!(policies.definitions().roles.iter().any(|role| role.title == title), "{title}");
    }
}

#[test]
fn a_named_file_that_is_missing_is_an_error_at_its_place() {
    let texts = example("B");
    let Err(found) = load(&texts, &context()) else { panic!("accepted") };
    let missing: Vec<String> = found
        .iter()
        .filter(|finding| finding.code == "E114")
        .map(|finding| texts.texts().locate(finding.at.as_ref().unwrap()).to_string())
        .collect();
    assert_eq!(missing, ["policies/customers/acme.toml:3:12", "policies/eln.toml:5:22"]);
    assert_eq!(
        wanted(&texts),
        [
            Wanted {
                written: "../secrets/ldap".to_owned(),
                secret: true
            },
            Wanted {
                written: "idp/acme-okta.xml".to_owned(),
                secret: false
            }
        ]
    );
}

mod errors;
mod findings;
mod laws;
