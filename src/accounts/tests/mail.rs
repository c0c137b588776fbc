//! Letters go with the deed they tell of, and no further.

use super::*;
use crate::model::message::{MessageKind, MessageStanding};

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
