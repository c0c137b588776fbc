//! A minute of mixed traffic through a real server, with reloads and restarts behind it: no answer is wrong or lost, and memory stays flat.
//! `scripts/soak 1h` does the same for longer.

use std::process::Command;

#[test]
fn a_minute_of_everything_gives_no_wrong_answer_and_loses_none() {
    let run = Command::new("scripts/soak")
        .args(["60s", "--rate", "30"])
        .env("PORTCULLIS_BINARY", env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    assert!(told.contains("no wrong answer, none lost"), "{told}");
}
