//! Letters go with the deed they tell of, and no further.

use super::*;
use crate::mail::letters::Letter;
use crate::model::event::{Actor, Event};
use crate::model::message::{About, MessageKind, MessageStanding};
use crate::store::Commit;

fn with_mail() -> House {
    House::with(HouseRules {
        mail: true,
        ..HouseRules::default()
    })
}

async fn kinds(house: &House, user: UserId) -> Vec<MessageKind> {
    let letters = house.accounts.letters_about(user).await.unwrap();
    assert!(letters.iter().all(|letter| letter.standing() == MessageStanding::Waiting));
    letters.iter().map(|letter| letter.kind).collect()
}

#[tokio::test]
async fn a_role_that_is_given_is_told_and_one_that_was_there_is_not() {
    let house = with_mail();
    house.add("first@lab.example", Some(GOOD)).await;
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    let pending = house.add("bo@lab.example", None).await.user.id;
    for user in [ada, ada, pending] {
        let by = Acting::command_line();
        house.accounts.set_admin(user, true, &by, house.now()).await.unwrap();
    }
    assert_eq!(kinds(&house, ada).await, [MessageKind::RoleGained]);
    assert_eq!(kinds(&house, pending).await, [], "who has not registered yet");
    house
        .accounts
        .set_admin(ada, false, &Acting::command_line(), house.now())
        .await
        .unwrap();
    assert_eq!(kinds(&house, ada).await.len(), 1, "what is taken is not told");
}

#[tokio::test]
async fn no_more_than_five_letters_an_hour_go_to_one_address() {
    let house = with_mail();
    let to = "ada@lab.example".parse().unwrap();
    for _ in 0..5 {
        assert_eq!(house.accounts.may_write_to(&to, house.now()).await, Ok(Ok(())));
    }
    let upper = "ADA@lab.example".parse().unwrap();
    assert!(house.accounts.may_write_to(&upper, house.now()).await.unwrap().is_err());
    let other = "bo@lab.example".parse().unwrap();
    assert_eq!(house.accounts.may_write_to(&other, house.now()).await, Ok(Ok(())));
    house.clock.advance(HOUR);
    assert_eq!(house.accounts.may_write_to(&to, house.now()).await, Ok(Ok(())));
}

#[tokio::test]
async fn where_no_mail_is_set_up_nothing_is_written() {
    let house = House::new();
    house.add("first@lab.example", Some(GOOD)).await;
    let ada = house.add("ada@lab.example", Some(GOOD)).await.user.id;
    house
        .accounts
        .set_admin(ada, true, &Acting::command_line(), house.now())
        .await
        .unwrap();
    assert_eq!(kinds(&house, ada).await, []);
}

/// Writes letters about invitations to a team, one each second.
async fn write(house: &House, team: &str, count: usize) {
    for number in 0..count {
        let to = format!("{team}{number}@lab.example").parse().unwrap();
        let letter = Letter::Test { at: house.now() };
        let about = About::invitation(&number, team.parse().unwrap());
        let event = Event::new(Action::MailTest, Actor::System, house.now());
        let commit = house
            .accounts
            .with_letter(Commit::because(event), &to, &letter, about, house.now())
            .unwrap();
        house.accounts.store.commit(commit).await.unwrap();
        house.clock.advance(Duration::from_secs(1));
    }
}

fn of_teams(teams: &[&str]) -> Acting {
    Acting {
        reach: Reach::Teams(teams.iter().map(|team| team.parse().unwrap()).collect()),
        ..Acting::command_line()
    }
}

