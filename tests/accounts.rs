//! Registrations and resets survive what machines do to processes: nothing acknowledged is lost, and no token works twice.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop on the spot"
)]

#[path = "store/lossy.rs"]
#[expect(dead_code, reason = "the store's own tests use all of it")]
mod lossy;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use http::Method;
use portcullis::accounts::{
    Accounts, Acting, AddOutcome, AskOutcome, Credentials, HouseRules, NewUser, Realm, SignInOutcome, TokenFor, TokenForm, TokenOutcome,
    TypedNames, Unavailable, Visit,
};
use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey};
use portcullis::base::time::Timestamp;
use portcullis::model::password::Password;
use portcullis::model::user::UserStatus;
use portcullis::policy::{Definitions, PolicySet, RequestFacts};
use portcullis::signin::local::Passwords;
use portcullis::store::Store;

const KILLS: u32 = 200;
const LOSSES: u32 = 40;
const FOLDER: &str = "PORTCULLIS_TEST_ACCOUNTS_FOLDER";
const ROUND: &str = "PORTCULLIS_TEST_ACCOUNTS_ROUND";
const REGISTERED_WITH: &str = "registered by hand, once";
const RESET_TO: &str = "reset by hand, just once";

fn now() -> Timestamp {
    Timestamp::from_secs(1_900_000_000)
}

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()))
}

fn accounts_on(store: Store) -> Accounts {
    let random = Random::System;
    let passwords = Passwords::start(2, 64, random.clone()).unwrap();
    Accounts::new(store, keyring(), passwords, HouseRules::default(), random)
}

fn open(folder: &Path) -> Accounts {
    accounts_on(Store::open(&folder.join("portcullis.redb"), &keyring(), &Random::System, now()).unwrap())
}

fn email(round: u32, person: u32) -> String {
    format!("p{round}-{person}@lab.example")
}

fn form(email: &str, token: &str, password: &str) -> TokenForm {
    TokenForm {
        email: email.to_owned(),
        token: token.to_owned(),
        new_password: Password::new(password.to_owned()),
        names: TypedNames::default(),
    }
}

struct Desk {
    accounts: Accounts,
    policies: PolicySet,
}

impl Desk {
    fn new(accounts: Accounts) -> Self {
        Self {
            accounts,
            policies: PolicySet::compile(Definitions::default().with_built_ins()).unwrap(),
        }
    }

