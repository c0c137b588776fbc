//! Letters arrive, once: a mail server that is down, slow, busy or refusing loses none and doubles none.

use std::time::Duration;

use portcullis::model::id::UserId;
use portcullis::model::message::{Failure, Message, MessageKind, MessageState};

use crate::support::browser::{Browser, Reply};
use crate::support::house::{House, PASSWORD, POLICY, PORTAL, sign_in};
use crate::support::post::{Arrived, Manner, Post, Speaks};

const NEW: &str = "harbour quilt sandal 4";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A gateway that sends its mail to a server of its own, with an administrator and ada in it.
async fn house() -> (House, Post) {
    let post = Post::start(Speaks::Clear).await;
    let house = House::with(&format!("site.name = \"Lab\"\n{}", post.settings()), POLICY).await;
    house.add("root").await;
    house.add("ada").await;
    (house, post)
}

async fn user(house: &House, name: &str) -> UserId {
    house.running.desk.app.accounts.user_named(name).await.unwrap().unwrap().id
}

async fn letters(house: &House, name: &str) -> Vec<Message> {
    let user = user(house, name).await;
    house.running.desk.app.accounts.letters_about(user).await.unwrap()
}

/// Waits until the newest letter to somebody stands so.
async fn until(house: &House, name: &str, stands: impl Fn(&Message) -> bool) -> Message {
    let waiting = async {
        loop {
            if let Some(letter) = letters(house, name).await.into_iter().next().filter(|letter| stands(letter)) {
                return letter;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), waiting).await {
        Ok(letter) => letter,
        Err(_) => panic!("{:?}", letters(house, name).await),
    }
}

fn was_tried(times: u32) -> impl Fn(&Message) -> bool {
    move |letter| letter.tries == times
}

/// Has the sender look again, as it does by itself when time has passed.
fn look_again(house: &House) {
    house.running.desk.app.accounts.hurry_letters();
}

async fn ask(house: &House, email: &str) -> Reply {
    house
        .browser()
        .fill(&format!("{PORTAL}/.portcullis/account/reset"), &[("email", email)])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_somebody_asks_for_is_mailed_to_them_and_shown_to_no_administrator() {
    let (house, post) = house().await;
    let page = ask(&house, "ADA@example.org").await;
    assert!(
        page.words().contains("a reset token is on its way. It comes by email."),
        "{}",
        page.words()
    );
    let letter = post.wait_for_taken(1).await.remove(0);
    assert_eq!((letter.from.as_str(), letter.to.as_str()), ("gate@lab.example", "ada@example.org"));
    assert_eq!(letter.header("From").as_deref(), Some("Gate <gate@lab.example>"));
    assert_eq!(letter.header("Subject").as_deref(), Some("Your Lab reset token"));
    assert_eq!(letter.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    let sent = until(&house, "ada", |letter| matches!(letter.state, MessageState::Sent { .. })).await;
    assert_eq!(letter.header("Message-ID"), Some(format!("<{}@lab.example>", sent.id)));
    assert!(
        letter.text().contains(&format!("{PORTAL}/.portcullis/account/reset/token")),
        "{}",
        letter.text()
    );
    let token = letter.token();
    assert!(letter.html().contains(&token));

    let mut root = sign_in(&house, "root").await;
    let ada = user(&house, "ada").await;
    for path in ["/admin/users", "/admin/users?status=reset", &format!("/admin/users/{ada}")] {
        let page = root.open(&format!("{PORTAL}/.portcullis{path}")).await;
        assert_eq!(page.status, 200);
        assert!(!page.text().contains(&token), "{path}");
        assert!(!page.text().contains("tag warn\">Reset requested"), "{path}");
    }
    let stored = serde_json::to_string(&sent).unwrap();
    assert!(
        !stored.contains(&token) && !stored.contains("\"letter\":{"),
        "what it said is wiped: {stored}"
    );

    let reset = house
        .browser()
        .fill(
            &format!("{PORTAL}/.portcullis/account/reset/token"),
            &[("email", "ada@example.org"), ("token", &token), ("new-password", NEW)],
        )
        .await;
    assert_eq!(reset.url.path(), "/.portcullis/", "{}", reset.words());
    let notice = post.wait_for_taken(2).await.remove(1);
    assert_eq!(notice.header("Subject").as_deref(), Some("Your Lab password was changed"));
    assert!(notice.text().contains("How: With a reset token"), "{}", notice.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_has_gets_the_same_answer_and_no_letter() {
    let (house, post) = house().await;
    let known = ask(&house, "ada@example.org").await;
    let unknown = ask(&house, "eve@example.org").await;
    assert_eq!(known.status, unknown.status);
    assert_eq!(known.words().replace("ada", "eve"), unknown.words());
    ask(&house, "root@example.org").await;
    let arrived = post.wait_for(2).await;
    let to: Vec<&str> = arrived.iter().map(|letter| letter.to.as_str()).collect();
    assert_eq!(to, ["ada@example.org", "root@example.org"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_click_sends_no_second_token_and_a_later_one_ends_the_first() {
    let (house, post) = house().await;
    ask(&house, "ada@example.org").await;
    ask(&house, "ada@example.org").await;
    let first = post.wait_for_taken(1).await.remove(0).token();
    house.wait(10 * MINUTE);
    ask(&house, "ada@example.org").await;
    let letters = post.wait_for_taken(2).await;
    assert_eq!(letters.len(), 2);
    let second = letters[1].token();
    assert_ne!(first, second);
    let try_with = async |token: &str| {
        let fields = [("email", "ada@example.org"), ("token", token), ("new-password", NEW)];
        house
            .browser()
            .fill(&format!("{PORTAL}/.portcullis/account/reset/token"), &fields)
            .await
            .status
    };
    assert_eq!(try_with(&first).await, 422);
    assert_eq!(try_with(&second).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_an_administrator_handed_over_is_mailed_as_it_is() {
    let (house, post) = house().await;
    let mut root = sign_in(&house, "root").await;
    let ada = user(&house, "ada").await;
    let page = root.open(&format!("{PORTAL}/.portcullis/admin/users/{ada}")).await;
    let csrf = page.form_with(["csrf"].into_iter());
    let value = &csrf.hidden.iter().find(|(name, _)| name == "csrf").unwrap().1;
    root.submit(&format!("{PORTAL}/.portcullis/admin/users/{ada}/token"), &[("csrf", value)])
        .await;
    let shown = root.open(&format!("{PORTAL}/.portcullis/admin/users/{ada}")).await.text();
    ask(&house, "ada@example.org").await;
    let token = post.wait_for_taken(1).await.remove(0).token();
    assert!(shown.contains(&token), "asking takes nothing from who was just handed one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_down_loses_nothing_and_gets_each_letter_once_when_it_is_back() {
    let (house, post) = house().await;
    house.add("bo").await;
    post.go_down().await;
    ask(&house, "ada@example.org").await;
    let put_off = until(&house, "ada", was_tried(1)).await;
    assert!(put_off.said().contains("cannot be reached"), "{put_off:?}");
    // It is left alone for a minute, and letters written meanwhile wait.
    house.wait(Duration::from_secs(1));
    ask(&house, "bo@example.org").await;
    house.wait(20 * MINUTE);
    look_again(&house);
    until(&house, "ada", was_tried(2)).await;
    post.come_back().await;
    house.wait(5 * MINUTE);
    look_again(&house);
    let arrived = post.wait_for_taken(2).await;
    let mut to: Vec<&str> = arrived.iter().map(|letter| letter.to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["ada@example.org", "bo@example.org"]);
    until(&house, "bo", |letter| matches!(letter.state, MessageState::Sent { .. })).await;
    house.wait(2 * HOUR);
    look_again(&house);
    ask(&house, "root@example.org").await;
    assert_eq!(post.wait_for(3).await[2].to, "root@example.org", "and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_in_time_gets_the_same_letter_again_under_the_same_name() {
    let (house, post) = house().await;
    post.behave(Manner::Silent);
    ask(&house, "ada@example.org").await;
    let put_off = until(&house, "ada", was_tried(1)).await;
    assert!(put_off.said().contains("no answer within"), "{put_off:?}");
    post.behave(Manner::Takes);
    house.wait(MINUTE);
    look_again(&house);
    let letters: Vec<Arrived> = post.wait_for(2).await;
    assert_eq!(letters[0].header("Message-ID"), letters[1].header("Message-ID"));
    assert_eq!(letters[0].token(), letters[1].token());
    assert!(!letters[0].taken && letters[1].taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_for_good_is_not_written_to_again_and_holds_up_nobody() {
    let (house, post) = house().await;
    house.add("bo").await;
    post.behave(Manner::Recipient("550 5.1.1 no such user\u{1b}[31m here"));
    ask(&house, "ada@example.org").await;
    let bounced = until(&house, "ada", |letter| letter.tries == 1).await;
    let MessageState::Failed { why, said, .. } = &bounced.state else {
        panic!("{bounced:?}")
    };
    assert_eq!((*why, said.as_str()), (Failure::Bounced, "550 5.1.1 no such user [31m here"));
    post.behave(Manner::Takes);
    ask(&house, "bo@example.org").await;
    assert_eq!(post.wait_for(1).await[0].to, "bo@example.org");
    house.wait(26 * HOUR);
    look_again(&house);
    ask(&house, "root@example.org").await;
    let arrived = post.wait_for(2).await;
    assert_eq!((arrived.len(), arrived[1].to.as_str()), (2, "root@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_for_now_is_tried_again_later_and_later() {
    let (house, post) = house().await;
    post.behave(Manner::Recipient("451 4.7.1 greylisted, come again"));
    let mut root = sign_in(&house, "root").await;
    root.fill(
        &format!("{PORTAL}/.portcullis/me/security"),
        &[("current-password", PASSWORD), ("new-password", NEW)],
    )
    .await;
    for (tries, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let letter = until(&house, "root", was_tried(tries)).await;
        let next = letter.next_try().unwrap();
        assert_eq!(next.since(house.clock.now()), wait * MINUTE, "{letter:?}");
        house.wait(wait * MINUTE);
        if tries == 4 {
            post.behave(Manner::Takes);
        }
        look_again(&house);
    }
    let arrived = post.wait_for_taken(1).await;
    assert_eq!(arrived[0].header("Subject").as_deref(), Some("Your Lab password was changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_us_rather_than_a_letter_bounces_none() {
    let (house, post) = house().await;
    for (tries, manner) in [
        (1, Manner::Sender("550 5.7.1 not from you")),
        (2, Manner::Busy),
        (3, Manner::Letter("421 4.3.2 going down")),
        (4, Manner::Hangs),
    ] {
        post.behave(manner.clone());
        if tries == 1 {
            ask(&house, "ada@example.org").await;
        } else {
            house.wait(10 * MINUTE);
            look_again(&house);
        }
        let letter = until(&house, "ada", was_tried(tries)).await;
        assert!(matches!(letter.state, MessageState::Waiting { .. }), "{manner:?}: {letter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_is_not_sent_any_more_and_is_wiped() {
    let (house, post) = house().await;
    post.go_down().await;
    ask(&house, "ada@example.org").await;
    until(&house, "ada", was_tried(1)).await;
    house.wait(HOUR);
    post.come_back().await;
    look_again(&house);
    let outdated = until(&house, "ada", |letter| matches!(letter.state, MessageState::Failed { .. })).await;
    assert!(
        matches!(
            outdated.state,
            MessageState::Failed {
                why: Failure::Outdated,
                ..
            }
        ),
        "{outdated:?}"
    );
    assert!(!serde_json::to_string(&outdated).unwrap().contains("\"letter\":{"));
    assert!(post.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_letter_of_an_hour_is_not_sent() {
    let (house, post) = house().await;
    for _ in 0..8 {
        let page = ask(&house, "ada@example.org").await;
        assert!(page.words().contains("on its way"), "{}", page.words());
        house.wait(2 * MINUTE);
    }
    ask(&house, "root@example.org").await;
    let arrived = post.wait_for(6).await;
    let to_ada = arrived.iter().filter(|letter| letter.to == "ada@example.org").count();
    assert_eq!((to_ada, arrived.len()), (5, 6));
    // What is asked for then changes nothing: the last token that was mailed still works.
    let last = arrived.iter().rfind(|letter| letter.to == "ada@example.org").unwrap().token();
    let fields = [("email", "ada@example.org"), ("token", &*last), ("new-password", NEW)];
    let reset = house
        .browser()
        .fill(&format!("{PORTAL}/.portcullis/account/reset/token"), &fields)
        .await;
    assert_eq!(reset.status, 200, "{}", reset.words());
    let notice = &post.wait_for(7).await[6];
    assert_eq!(
        notice.header("Subject").as_deref(),
        Some("Your Lab password was changed"),
        "of that one is told all the same"
    );
    house.wait(HOUR);
    ask(&house, "ada@example.org").await;
    assert_eq!(post.wait_for(8).await[7].to, "ada@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_new_to_somebody_is_told_of_and_one_that_is_not_is_not() {
    let (house, post) = house().await;
    let mut first = sign_in(&house, "ada").await;
    first.fill(&format!("{PORTAL}/.portcullis/sign-out"), &[]).await;
    let again = [("username", "ada"), ("password", PASSWORD)];
    first.fill(&format!("{PORTAL}/.portcullis/sign-in"), &again).await;
    assert!(
        letters(&house, "ada").await.is_empty(),
        "neither the first of all nor the same again"
    );
    sign_in(&house, "root").await;
    // One who has signed in with it before, but as somebody else.
    let mut shared = sign_in(&house, "root").await;
    shared.fill(&format!("{PORTAL}/.portcullis/sign-out"), &[]).await;
    shared.fill(&format!("{PORTAL}/.portcullis/sign-in"), &again).await;
    let told = until(&house, "ada", |_| true).await;
    assert_eq!(told.kind, MessageKind::NewBrowser);
    let arrived = post.wait_for_taken(2).await;
    let ada = arrived.iter().find(|letter| letter.to == "ada@example.org").unwrap();
    assert_eq!(ada.header("Subject").as_deref(), Some("New sign-in to Lab"));
    assert!(ada.text().contains("From: 127.0.0.1"), "{}", ada.text());
    // Both are known to it now.
    for name in ["root", "ada"] {
        shared.fill(&format!("{PORTAL}/.portcullis/sign-out"), &[]).await;
        shared
            .fill(
                &format!("{PORTAL}/.portcullis/sign-in"),
                &[("username", name), ("password", PASSWORD)],
            )
            .await;
    }
    assert_eq!(letters(&house, "ada").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_nothing_is_written_and_the_administrator_has_the_token() {
    let house = House::new().await;
    house.add("root").await;
    house.add("ada").await;
    let page = ask(&house, "ada@example.org").await;
    assert!(page.words().contains("it comes from an administrator"), "{}", page.words());
    let mut root = sign_in(&house, "root").await;
    let list = root.open(&format!("{PORTAL}/.portcullis/admin/users?status=reset")).await;
    assert!(list.words().contains("ada@example.org"), "{}", list.words());
    assert!(letters(&house, "ada").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_tell_of_letters() {
    let (house, post) = house().await;
    post.behave(Manner::Recipient("550 no"));
    ask(&house, "ada@example.org").await;
    until(&house, "ada", was_tried(1)).await;
    post.behave(Manner::Takes);
    ask(&house, "root@example.org").await;
    until(&house, "root", was_tried(1)).await;
    portcullis::server::chores::all(&house.running.desk).await;
    let figures = house.management("/metrics").await.text();
    for line in [
        "portcullis_mail_total{outcome=\"sent\"} 1",
        "portcullis_mail_total{outcome=\"failed\"} 1",
        "portcullis_outbox{state=\"failed\"} 1",
        "portcullis_outbox{state=\"waiting\"} 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_what_became_of_letters_and_has_them_tried_again() {
    const OUTBOX: &str = "http://portal.localhost/.portcullis/admin/mail";
    let (house, post) = house().await;
    post.behave(Manner::Recipient("550 <b>no</b> such user"));
    ask(&house, "ada@example.org").await;
    let bounced = until(&house, "ada", was_tried(1)).await;
    post.behave(Manner::Recipient("451 come again"));
    house.wait(MINUTE);
    ask(&house, "root@example.org").await;
    let waiting = until(&house, "root", was_tried(1)).await;

    let mut root = sign_in(&house, "root").await;
    let list = root.open(OUTBOX).await;
    for words in [
        "ada@example.orgYour reset tokenFailed550 &#60;b&#62;no&#60;/b&#62; such user. Not tried again.",
        "root@example.orgYour reset tokenWaiting451 come again. Next try in a minute, tried once.",
    ] {
        assert!(list.words().contains(words), "{words}: {}", list.words());
    }
    let failed = root.open(&format!("{OUTBOX}?status=failed")).await.words();
    assert!(
        failed.contains("ada@example.org") && !failed.contains("root@example.orgYour"),
        "{failed}"
    );

    let csrf = list
        .form_with(["csrf"].into_iter())
        .hidden
        .iter()
        .find(|(name, _)| name == "csrf")
        .unwrap()
        .1
        .clone();
    let csrf = [("csrf", &*csrf)];
    post.behave(Manner::Takes);
    let tried = root.submit(&format!("{OUTBOX}/{}/again", bounced.id), &csrf).await;
    assert!(tried.words().contains("The message is tried now."), "{}", tried.words());
    assert_eq!(post.wait_for_taken(1).await[0].to, "ada@example.org");
    until(&house, "ada", |letter| matches!(letter.state, MessageState::Sent { .. })).await;
    let gone = root.submit(&format!("{OUTBOX}/{}/again", bounced.id), &csrf).await;
    assert_eq!(gone.status, 409, "{}", gone.words());

    let given_up = root.submit(&format!("{OUTBOX}/{}/give-up", waiting.id), &csrf).await;
    assert!(given_up.words().contains("Given up by an administrator."), "{}", given_up.words());
    house.wait(HOUR);
    look_again(&house);
    root.submit(&format!("{OUTBOX}/test"), &csrf).await;
    let arrived = post.wait_for_taken(2).await;
    assert_eq!(arrived[1].header("Subject").as_deref(), Some("Test message from Lab"));

    assert_eq!(
        root.submit(&format!("{OUTBOX}/m-00000000000000000000000001/again"), &csrf)
            .await
            .status,
        404
    );
    for _ in 0..4 {
        root.submit(&format!("{OUTBOX}/test"), &csrf).await;
    }
    let limited = root.submit(&format!("{OUTBOX}/test"), &csrf).await;
    assert_eq!(limited.status, 429, "{}", limited.words());
    assert!(limited.header("retry-after").is_some());
    let mut ada = sign_in(&house, "ada").await;
    assert_eq!(ada.open(OUTBOX).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_whose_letter_bounced_says_so_until_it_is_sent_again() {
    const INVITATIONS: &str = "http://portal.localhost/.portcullis/admin/invitations";
    let (house, post) = house().await;
    let mut root = sign_in(&house, "root").await;
    post.behave(Manner::Recipient("550 5.1.1 no such user"));
    let page = root.open(&format!("{INVITATIONS}/new?team=main")).await;
    let sent = root
        .fill_in(&page, &[("team", "main"), ("email", "sam@example.org"), ("do", "send")])
        .await;
    assert!(sent.words().contains("Invitation sent to sam@example.org."), "{}", sent.words());
    let bounced = async |root: &mut Browser, wanted: bool| {
        let listed = async {
            while root
                .open(&format!("{INVITATIONS}?status=bounced"))
                .await
                .words()
                .contains("sam@example.org")
                != wanted
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listed).await.unwrap();
        root.open(INVITATIONS).await
    };
    let listed = bounced(&mut root, true).await;
    assert!(listed.words().contains("Email bounced"), "{}", listed.words());
    let health = root.open("http://portal.localhost/.portcullis/admin/health").await.words();
    assert!(health.contains("Mail: message refused"), "{health}");
    assert!(health.contains("550 5.1.1 no such user"), "{health}");

    post.behave(Manner::Takes);
    root.fill_in(&listed, &[("do", "resend")]).await;
    let listed = bounced(&mut root, false).await;
    assert!(listed.words().contains("sam@example.org"), "{}", listed.words());
    assert_eq!(post.wait_for_taken(1).await[0].to, "sam@example.org");
    let health = async {
        while !root
            .open("http://portal.localhost/.portcullis/admin/health")
            .await
            .words()
            .contains("Nothing needs attention")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), health).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn system_health_says_that_letters_are_not_taken() {
    let (house, post) = house().await;
    post.go_down().await;
    ask(&house, "ada@example.org").await;
    until(&house, "ada", was_tried(1)).await;
    let mut root = sign_in(&house, "root").await;
    let health = async {
        loop {
            let words = root.open("http://portal.localhost/.portcullis/admin/health").await.words();
            if words.contains("Mail: messages not taken") && words.contains("1 message waits; last tried") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), health).await.unwrap();
}
