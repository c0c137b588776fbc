//! What the documentation names exists: paths, links between pages, commands.
#![expect(clippy::unwrap_used, reason = "tests may stop on the spot")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![top().join("README.md"), top().join("CHANGELOG.md")];
    pages.extend(fs::read_dir(top().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages
}

/// The words between back quotes, outside fenced blocks.
fn quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = fs::read_to_string(top().join("docs/architecture.md")).unwrap();
    let roots = [
        "src/",
        "tests/",
        "docs/",
        "scripts/",
        "templates/",
        "policies/",
        "config/",
        "benches/",
        ".ci/",
    ];
    let paths: Vec<_> = quoted(&text)
        .into_iter()
        .filter(|word| roots.iter().any(|root| word.starts_with(root)))
        .collect();
    assert!(paths.len() > 30, "only {} paths were found", paths.len());
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !path.contains('*') && !top().join(path).exists())
        .collect();
    assert!(missing.is_empty(), "docs/architecture.md names what is not there: {missing:?}");
}

#[test]
fn every_promise_about_bad_input_has_tests_that_exist() {
    let text = fs::read_to_string(top().join("docs/bad-input.md")).unwrap();
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise ") && !line.starts_with("| ---"))
        .collect();
    assert!(rows.len() >= 25, "only {} promises were found", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let named: Vec<String> = quoted(row).into_iter().filter(|word| word.contains("::")).collect();
        if named.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(named.into_iter().filter(|test| !is_a_test(test)));
    }
    assert!(wrong.is_empty(), "docs/bad-input.md: {wrong:#?}");
}

/// Whether `FILE::FUNCTION` is a test that runs: it has the attribute of one, and none that keeps it from running.
fn is_a_test(named: &str) -> bool {
    let Some((file, function)) = named.split_once("::") else {
        return false;
    };
    let Ok(text) = fs::read_to_string(top().join(file)) else {
        return false;
    };
    let mut attributes: Vec<&str> = Vec::new();
    // A test of proptest has its attribute within a macro, which indents it.
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        let name = line.trim_start_matches("async ").strip_prefix("fn ");
        if name.is_some_and(|name| name.strip_prefix(function).is_some_and(|rest| rest.starts_with('('))) {
            let runs = |attribute: &&str| *attribute == "#[test]" || attribute.starts_with("#[tokio::test");
            return attributes.iter().any(runs) && !attributes.iter().any(|attribute| attribute.starts_with("#[ignore"));
        }
        attributes.clear();
    }
    false
}

#[test]
fn every_module_of_the_tree_is_told_of_in_the_architecture() {
    let text = fs::read_to_string(top().join("docs/architecture.md")).unwrap();
    let floors: Vec<_> = fs::read_dir(top().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    for floor in floors {
        let name = format!("`src/{}/`", floor.file_name().unwrap().to_str().unwrap());
        assert!(text.contains(&name), "docs/architecture.md says nothing of {name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") && !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {link}", page.strip_prefix(top()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_command_in_the_documentation_is_one() {
    let mut words = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // Only where it is written as a command: quoted, or at the start of a line of a block.
        let quoted = quoted(&text);
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines).map(str::to_owned);
        for line in quoted.into_iter().chain(blocks) {
            for part in line.split(['|', '(', '&']) {
                if let Some(rest) = part.trim_start().strip_prefix("portcullis ") {
                    let word = rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap();
                    if !word.is_empty() {
                        words.insert(word.to_owned());
                    }
                }
            }
        }
    }
    assert!(words.len() > 10, "only {words:?} were found");
    let help = |word: &String| {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args([word, "--help"])
            .output()
            .unwrap()
            .status
            .success()
    };
    let unknown: Vec<_> = words.iter().filter(|word| !help(word)).collect();
    assert!(unknown.is_empty(), "no such commands: {unknown:?}");
}
