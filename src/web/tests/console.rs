//! What the console shows and to whom: everybody's sessions, decisions, the audit trail, files.

use std::time::Duration;

use http::StatusCode;

use super::browser::{ADA, GOOD, House};

const SESSIONS: &str = "/.portcullis/admin/sessions";

#[tokio::test]
async fn sessions_are_found_by_person_and_by_address_and_ended() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    house.person_of_the_office().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    let mut office = house.signed_in("cy", GOOD).await;
    house.come_from("203.0.113.9");
    let mut away = house.signed_in("bo", GOOD).await;
    house.come_from("192.0.2.7");

    let all = ada.get(SESSIONS).await;
    assert_eq!(all.text.matches("<td role=\"cell\" class=\"lead\"").count(), 4, "{}", all.text);
    assert_eq!(all.text.matches("This session").count(), 1);
    let found = ada.get(&format!("{SESSIONS}?q=CY")).await;
    assert!(
        found.text.contains("Cy Office") && !found.text.contains("Bo Diaz"),
        "{}",
        found.text
    );
    let found = ada.get(&format!("{SESSIONS}?q=203.0.113.9")).await;
    assert!(
        found.text.contains("Bo Diaz") && !found.text.contains("Cy Office"),
        "{}",
        found.text
    );
    let nobody = ada.get(&format!("{SESSIONS}?q=nobody")).await;
    assert!(nobody.text.contains("No session matches “nobody”"), "{}", nobody.text);

    let id = format!("s{}", found.between("name=\"end\" value=\"s", "\""));
    let done = ada.submit_to(&found, SESSIONS, &[("end", id.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(ada.get(done.location()).await.text.contains("The session is ended."));
    assert_eq!(away.get("/.portcullis/").await.status, StatusCode::FOUND);
    assert_eq!(bo.get("/.portcullis/").await.status, StatusCode::OK);

    // All from an address end, but for the one that says so.
    let found = ada.get(&format!("{SESSIONS}?q=192.0.2.7")).await;
    assert!(found.text.contains("End all from 192.0.2.7"), "{}", found.text);
    let done = ada.submit_to(&found, SESSIONS, &[("address", "192.0.2.7")]).await;
    assert!(ada.get(done.location()).await.text.contains("2 sessions are ended."));
    for browser in [&mut bo, &mut office] {
        assert_eq!(browser.get("/.portcullis/").await.status, StatusCode::FOUND);
    }
    assert_eq!(ada.get("/.portcullis/").await.status, StatusCode::OK);

    let mut bo = house.signed_in("bo", GOOD).await;
    let found = ada.get(&format!("{SESSIONS}?q=bo")).await;
    let user = found.between("name=\"user\" value=\"", "\"").to_owned();
    let done = ada.submit_to(&found, SESSIONS, &[("user", user.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(bo.get("/.portcullis/").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_teams_administrator_sees_and_ends_sessions_of_the_team_only() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.member("mia", "assay", None).await;
    let out = house.member("oto", "other", None).await;
    let mut lee = house.signed_in("lee", GOOD).await;
    let mut mia = house.signed_in("mia", GOOD).await;
    let mut oto = house.signed_in("oto", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let whole = ada.get(&format!("{SESSIONS}?q=oto")).await;
    let his = format!("s{}", whole.between("name=\"end\" value=\"s", "\""));

    let page = lee.get(SESSIONS).await;
    assert!(page.text.contains("mia Member"), "{}", page.text);
    for stranger in ["oto", "Ada Okafor"] {
        assert!(!page.text.contains(stranger), "{stranger}: {}", page.text);
    }
    for search in ["oto", "Okafor"] {
        let found = lee.get(&format!("{SESSIONS}?q={search}")).await;
        assert!(found.text.contains("No session matches"), "{}", found.text);
    }
    let found = lee.get(&format!("{SESSIONS}?q=192.0.2.7")).await;
    assert!(!found.text.contains("Ada Okafor"), "{}", found.text);
    for fields in [[("end", his.as_str())], [("user", out.as_str())]] {
        let refused = lee.submit_to(&page, SESSIONS, &fields).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{fields:?}");
    }
    let done = lee.submit_to(&page, SESSIONS, &[("address", "192.0.2.7")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(mia.get("/.portcullis/").await.status, StatusCode::FOUND);
    for browser in [&mut oto, &mut ada] {
        assert_eq!(browser.get("/.portcullis/").await.status, StatusCode::OK, "out of reach");
    }
}

#[tokio::test]
async fn the_menu_has_what_the_person_may_open() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.person("bo", GOOD).await;
    let mut lee = house.signed_in("lee", GOOD).await;
    let mut bo = house.signed_in("bo", GOOD).await;
    assert_eq!(lee.get("/.portcullis/admin").await.location(), "/.portcullis/admin/users");
    assert_eq!(bo.get("/.portcullis/admin").await.status, StatusCode::FORBIDDEN);
    assert!(!bo.get("/.portcullis/").await.text.contains(">Admin</a>"));
    let mut ada = house.signed_in(ADA, GOOD).await;
    for (browser, all) in [(&mut lee, false), (&mut ada, true)] {
        let page = browser.get("/.portcullis/admin/users").await;
        for one in crate::web::view::CONSOLE.iter().flat_map(|group| group.links) {
            let address = format!("href=\"/.portcullis{}\"", one.link.path);
            let offered = page.text.contains(&address);
            let answer = browser.get(&format!("/.portcullis{}", one.link.path)).await;
            assert_eq!(offered, answer.status == StatusCode::OK, "{}", one.link.path);
            assert!(offered || !all, "{}", one.link.path);
        }
    }
}

#[tokio::test]
async fn a_decision_is_explained_by_its_request_and_any_other_by_person_and_address() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    house.person_of_the_office().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let mut cy = house.signed_in("cy", GOOD).await;
    house.come_from("203.0.113.7");
    let denied = cy.get("/.portcullis/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let request = denied.header("x-request-id").to_owned();
    house.come_from("192.0.2.7");

    let empty = ada.get("/.portcullis/admin/explain").await;
    assert!(!empty.text.contains("Decided with"), "{}", empty.text);
    let told = ada.get(&format!("/.portcullis/admin/explain?rid={request}")).await;
    for said in [
        "Cy Office",
        "ip-user",
        "OUTSIDE its IP pattern office",
        "policies/lab.toml:2",
        "203.0.113.7",
        &request,
    ] {
        assert!(told.text.contains(said), "{said}: {}", told.text);
    }
    let unknown = ada.get("/.portcullis/admin/explain?rid=r-nothing").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        unknown.text.contains("No decision or request of this ID is remembered"),
        "{}",
        unknown.text
    );

    let address = "/.portcullis/admin/explain?user=bo&app=inventory&path=/stock&ip=192.0.2.7";
    let told = ada.get(address).await;
    for said in [
        "Denied",
        "role-missing",
        "https://inventory.example/stock",
        "To allow",
        "bo@lab.example",
        "policies/lab.toml:",
    ] {
        assert!(told.text.contains(said), "{said}: {}", told.text);
    }
    let allowed = ada.get("/.portcullis/admin/explain?user=bo&app=eln&path=/a&ip=192.0.2.7").await;
    assert!(
        allowed.text.contains("Allowed") && !allowed.text.contains("To allow"),
        "{}",
        allowed.text
    );
    let whole = ada.get("/.portcullis/admin/explain?path=https%3A%2F%2Feln.example%2Fa").await;
    assert!(
        whole.text.contains("Sign-in needed") && whole.text.contains("Nobody signed in"),
        "{}",
        whole.text
    );
    let wrong = ada.get("/.portcullis/admin/explain?user=nobody&path=/&ip=300.1.1.1&app=eln").await;
    assert!(
        wrong.text.contains("There is nobody of this name") && wrong.text.contains("Enter an address like"),
        "{}",
        wrong.text
    );
}

#[tokio::test]
async fn a_teams_administrator_explains_and_reads_of_the_team_only() {
    let house = House::with_admin().await;
    house.member("lee", "assay", Some("lead")).await;
    house.member("mia", "assay", None).await;
    house.member("oto", "other", None).await;
    house.person_of_the_office().await;
    let mut lee = house.signed_in("lee", GOOD).await;
    house.signed_in("mia", GOOD).await;
    house.signed_in("oto", GOOD).await;
    let mut cy = house.signed_in("cy", GOOD).await;
    house.come_from("203.0.113.7");
    let request = cy.get("/.portcullis/").await.header("x-request-id").to_owned();
    house.come_from("192.0.2.7");

    let own = lee.get("/.portcullis/admin/explain?user=mia&app=eln&path=/&ip=192.0.2.7").await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text);
    for address in [
        format!("/.portcullis/admin/explain?rid={request}"),
        "/.portcullis/admin/explain?user=oto&app=eln&path=/".to_owned(),
    ] {
        let refused = lee.get(&address).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}");
        assert!(!refused.text.contains("Decided with"), "{}", refused.text);
    }
    let trail = lee.get("/.portcullis/admin/audit").await;
    assert!(
        trail.text.contains("mia Member") && trail.text.contains("Signed in"),
        "{}",
        trail.text
    );
    for hidden in ["oto", "Okafor", "Cy Office", "Download CSV", "Check the chain"] {
        assert!(!trail.text.contains(hidden), "{hidden}: {}", trail.text);
    }
    let found = lee.get("/.portcullis/admin/audit?q=oto").await;
    assert!(found.text.contains("No entry matches"), "{}", found.text);
    for whole in [
        "/admin/audit/export?format=csv",
        "/admin/policy",
        "/admin/health",
        "/admin/identity-providers",
    ] {
        let refused = lee.get(&format!("/.portcullis{whole}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{whole}");
    }
    let applications = lee.get("/.portcullis/admin/applications").await;
    assert!(
        applications.text.contains("Notebook") && !applications.text.contains("Inventory"),
        "what the team may give: {}",
        applications.text
    );
    let other = lee.get("/.portcullis/admin/applications?app=inventory").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_trail_is_searched_a_page_at_a_time_downloaded_and_checked() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    for number in 0..60 {
        house.awaited(&format!("m{number}")).await;
    }
    let rows = |text: &str| text.matches("data-l=\"Entry\"").count();
    let first = ada.get("/.portcullis/admin/audit").await;
    assert_eq!(rows(&first.text), 50);
    let next = first.text.split("\" rel=\"next\"").next().unwrap();
    let next = next.rsplit("href=\"").next().unwrap().replace("&#38;", "&");
    let second = ada.get(&next).await;
    let (top, bottom) = (first.between("Entries ", " to"), second.between("Entries ", " to"));
    assert_eq!(top.parse::<u64>().unwrap(), bottom.parse::<u64>().unwrap() + 50);

    let created = ada.get("/.portcullis/admin/audit?event=user-created&q=m7").await;
    assert_eq!(rows(&created.text), 1, "{}", created.text);
    let nothing = ada.get("/.portcullis/admin/audit?to=2020-01-01").await;
    assert_eq!(rows(&nothing.text), 0);
    let today = ada.get("/.portcullis/admin/audit?from=2030-03-17&to=2030-03-17").await;
    assert_eq!(rows(&today.text), 50, "{}", today.text);
    let wrong = ada.get("/.portcullis/admin/audit?from=soon").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);

    let file = ada.get("/.portcullis/admin/audit/export?format=csv&event=user-created").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"audit.csv\"");
    assert_eq!(file.text.lines().count(), 62, "a line for each and one of names: {}", file.text);
    let file = ada.get("/.portcullis/admin/audit/export?format=jsonl&event=user-created").await;
    let line: serde_json::Value = serde_json::from_str(file.text.lines().next().unwrap()).unwrap();
    assert_eq!(line["action"], "user-created");

    let done = ada.submit_to(&first, "/.portcullis/admin/audit/check", &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let checked = async {
        loop {
            let page = ada.get("/.portcullis/admin/audit").await;
            if page.text.contains("The chain is whole") {
                break;
            }
            assert!(!page.text.contains("broken"), "{}", page.text);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), checked).await.unwrap();
}

#[tokio::test]
async fn files_are_shown_with_their_places_and_what_is_typed_is_checked_and_not_saved() {
    let house = House::with_admin().await;
    house.person_of_the_office().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let applications = ada.get("/.portcullis/admin/applications?app=eln").await;
    for said in [
        "Notebook",
        "Inventory",
        "eln.example",
        "policies/lab.toml:",
        "upstream = ",
        "Not watched",
    ] {
        assert!(applications.text.contains(said), "{said}: {}", applications.text);
    }
    let patterns = ada.get("/.portcullis/admin/ip-patterns?ip=192.0.2.9").await;
    for said in ["Office", "192.0.2.0/24", "1 membership", "Inside", "policies/lab.toml:2"] {
        assert!(patterns.text.contains(said), "{said}: {}", patterns.text);
    }
    let checked = ada
        .get("/.portcullis/admin/ip-patterns?name=guest-lab&title=%3Cb%3E&nets=198.51.100.200%2F29")
        .await;
    assert!(
        checked.text.contains("[ip_pattern.guest-lab]") && !checked.text.contains("<b>"),
        "{}",
        checked.text
    );
    let wrong = ada.get("/.portcullis/admin/ip-patterns?name=x&nets=198.51.1O0.7").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("Line 1: Invalid characters found"), "{}", wrong.text);
    let providers = ada.get("/.portcullis/admin/identity-providers").await;
    assert!(
        providers.text.contains("Local accounts") && providers.text.contains("Working"),
        "{}",
        providers.text
    );
    let policy = ada.get("/.portcullis/admin/policy").await;
    for said in [
        house.live.generation().as_ref(),
        "policies/lab.toml",
        "/recent/**",
        "The policy has no tests",
    ] {
        assert!(policy.text.contains(said), "{said}: {}", policy.text);
    }
    let health = ada.get("/.portcullis/admin/health").await;
    for said in ["Nothing needs attention", "Store", "Working", "Not set up"] {
        assert!(health.text.contains(said), "{said}: {}", health.text);
    }
}

#[tokio::test]
async fn who_signed_in_long_ago_proves_who_they_are_before_a_sensitive_act_and_loses_nothing() {
    const USERS: &str = "/.portcullis/admin/users";
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get(USERS).await;
    house.wait(Duration::from_secs(601));
    let fields = [
        ("email", "bo@lab.example"),
        ("username", "bo"),
        ("given-name", "Bo"),
        ("family-name", "Diaz <b>"),
    ];
    let asked = ada.submit_to(&page, USERS, &fields).await;
    assert_eq!(asked.status, StatusCode::FORBIDDEN);
    assert!(
        asked.text.contains("Confirm it is you") && asked.text.contains("of the last 10 minutes"),
        "{}",
        asked.text
    );
    assert!(!asked.text.contains("<b>"), "{}", asked.text);
    assert!(!ada.get(USERS).await.text.contains("bo@lab.example"), "nothing is done yet");

    let without = ada.submit_to(&asked, USERS, &[("confirm-username", ADA)]).await;
    assert!(without.text.contains("Enter your password"), "{}", without.text);
    let before = ada.cookie("sso.example", "__Host-portcullis").cloned();
    let wrong = ada.submit_to(&without, USERS, &[("confirm-password", "not the password 1")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        wrong.text.contains("Your password is wrong") && !wrong.text.contains("not the password 1"),
        "{}",
        wrong.text
    );
    // The helper sends what is hidden as it stands in the page.
    let proof = [("confirm-password", GOOD), ("family-name", "Diaz")];
    let done = ada.submit_to(&wrong, USERS, &proof).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_ne!(ada.cookie("sso.example", "__Host-portcullis").cloned(), before, "a new value");
    let list = ada.get(done.location()).await;
    assert!(
        list.text.contains("bo@lab.example") && list.text.contains("Bo Diaz"),
        "{}",
        list.text
    );

    // It is asked once: from here on it is a sign-in of a moment ago.
    let more = [
        ("email", "cy@lab.example"),
        ("username", "cy"),
        ("given-name", "Cy"),
        ("family-name", "Two"),
    ];
    let done = ada.submit_to(&list, USERS, &more).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
}

#[tokio::test]
async fn a_program_is_told_that_the_sign_in_is_too_old_and_harmless_acts_need_no_new_one() {
    let house = House::with_admin().await;
    house.person("bo", GOOD).await;
    let _bo = house.signed_in("bo", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get("/.portcullis/admin/users").await;
    house.wait(Duration::from_secs(601));
    let found = ada.get(&format!("{SESSIONS}?q=bo")).await;
    let user = found.between("name=\"user\" value=\"", "\"").to_owned();
    let done = ada.submit_to(&found, SESSIONS, &[("user", user.as_str())]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    ada.accept("application/json");
    let told = ada
        .submit_to(&page, "/.portcullis/admin/users", &[("email", "cy@lab.example")])
        .await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    assert!(told.text.contains("session-too-old"), "{}", told.text);
}

#[tokio::test]
async fn several_people_are_acted_on_at_once_after_it_was_said_what_will_happen() {
    const USERS: &str = "/.portcullis/admin/users";
    let house = House::with_admin().await;
    let (bo, cy) = (house.person("bo", GOOD).await, house.person("cy", GOOD).await);
    let mut of_bo = house.signed_in("bo", GOOD).await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get(USERS).await;
    assert_eq!(page.text.matches("form=\"several\"").count(), 2, "not oneself: {}", page.text);
    let several = format!("{USERS}/several");
    let nobody = ada.submit_to(&page, &several, &[("do", "disable")]).await;
    assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(nobody.text.contains("Tick at least one user first"), "{}", nobody.text);

    let (pick_bo, pick_cy, stranger) = (format!("pick-{bo}"), format!("pick-{cy}"), "pick-u-00000000000000000000000001");
    let ticked = [
        (pick_bo.as_str(), "on"),
        (pick_cy.as_str(), "on"),
        (stranger, "on"),
        ("do", "disable"),
    ];
    let asked = ada.submit_to(&page, &several, &ticked).await;
    for words in ["Disable 2 people?", "1 session ends", "No session", "Not there any more"] {
        assert!(asked.text.contains(words), "{words}: {}", asked.text);
    }
    assert_eq!(of_bo.get("/.portcullis/").await.status, StatusCode::OK, "nothing is done yet");
    let done = ada.submit_to(&asked, &several, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let page = ada.get(done.location()).await;
    assert!(page.text.contains("2 are disabled."), "{}", page.text);
    assert_eq!(of_bo.get("/.portcullis/").await.status, StatusCode::FOUND);

    let twice = ada.submit_to(&asked, &several, &[]).await;
    let page = ada.get(twice.location()).await;
    assert!(page.text.contains("0 are disabled, 2 left as before."), "{}", page.text);
    let ticked = [(pick_bo.as_str(), "on"), ("do", "enable")];
    let asked = ada.submit_to(&page, &several, &ticked).await;
    assert!(asked.text.contains("Enable 1 person?"), "{}", asked.text);
    let done = ada.submit_to(&asked, &several, &[]).await;
    assert!(ada.get(done.location()).await.text.contains("1 is enabled."));
    let odd = ada.submit_to(&asked, &several, &[("do", "delete-everything")]).await;
    assert_eq!(odd.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn many_people_are_made_from_lines_that_are_all_fine_and_none_otherwise() {
    const IMPORT: &str = "/.portcullis/admin/users/import";
    let house = House::with_admin().await;
    house.awaited("taken").await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get(IMPORT).await;
    for (csv, told) in [
        ("", "Paste the lines, the names of the columns first"),
        ("email", "There is no line behind the names of the columns"),
        ("email,salary\na@x.example,1", "Line 1: there is no column &#34;salary&#34;"),
        ("username\nbo", "the column &#34;email&#34; is missing"),
        ("email,given_name,email\n", "the column &#34;email&#34; stands there twice"),
        ("email,given_name\n\"a", "Line 2: a quoted cell does not end"),
        ("email\na@x.example,b", "Line 2: there are more cells than columns"),
    ] {
        let refused = ada.submit_to(&page, IMPORT, &[("csv", csv), ("do", "import")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{csv}");
        assert!(refused.text.contains(told), "{told}: {}", refused.text);
    }
    let many: String = (0..201).map(|n| format!("a{n}@x.example,A,B\n")).collect();
    let long = format!("email,given_name,family_name\n{many}");
    let refused = ada.submit_to(&page, IMPORT, &[("csv", &long), ("do", "import")]).await;
    assert!(refused.text.contains("201 lines are too many"), "{}", refused.text);

    let lines = "email,username,given_name,family_name,team\r\n\
                 bo@lab.example,bo,\"Bo, \u{202e}<b>\",Diaz,\r\n\
                 \r\n\
                 nobody,x,Cy,Two,\r\n\
                 taken@lab.example,,Cy,Two,main\r\n\
                 BO@lab.example,,Cy,Two,\r\n\
                 di@lab.example,,,Two,\r\n\
                 ed@lab.example,,Ed,Two,A B\r\n\
                 fy@lab.example,,Fy,Two,acne\r\n";
    let refused = ada.submit_to(&page, IMPORT, &[("csv", lines), ("do", "import")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for (line, told) in [
        (2, "Invalid characters found"),
        (4, "Enter an email address in the correct format"),
        (5, "Someone already uses this email address"),
        (6, "Gets an account"),
        (7, "Enter a first name"),
        (8, "There is no team"),
        (9, "There is no team"),
    ] {
        let found = refused.between(&format!("Line {line}</td>"), "</tr>");
        assert!(found.contains(told), "line {line}: {found}");
    }
    assert!(!refused.text.contains("<b>") && !refused.text.contains("Make "), "{}", refused.text);
    assert!(
        !ada.get("/.portcullis/admin/users").await.text.contains("BO@lab"),
        "nothing is made"
    );

    let fine = "email;username;given_name;family_name\nbo@lab.example;bo;=cmd();Diaz\ncy@lab.example;;Cy;Zwei\n";
    let checked = ada.submit_to(&page, IMPORT, &[("csv", fine), ("do", "check")]).await;
    assert_eq!(checked.status, StatusCode::OK);
    assert!(checked.text.contains("Make 2 accounts"), "{}", checked.text);
    let done = ada.submit_to(&checked, IMPORT, &[("csv", fine), ("do", "import")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let list = ada.get(done.location()).await;
    assert!(
        list.text.contains("2 are made.") && list.text.contains("bo@lab.example"),
        "{}",
        list.text
    );
    let twice = ada.submit_to(&checked, IMPORT, &[("csv", fine), ("do", "import")]).await;
    assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY, "nothing twice");

    let file = ada.get("/.portcullis/admin/users/export?q=bo%40lab").await;
    assert!(file.header("content-disposition").contains("users.csv"));
    assert!(
        file.text.contains(",bo@lab.example,bo,'=cmd(),Diaz,pending,,main\r\n"),
        "{}",
        file.text
    );
    assert!(!file.text.contains("cy@lab.example"));
}

#[tokio::test]
async fn many_are_invited_from_lines_within_what_may_be_given() {
    const IMPORT: &str = "/.portcullis/admin/invitations/import";
    let house = House::with_admin().await;
    let mut ada = house.signed_in(ADA, GOOD).await;
    let page = ada.get(IMPORT).await;
    let lines = "email,team,applications,roles\nbo@lab.example,assay,eln,lead\ncy@lab.example,assay,inventory,\ndi@lab.example,nowhere,,\n";
    let refused = ada.submit_to(&page, IMPORT, &[("csv", lines), ("do", "import")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.between("Line 2</td>", "</tr>").contains("Is invited"), "{}", refused.text);
    for line in [3, 4] {
        assert!(
            refused.between(&format!("Line {line}</td>"), "</tr>").contains("tag bad"),
            "{}",
            refused.text
        );
    }
    let fine = "email,team,applications,roles\nbo@lab.example,assay,eln,lead\n";
    let done = ada.submit_to(&page, IMPORT, &[("csv", fine), ("do", "import")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(ada.get(done.location()).await.text.contains("1 is made."));
    let file = ada.get("/.portcullis/admin/invitations/export").await;
    assert!(file.text.contains(",bo@lab.example,assay,sent,"), "{}", file.text);
}
