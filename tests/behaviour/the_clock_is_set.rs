//! Somebody sets the clock of the machine: nobody stays signed in for longer by it, nobody is kept out by it, and nothing breaks.

use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::house::{APP, House, sign_in};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// `signin.max_age` as shipped.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn is_in(browser: &mut Browser) -> bool {
    browser.get(&format!("{APP}/notes")).await.status == 200
}

/// Ada's browser, signed in and on the application.
async fn ada(house: &House) -> Browser {
    let mut browser = sign_in(house, "ada").await;
    let reply = browser.open(&format!("{APP}/notes")).await;
    assert_eq!(reply.status, 200, "{}", reply.words());
    browser
}

fn set_back(house: &House, span: Duration) {
    house.clock.set(house.clock.now().before(span));
}

#[tokio::test]
async fn setting_the_clock_back_ends_what_was_used_at_a_time_that_is_still_to_come() {
    let house = House::new().await;
    house.add("root").await;
    house.add("ada").await;
    for span in [6 * MINUTE, HOUR, DAY, 400 * DAY] {
        let mut browser = ada(&house).await;
        house.wait(30 * MINUTE);
        assert!(is_in(&mut browser).await, "{span:?}");
        set_back(&house, span);
        assert!(!is_in(&mut browser).await, "{span:?}: nobody can say how old this session is");
        let mut again = ada(&house).await;
        house.wait(HOUR);
        assert!(is_in(&mut again).await, "{span:?}: who signs in now has an ordinary session");
        house.wait(2 * HOUR);
        assert!(!is_in(&mut again).await, "{span:?}: with an ordinary end");
    }
    let metrics = house.management("/metrics").await.text();
    assert!(metrics.contains("portcullis_panics_total 0"), "{metrics}");
}

#[tokio::test]
async fn a_clock_that_is_corrected_by_minutes_ends_nothing_and_prolongs_by_no_more() {
    let house = House::new().await;
    house.add("root").await;
    house.add("ada").await;
    let mut browser = ada(&house).await;
    let signed_in = house.clock.now();
    set_back(&house, 4 * MINUTE);
    assert!(is_in(&mut browser).await);
    // Used all the time, it ends when it would have: twelve hours after it was made.
    while house.clock.now() < signed_in.after(LONGEST).before(HOUR) {
        house.wait(HOUR);
        assert!(is_in(&mut browser).await, "{}", house.clock.now());
    }
    house.clock.set(signed_in.after(LONGEST));
    assert!(!is_in(&mut browser).await);
}

#[tokio::test]
async fn a_session_that_was_not_used_while_the_clock_was_set_back_still_ends_at_its_hour() {
    let house = House::new().await;
    house.add("root").await;
    house.add("ada").await;
    let mut browser = ada(&house).await;
    let signed_in = house.clock.now();
    house.wait(90 * MINUTE);
    set_back(&house, HOUR);
    assert!(is_in(&mut browser).await, "half an hour old, as far as anybody can tell");
    while house.clock.now() < signed_in.after(LONGEST).before(HOUR) {
        house.wait(HOUR);
        assert!(is_in(&mut browser).await);
    }
    house.wait(HOUR);
    assert!(!is_in(&mut browser).await);
}

#[tokio::test]
async fn setting_the_clock_forward_and_back_again_leaves_nothing_that_outlives_it() {
    let house = House::new().await;
    house.add("root").await;
    house.add("ada").await;
    let mut before = ada(&house).await;
    let real = house.clock.now();
    house.wait(DAY);
    assert!(!is_in(&mut before).await, "a day older");
    let mut ahead = ada(&house).await;
    assert!(is_in(&mut ahead).await);
    house.clock.set(real);
    assert!(!is_in(&mut ahead).await, "made on a day that has not come");
    let mut after = ada(&house).await;
    assert!(is_in(&mut after).await);
    assert!(!is_in(&mut ahead).await);
    // When that day comes, the session of the clock's mistake is gone, and not back.
    house.wait(DAY + MINUTE);
    let mut again = ada(&house).await;
    assert!(is_in(&mut again).await);
}