    /// From a network of its own for each person, so that no limit is met.
    fn facts(&self, person: u32) -> RequestFacts {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 | (person << 8)).into();
        RequestFacts::new(Method::POST, "portal.example", "/.portcullis/account/new", Some(address), now())
    }

    fn visit<'a>(&'a self, facts: &'a RequestFacts) -> Visit<'a> {
        Visit {
            policies: &self.policies,
            facts,
            agent: "a browser",
            browser: "",
        }
    }

    async fn add(&self, email: &str) -> Result<String, Unavailable> {
        let new = NewUser {
            email: email.parse().unwrap(),
            username: None,
            given_name: "Given".parse().unwrap(),
            family_name: "Family".parse().unwrap(),
            role: None,
            team_role: None,
            team: None,
            ip_pattern: None,
            provider: None,
            password: None,
        };
        match self.accounts.add_user(new, &Acting::command_line(), now()).await? {
            AddOutcome::Added(added) => Ok(added.token.unwrap().text),
            other => panic!("{email}: {other:?}"),
        }
    }

    async fn register(&self, person: u32, email: &str, token: &str) -> Result<bool, Unavailable> {
        let facts = self.facts(person);
        let outcome = self
            .accounts
            .register(form(email, token, REGISTERED_WITH), None, &self.visit(&facts))
            .await?;
        Ok(matches!(outcome, TokenOutcome::SignedIn(_)))
    }

    async fn ask(&self, person: u32, email: &str) -> Result<String, Unavailable> {
        let facts = self.facts(person);
        let asked = self.accounts.ask_reset(email, &self.visit(&facts)).await?;
        assert!(matches!(asked, AskOutcome::Asked(_)));
        let user = self.accounts.user_named(email).await?.unwrap();
        Ok(self.accounts.live_tokens(user.id, now()).await?.remove(0).text)
    }

    async fn reset(&self, person: u32, email: &str, token: &str) -> Result<bool, Unavailable> {
        let facts = self.facts(person);
        let outcome = self.accounts.reset(form(email, token, RESET_TO), None, &self.visit(&facts)).await?;
        Ok(matches!(outcome, TokenOutcome::SignedIn(_)))
    }

    async fn sign_in(&self, person: u32, email: &str, password: &str) -> Result<bool, Unavailable> {
        let facts = self.facts(person);
        let typed = Credentials {
            name: email.to_owned(),
            password: Password::new(password.to_owned()),
            realm: Realm::Unsaid,
            remember: false,
        };
        let outcome = self.accounts.sign_in(typed, None, &self.visit(&facts)).await?;
        Ok(matches!(outcome, SignInOutcome::SignedIn(_)))
    }

    /// One person's life, each deed said once it was acknowledged.
    async fn live(&self, person: u32, email: &str, mut say: impl FnMut(&str)) -> Result<(), Unavailable> {
        let token = self.add(email).await?;
        say(&format!("added {token}"));
        assert!(self.register(person, email, &token).await?);
        say("registered");
        let token = self.ask(person, email).await?;
        say(&format!("asked {token}"));
        assert!(self.reset(person, email, &token).await?);
        say("reset");
        Ok(())
    }

    /// Looks at one person after a crash, knowing what was acknowledged before it.
    async fn check(&self, person: u32, email: &str, acknowledged: &Acknowledged, thorough: bool) {
        let Some(user) = self.accounts.user_named(email).await.unwrap() else {
            assert!(acknowledged.added.is_none(), "{email} was made, and is lost");
            return;
        };
        let tokens = self.accounts.live_tokens(user.id, now()).await.unwrap();
        let sessions = self.accounts.sessions_of(user.id, now()).await.unwrap().len();
        if user.status == UserStatus::Pending {
            assert!(!acknowledged.registered, "{email} had registered, and is lost");
            assert_eq!((tokens.len(), sessions), (1, 0), "{email} waits with one token");
            let shown = self
                .accounts
                .token_for(user.id, false, &Acting::command_line(), now())
                .await
                .unwrap();
            assert_eq!(shown, TokenFor::Token(tokens[0].clone()));
            if let Some(token) = &acknowledged.added {
                assert_eq!(tokens[0].text, *token, "{email}: the token that was shown is the one that is good");
            }
            return;
        }
        assert_eq!(user.status, UserStatus::Active);
        assert_eq!(
            sessions, 1,
            "{email} is signed in once, by the registration or by the reset that ended it"
        );
        if acknowledged.reset {
            assert!(tokens.is_empty(), "{email}: a used reset token is live");
        } else if let Some(token) = &acknowledged.asked {
            // The reset may have been written without being acknowledged; then the token is gone, and the password is the new one.
            assert!(tokens.iter().all(|shown| shown.text == *token));
        }
        if !thorough {
            return;
        }
        let token = acknowledged.added.clone().unwrap_or_else(|| "0000-0000".to_owned());
        assert!(
            !self.register(person, email, &token).await.unwrap(),
            "{email}: the registration token worked twice"
        );
        let is_new = self.sign_in(person, email, RESET_TO).await.unwrap();
        let is_old = self.sign_in(person, email, REGISTERED_WITH).await.unwrap();
        assert!(is_new != is_old, "{email} has one password");
        assert!(is_new || !acknowledged.reset, "{email}: an acknowledged reset is lost");
        if let Some(token) = &acknowledged.asked {
            assert_eq!(is_new, tokens.is_empty(), "{email}: the token is used with the deed or not at all");
            if is_new {
                assert!(
                    !self.reset(person, email, token).await.unwrap(),
                    "{email}: the reset token worked twice"
                );
            }
        }
    }
}

/// What the process had said was done before it was killed.
#[derive(Default)]
struct Acknowledged {
    added: Option<String>,
    registered: bool,
    asked: Option<String>,
    reset: bool,
}

