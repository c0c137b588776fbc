//! An application nobody here wrote behind the built gateway: JupyterHub with an authenticator that reads our headers, and a kernel over WebSocket.

use std::path::Path;
use std::process::Command;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/jupyterhub/venv/bin/python");
const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jupyterhub/check.py");

#[test]
fn the_policy_in_the_documentation_is_the_one_that_is_tested() {
    let (_, policy) = include_str!("jupyterhub/policy.toml")
        .split_once("\n\n")
        .expect("a first line that says what it is");
    assert!(
        include_str!("../docs/jupyterhub.md").contains(policy.trim_end()),
        "docs/jupyterhub.md has another policy"
    );
}

#[test]
fn jupyterhub_sees_the_right_user_and_role_no_forged_header_and_its_kernel_answers() {
    assert!(
        Path::new(PYTHON).exists(),
        "JupyterHub is missing: `make test` installs it (or run tests/jupyterhub/install)"
    );
    let checked = Command::new(PYTHON)
        .arg(CHECK)
        .env("PORTCULLIS_BINARY", env!("CARGO_BIN_EXE_portcullis"))
        .output()
        .expect("the Python of target/tools/jupyterhub starts");
    let words = String::from_utf8_lossy(&checked.stdout);
    println!("{words}{}", String::from_utf8_lossy(&checked.stderr));
    assert!(
        checked.status.success(),
        "not every promise held: {}",
        words.lines().last().unwrap_or_default()
    );
}
