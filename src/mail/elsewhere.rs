//! The ways for a letter to leave that need no mail server: a program of this machine, or a folder that something else empties.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Outcome;
use super::envelope::Envelope;

/// The most of what a program says that is listened to, in bytes.
const LONGEST: u64 = 4096;

/// Hands a letter to a program that takes what sendmail takes. It is ended with the future.
pub(super) async fn by_sendmail(program: &Path, envelope: &Envelope) -> Outcome {
    match run(program, envelope).await {
        Ok((Some(0), _)) => Outcome::Taken(format!("taken by {}", program.display())),
        Ok((Some(status), said)) if is_for_good(status) => Outcome::Never(told(status, &said)),
        Ok((Some(status), said)) => Outcome::NotNow(told(status, &said)),
        Ok((None, _)) => Outcome::NotNow(format!("{} was killed", program.display())),
        Err(error) => Outcome::Closed(format!("{} cannot be run: {error}", program.display())),
    }
}

fn told(status: i32, said: &str) -> String {
    format!("status {status}: {said}")
}

/// Addressee or host unknown, or a letter that is wrong. Source: sysexits.h.
const fn is_for_good(status: i32) -> bool {
    matches!(status, 65 | 67 | 68)
}

async fn run(program: &Path, envelope: &Envelope) -> io::Result<(Option<i32>, String)> {
    let mut child = Command::new(program)
        // A dot alone on a line is text; addresses come after `--` and never begin with a dash that means something.
        .args(["-i", "-f"])
        .arg(&envelope.from)
        .arg("--")
        .arg(&envelope.to)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = child.stderr.take();
    let mut words = Vec::new();
    let hear = async {
        if let Some(said) = said {
            let _read = said.take(LONGEST).read_to_end(&mut words).await;
        }
    };
    let stdin = child.stdin.take();
    let say = async {
        if let Some(mut stdin) = stdin {
            // Lines of this machine end in LF. One that hears nothing says so by its status.
            let text: Vec<u8> = envelope.bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
            let _written = stdin.write_all(&text).await;
        }
    };
    let ((), (), status) = tokio::join!(hear, say, child.wait());
    Ok((status?.code(), String::from_utf8_lossy(&words).into_owned()))
}

/// Writes a letter to a folder, under its identifier: whoever looks there sees a whole letter or none, and one that is written twice is one.
pub(super) async fn into_folder(folder: &Path, envelope: &Envelope) -> Outcome {
    let (folder, bytes, id) = (folder.to_owned(), envelope.bytes.clone(), envelope.id);
    let written = tokio::task::spawn_blocking(move || write(&folder, &format!("{id}.eml"), &bytes)).await;
    match written {
        Ok(Ok(path)) => Outcome::Taken(format!("written to {}", path.display())),
        Ok(Err(error)) => Outcome::Closed(error.to_string()),
        Err(_) => Outcome::Closed("the folder could not be written to".to_owned()),
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let (path, part) = (folder.join(name), folder.join(format!(".{name}.part")));
    let mut options = std::fs::OpenOptions::new();
    // It may hold a token.
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, &path)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::config::Sender;
    use crate::mail::envelope::Outgoing;
    use crate::model::id::MessageId;
    use crate::model::message::LetterText;

    fn envelope() -> Envelope {
        let outgoing = Outgoing {
            id: MessageId::from_number(7),
            to: "ada@lab.example".parse().unwrap(),
            made: Timestamp::EPOCH,
            letter: LetterText {
                subject: "Hello".to_owned(),
                text: "one\n.\ntwo".to_owned(),
                html: "<p>one</p>".to_owned(),
            },
        };
        let from = Sender {
            name: None,
            address: "gate@lab.example".parse().unwrap(),
        };
        Envelope::of(&outgoing, &from).unwrap()
    }

    fn program(folder: &Path, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("sendmail");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_program_is_told_the_addresses_and_the_letter() {
        let folder = tempfile::tempdir().unwrap();
        let (args, text) = (folder.path().join("args"), folder.path().join("text"));
        let script = format!("echo \"$@\" > {}; cat > {}", args.display(), text.display());
        let outcome = by_sendmail(&program(folder.path(), &script), &envelope()).await;
        assert!(matches!(outcome, Outcome::Taken(_)), "{outcome:?}");
        assert_eq!(
            std::fs::read_to_string(args).unwrap(),
            "-i -f gate@lab.example -- ada@lab.example\n"
        );
        let text = std::fs::read_to_string(text).unwrap();
        assert!(text.contains("Subject: Hello\n") && text.contains("one\n.\ntwo"), "{text}");
    }

    #[tokio::test]
    async fn what_a_program_ends_with_says_what_becomes_of_the_letter() {
        let folder = tempfile::tempdir().unwrap();
        for (name, script, expected) in [
            ("no such person", "echo nobody >&2; exit 67", "Never(\"status 67: nobody\\n\")"),
            ("try later", "exit 75", "NotNow(\"status 75: \")"),
            ("hears nothing", "exec 0<&-; exit 0", "Taken"),
            ("killed", "kill -9 $$", "NotNow"),
        ] {
            let outcome = format!("{:?}", by_sendmail(&program(folder.path(), script), &envelope()).await);
            assert!(outcome.starts_with(expected), "{name}: {outcome}");
        }
        let missing = by_sendmail(&folder.path().join("nothing"), &envelope()).await;
        assert!(matches!(missing, Outcome::Closed(_)), "{missing:?}");
    }

    #[tokio::test]
    async fn a_folder_gets_whole_letters_once() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let outcome = into_folder(folder.path(), &envelope()).await;
            assert!(matches!(outcome, Outcome::Taken(_)), "{outcome:?}");
        }
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["m-00000000000000000000000007.eml"]);
        let missing = into_folder(&folder.path().join("nothing"), &envelope()).await;
        assert!(matches!(missing, Outcome::Closed(_)), "{missing:?}");
    }
}
