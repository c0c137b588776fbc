use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_773_325_740);

fn head() -> Letterhead {
    Letterhead {
        site: "Northgate Lab".to_owned(),
        origin: "https://gate.northgate.example".to_owned(),
        host: "gate.northgate.example".to_owned(),
        help: Some("mailto:it-help@northgate.example".to_owned()),
    }
}

fn circumstances(how: &str) -> Circumstances {
    Circumstances {
        at: NOW,
        address: "198.51.100.24".parse().ok(),
        device: "Firefox on Linux".to_owned(),
        how: how.to_owned(),
    }
}

fn token() -> TokenLetter {
    TokenLetter {
        token: Secret::new("K7QF-2MXR".to_owned()),
        until: NOW.after(Duration::from_secs(3600)),
        lasts: Duration::from_secs(3600),
        tries: 5,
        address: "203.0.113.7".parse().ok(),
    }
}

fn invitation(inviter: &str) -> InvitationLetter {
    InvitationLetter {
        inviter: inviter.to_owned(),
        team: "Assay Development".to_owned(),
        applications: vec!["Notebook".to_owned(), "Registry".to_owned()],
        secret: Secret::new("EXAMPLE".to_owned()),
        until: NOW.after(Duration::from_secs(48 * 3600)),
        lasts: Duration::from_secs(48 * 3600),
        joins: false,
    }
}

fn all(name: &str) -> Vec<Letter> {
    vec![
        Letter::Invitation(InvitationLetter {
            team: name.to_owned(),
            applications: vec![name.to_owned()],
            ..invitation(name)
        }),
        Letter::EmailToken(token()),
        Letter::ResetToken(token()),
        Letter::PasswordChanged(circumstances(name)),
        Letter::NewBrowser(Circumstances {
            device: name.to_owned(),
            ..circumstances("With a password")
        }),
        Letter::RoleGained {
            at: NOW,
            roles: vec![name.to_owned()],
            team: Some(name.to_owned()),
            by: name.to_owned(),
        },
        Letter::Test { at: NOW },
    ]
}

#[test]
fn an_invitation_reads_as_drawn() {
    let written = Letter::Invitation(invitation("Ada Okafor")).write(&head()).unwrap();
    assert_eq!(written.subject, "Ada Okafor invited you to Northgate Lab");
    assert_eq!(
        written.text,
        "Join Assay Development\n\
         \n\
         Ada Okafor invited you to Northgate Lab, with access to Notebook and\n\
         Registry.\n\
         \n\
         Accept invitation:\n\
         https://gate.northgate.example/.portcullis/invite/EXAMPLE\n\
         \n\
         The link works until 14 March 2026, 14:29 UTC (48 hours). You can use it\n\
         again until you have finished registering.\n\
         \n\
         Not expecting this? Ignore it and nothing happens.\n\
         \n\
         -- \n\
         Sent by gate.northgate.example\n\
         Questions: it-help@northgate.example\n"
    );
    assert!(
        written
            .html
            .contains("href=\"https://gate.northgate.example/.portcullis/invite/EXAMPLE\"")
    );
}

#[test]
fn a_reset_token_reads_as_drawn() {
    let written = Letter::ResetToken(token()).write(&head()).unwrap();
    assert_eq!(written.subject, "Your Northgate Lab reset token");
    for words in [
        "    K7QF-2MXR\n",
        "https://gate.northgate.example/.portcullis/account/reset/token\n",
        "It works until 12 March 2026, 15:29 UTC (60 minutes), for 5 tries.",
        "Asked for from 203.0.113.7. Not you?",
    ] {
        assert!(written.text.contains(words), "{words:?} in {}", written.text);
    }
}

#[test]
fn a_house_without_a_name_or_help_writes_whole_sentences_too() {
    let bare = Letterhead {
        site: "portcullis".to_owned(),
        help: None,
        ..head()
    };
    for letter in all("Ada") {
        let written = letter.write(&bare).unwrap();
        assert!(
            !written.text.contains("Questions") && !written.html.contains("Questions"),
            "{}",
            written.text
        );
        assert!(!written.text.contains("Write to"), "{}", written.text);
    }
    let nobody = Letter::Invitation(invitation("")).write(&bare).unwrap();
    assert_eq!(nobody.subject, "You are invited to portcullis");
}

#[test]
fn no_name_breaks_a_line_turns_the_text_or_becomes_markup() {
    let names = [
        "Eve\r\nBcc: everybody@lab.example",
        "Eve\nX: y",
        "\u{202e}eve",
        "<b>Eve</b>",
        "Eve\u{0}\u{1b}[31m",
        "\"'&",
        "Eve \u{1f600} \u{0939}\u{093f}\u{0928}",
    ];
    for name in names {
        for letter in all(name) {
            let written = letter.write(&head()).unwrap();
            let kind = letter.kind();
            assert!(!written.subject.contains(['\r', '\n']), "{kind}: {:?}", written.subject);
            for part in [&written.subject, &written.text, &written.html] {
                assert!(!part.chars().any(|c| c != '\n' && is_unprintable(c)), "{kind}: {part}");
                assert!(
                    !part.lines().any(|line| line.starts_with("Bcc:") || line.starts_with("X: ")),
                    "{kind}: {part}"
                );
            }
            assert!(!written.html.contains("<b>"), "{kind}");
            assert!(!letter.title().contains(['\r', '\n']), "{kind}");
        }
    }
}

#[test]
fn no_letter_asks_another_host_for_anything() {
    for letter in all("Ada") {
        let written = letter.write(&head()).unwrap();
        let kind = letter.kind();
        for remote in ["<img", "src=", "url(", "@import", "<link", "<script", "http://"] {
            assert!(!written.html.contains(remote), "{kind}: {remote}");
        }
        for link in written.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let ours = link.starts_with("https://gate.northgate.example/.portcullis/") || link == "mailto:it-help@northgate.example";
            assert!(ours, "{kind}: {link}");
        }
        assert!(
            written
                .text
                .lines()
                .all(|line| line.chars().count() <= 78 || line.starts_with("https://")),
            "{kind}"
        );
    }
}

#[test]
fn lists_say_nothing_secret() {
    for letter in all("Ada") {
        assert!(!letter.title().contains("K7QF") && !letter.title().contains("EXAMPLE"));
    }
}
