//! Records to write and stores to write them to.

use std::sync::Arc;
use std::time::Duration;

use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey, Purpose};
use portcullis::base::secret::Hashed;
use portcullis::base::time::Timestamp;
use portcullis::model::event::{Action, Actor, Event};
use portcullis::model::id::{SessionId, TokenId, UserId};
use portcullis::model::name::{PersonName, RoleName};
use portcullis::model::principal::SignedIn;
use portcullis::model::session::{Session, SessionValueRecord};
use portcullis::model::token::{NewToken, OneTimeToken, TokenPurpose, TokenStyle};
use portcullis::model::user::{User, UserStatus};
use portcullis::store::{Medium, Store};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn start() -> Timestamp {
    Timestamp::from_secs(1_900_000_000)
}

pub(crate) fn ring() -> Arc<Keyring> {
    Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()))
}

pub(crate) fn store_on(medium: Box<dyn Medium>) -> Store {
    Store::on(medium, &ring(), &Random::System, start()).unwrap()
}

pub(crate) fn event(action: Action) -> Event {
    Event::new(action, Actor::System, start())
}

pub(crate) fn user(number: u128) -> User {
    User {
        id: UserId::from_number(number),
        email: Some(format!("p{number}@lab.example").parse().unwrap()),
        username: format!("person{number}").parse().unwrap(),
        given_name: PersonName::default(),
        family_name: PersonName::default(),
        status: UserStatus::Active,
        roles: [RoleName::admin()].into(),
        password: None,
        external: Default::default(),
        epoch: 0,
        gains: 0,
        created: start(),
        last_sign_in: None,
    }
}

pub(crate) fn session(number: u128, user: u128) -> Session {
    Session {
        id: SessionId::from_number(number),
        user: UserId::from_number(user),
        epoch: 0,
        created: start(),
        expires: start().after(HOUR),
        rested: std::time::Duration::ZERO,
        last_seen: start(),
        signed_in: SignedIn::by_password(start()),
        remember: false,
        address: None,
        agent: "a browser".to_owned(),
    }
}

pub(crate) fn value(secret: &[u8], session: u128) -> SessionValueRecord {
    SessionValueRecord {
        digest: Hashed::sha256(secret),
        session: SessionId::from_number(session),
        host: "portal.example".to_owned(),
        gains: 0,
        good_until: None,
    }
}

pub(crate) fn token<P: TokenPurpose>(number: u128, user: u128) -> OneTimeToken<P> {
    OneTimeToken::new(NewToken {
        id: TokenId::from_number(number),
        user: UserId::from_number(user),
        hash: ring().hash(Purpose::ResetToken, &number.to_be_bytes()),
        made: start(),
        expires: start().after(HOUR),
        tries: 5,
        style: TokenStyle::Code,
    })
}
