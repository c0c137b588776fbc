//! A process that is killed at any moment, and what it had said it had done. Any test binary can use it: the child is that binary itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use portcullis::base::random::Random;

/// Says to the parent that something was done. Call it only when the store has answered.
pub(crate) fn acknowledge(what: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "done {what}").unwrap();
    out.flush().unwrap();
}

/// What a child is told by its parent; nothing in an ordinary run of the tests, where the child's test has nothing to do.
pub(crate) fn told() -> Option<String> {
    std::env::var("PORTCULLIS_KILLED_CHILD").ok()
}

/// How many times to kill: `PORTCULLIS_KILLS`, or as many as an ordinary run has time for.
pub(crate) fn kills(ordinary: u32) -> u32 {
    std::env::var("PORTCULLIS_KILLS").map_or(ordinary, |count| count.parse().unwrap())
}

/// Runs the test `child` of this binary as a process of its own, telling it `told`; kills it (SIGKILL) between its first
/// acknowledgement and `within` later. What it had acknowledged until then.
pub(crate) fn run_and_kill(child: &str, told: &str, within: Duration, random: &Random) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env("PORTCULLIS_KILLED_CHILD", told)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let (lines, read) = sync_channel(100_000);
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            // The harness writes the name of the test on the same line as the first output.
            if let Some((_, done)) = line.split_once("done ")
                && lines.send(done.to_owned()).is_err()
            {
                break;
            }
        }
    });
    let mut done = vec![read.recv_timeout(Duration::from_secs(60)).expect("the child does something")];
    let micros = u32::try_from(within.as_micros()).unwrap();
    let end = Instant::now() + Duration::from_micros(u64::from(random.below(micros)));
    loop {
        match read.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => done.push(line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself"),
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap();
    done.extend(read.try_iter());
    done
}