#[tokio::test]
async fn letters_are_listed_the_newest_first_a_page_at_a_time_and_back_again() {
    let house = with_mail();
    write(&house, "lab", 5).await;
    write(&house, "office", 2).await;
    let all = Acting::command_line();
    let page = async |standing, page, by: &Acting| {
        let found = house.accounts.list_letters(standing, page, 3, by).await.unwrap();
        let to: Vec<String> = found
            .letters
            .iter()
            .map(|letter| letter.to.to_string().replace("@lab.example", ""))
            .collect();
        (to.join(" "), found.newer, found.older, found.letters)
    };
    for (name, by, pages) in [
        ("everything", &all, ["office1 office0 lab4", "lab3 lab2 lab1", "lab0"]),
        (
            "two teams",
            &of_teams(&["lab", "office"]),
            ["office1 office0 lab4", "lab3 lab2 lab1", "lab0"],
        ),
        ("one team", &of_teams(&["lab"]), ["lab4 lab3 lab2", "lab1 lab0", ""]),
    ] {
        let first = page(None, LetterPage::First, by).await;
        assert_eq!((first.0.as_str(), first.1, first.2), (pages[0], false, true), "{name}");
        let second = page(None, LetterPage::After(first.3[2].id), by).await;
        assert_eq!(
            (second.0.as_str(), second.1, second.2),
            (pages[1], true, !pages[2].is_empty()),
            "{name}"
        );
        let back = page(None, LetterPage::Before(second.3[0].id), by).await;
        assert_eq!((back.0.as_str(), back.1, back.2), (pages[0], false, true), "{name}");
        if !pages[2].is_empty() {
            let third = page(None, LetterPage::After(second.3[2].id), by).await;
            assert_eq!((third.0.as_str(), third.1, third.2), (pages[2], true, false), "{name}");
            let back = page(None, LetterPage::Before(third.3[0].id), by).await;
            assert_eq!((back.0.as_str(), back.1, back.2), (pages[1], true, true), "{name}");
        }
    }
    assert_eq!(page(None, LetterPage::First, &of_teams(&["other"])).await.0, "");
    let waiting = page(Some(MessageStanding::Waiting), LetterPage::First, &all).await;
    assert_eq!(waiting.0, "office1 office0 lab4");
    assert_eq!(page(Some(MessageStanding::Failed), LetterPage::First, &all).await.0, "");
}

#[tokio::test]
async fn letters_of_other_teams_are_not_found() {
    let house = with_mail();
    write(&house, "lab", 1).await;
    let letter = house.accounts.letters_about_invitation("0").await.unwrap().remove(0);
    let (ours, theirs) = (of_teams(&["lab"]), of_teams(&["office"]));
    let again = async |by| house.accounts.send_letter_again(letter.id, by, house.now()).await.unwrap();
    assert_eq!(again(&theirs).await, SendOutcome::NotFound);
    assert_eq!(house.accounts.give_letter_up(letter.id, &theirs, house.now()).await.unwrap(), None);
    assert_eq!(again(&ours).await, SendOutcome::Waits);
    assert_eq!(
        house.accounts.give_letter_up(letter.id, &ours, house.now()).await.unwrap(),
        Some(true)
    );
    assert_eq!(again(&ours).await, SendOutcome::Gone, "what was given up is wiped");
}

#[tokio::test]
async fn a_letter_is_noted_as_sent_whatever_became_of_it_meanwhile() {
    let house = with_mail();
    write(&house, "lab", 1).await;
    let letter = house.accounts.letters_about_invitation("0").await.unwrap().remove(0);
    let by = Acting::command_line();
    assert_eq!(
        house.accounts.give_letter_up(letter.id, &by, house.now()).await.unwrap(),
        Some(true)
    );
    let note = async |given| house.accounts.note_given(letter.id, &given, house.now()).await.unwrap();
    assert_eq!(note(Given::PutOff("451".to_owned())).await, Some(MessageStanding::Failed));
    assert_eq!(note(Given::Taken("250".to_owned())).await, Some(MessageStanding::Sent));
    let gone = note(Given::Bounced("550".to_owned())).await;
    assert_eq!(gone, Some(MessageStanding::Sent), "and stays so");
}

#[tokio::test]
async fn a_browser_remembers_the_last_people_and_nobody_else_makes_their_mark() {
    let house = with_mail();
    let accounts = &house.accounts;
    let people: Vec<UserId> = (1..=10).map(UserId::from_number).collect();
    let mut marks = String::new();
    for person in &people {
        marks = accounts.mark_browser(&marks, *person);
    }
    assert_eq!(marks.split('.').count(), 8);
    assert_eq!(accounts.mark_browser(&marks, people[9]), marks, "twice is once");
    let other = with_mail();
    assert_ne!(other.accounts.mark_browser("", people[0]), accounts.mark_browser("", people[0]));
    assert_eq!(
        accounts.mark_browser("rubbish..;=", people[0]),
        accounts.mark_browser("", people[0])
    );
}