impl Acknowledged {
    fn note(&mut self, line: &[&str]) {
        match line {
            ["added", token] => self.added = Some((*token).to_owned()),
            ["registered"] => self.registered = true,
            ["asked", token] => self.asked = Some((*token).to_owned()),
            ["reset"] => self.reset = true,
            other => panic!("{other:?}"),
        }
    }
}

/// The process that is killed: makes people who register and reset as fast as they can, and says each deed once it was acknowledged.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn people_in_a_process_of_their_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let round: u32 = std::env::var(ROUND).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let desk = Arc::new(Desk::new(open(Path::new(&folder))));
        let mut people = Vec::new();
        for lane in 0..3 {
            let desk = Arc::clone(&desk);
            people.push(tokio::spawn(async move {
                for person in (lane..).step_by(3) {
                    let say = |deed: &str| {
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "@ {person} {deed}").unwrap();
                        out.flush().unwrap();
                    };
                    desk.live(person, &email(round, person), say).await.unwrap();
                }
            }));
        }
        for person in people {
            person.await.unwrap();
        }
    });
}

#[test]
fn two_hundred_kills_amid_registrations_and_resets_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut deeds = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["people_in_a_process_of_their_own", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (heard, lines) = sync_channel(10_000);
        let listening = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some((_, deed)) = line.split_once("@ ") {
                    let _ = heard.send(deed.to_owned());
                }
            }
        });
        // Killed somewhere in its first deeds: a time that differs from round to round, counted from the first sign of life.
        let mut said = vec![lines.recv_timeout(Duration::from_secs(30)).unwrap()];
        let end = Instant::now() + Duration::from_micros(u64::from(round) * 700 % 60_000);
        while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            said.push(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        listening.join().unwrap();
        said.extend(lines.try_iter());
        deeds += said.len();
        runtime.block_on(look_after(&Desk::new(open(folder.path())), round, &said));
    }
    assert!(
        deeds > KILLS as usize,
        "{deeds} deeds in {KILLS} rounds are too few to say anything"
    );
}

async fn look_after(desk: &Desk, round: u32, said: &[String]) {
    let mut acknowledged: std::collections::BTreeMap<u32, Acknowledged> = (0..6).map(|person| (person, Acknowledged::default())).collect();
    for line in said {
        let mut words = line.split(' ');
        let person: u32 = words.next().unwrap().parse().unwrap();
        acknowledged.entry(person).or_default().note(&words.collect::<Vec<_>>());
    }
    for (person, acknowledged) in &acknowledged {
        // Passwords are looked at now and then only: each look is the work of a sign-in.
        let thorough = (round + person).is_multiple_of(16);
        desk.check(*person, &email(round, *person), acknowledged, thorough).await;
    }
}

#[test]
fn a_disk_that_loses_power_amid_registrations_and_resets_loses_and_doubles_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut deeds = 0;
    for round in 0..LOSSES {
        let random = Random::seeded(u64::from(round));
        let machine = lossy::Machine::new(lossy::Sync::Honest);
        let open = || {
            Desk::new(accounts_on(
                Store::on(Box::new(machine.clone()), &keyring(), &Random::System, now()).unwrap(),
            ))
        };
        let said = runtime.block_on(async {
            let desk = open();
            machine.burns_after(random.below(1500));
            let (mut one, mut two) = (Vec::new(), Vec::new());
            let (_, _) = tokio::join!(
                live_until_dark(&desk, round, 0, &mut one),
                live_until_dark(&desk, round, 1, &mut two)
            );
            one.append(&mut two);
            one
        });
        machine.powers_up(&random);
        deeds += said.len();
        runtime.block_on(look_after(&open(), round, &said));
    }
    assert!(
        deeds > LOSSES as usize,
        "{deeds} deeds in {LOSSES} rounds are too few to say anything"
    );
}

async fn live_until_dark(desk: &Desk, round: u32, lane: u32, said: &mut Vec<String>) {
    for person in (lane..6).step_by(2) {
        let lived = desk
            .live(person, &email(round, person), |deed| said.push(format!("{person} {deed}")))
            .await;
        if lived.is_err() {
            return;
        }
    }
}
