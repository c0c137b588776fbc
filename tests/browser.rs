//! People's stories and every page, played in Chromium by `tests/browser/run.mjs` against the built gateway.

use std::path::Path;
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

#[test]
fn lock_files_name_no_registry() {
    for lock in ["tests/browser/package-lock.json", "tests/jupyterhub/package-lock.json"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(lock)).expect(lock);
        assert!(
            !text.contains("\"resolved\""),
            "{lock}: install with --omit-lockfile-registry-resolved"
        );
    }
}

#[test]
fn the_stories_hold_in_chromium_and_axe_finds_nothing_on_any_page() {
    assert!(
        Path::new(FOLDER).join("node_modules/playwright-core").exists(),
        "tests/browser/node_modules is missing: `make test` installs it (or run `npm ci` there)"
    );
    let played = Command::new("node")
        .arg("run.mjs")
        .current_dir(FOLDER)
        .env("PORTCULLIS_BINARY", env!("CARGO_BIN_EXE_portcullis"))
        .output()
        .expect("node is missing: `make test` installs it");
    let words = String::from_utf8_lossy(&played.stdout);
    println!("{words}{}", String::from_utf8_lossy(&played.stderr));
    assert!(
        played.status.success(),
        "not every story held: {}",
        words.lines().last().unwrap_or_default()
    );
}
