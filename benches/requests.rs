//! What the parts of a request cost without sockets: to admit it, to find the session, to judge, to write the head that goes on; and what a
//! token and a password cost. `cargo bench --bench requests`, or a part: `cargo bench --bench requests -- decide/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench may stop on the spot")]

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis::accounts::{Accounts, HouseRules, Presented};
use portcullis::base::random::Random;
use portcullis::base::seal::{Keyring, MasterKey, Purpose};
use portcullis::base::sources::{PolicyTexts, SourceText};
use portcullis::base::time::{DAY, HOUR, MINUTE, Timestamp};
use portcullis::gateway::admit::{HeadLimits, admit_http1};
use portcullis::gateway::identity_headers::{identity, pass_on};
use portcullis::model::event::{Action, Actor, Event};
use portcullis::model::id::{SessionId, TokenId, UserId};
use portcullis::model::ip_pattern::{AddressRange, AddressSet};
use portcullis::model::membership::Membership;
use portcullis::model::password::Password;
use portcullis::model::principal::{Identity, Principal, SignedIn};
use portcullis::model::session::{Session, SessionValue, SessionValueRecord};
use portcullis::model::token::{NewToken, OneTimeToken, Registration, TokenStyle, TokenText};
use portcullis::model::user::{User, UserStatus};
use portcullis::policy::protected::ProtectedNames;
use portcullis::policy::{Context, Memo, PolicySet, RequestFacts, Verdict, decide, decide_remembering, load};
use portcullis::signin::local::{NewPassword, Passwords};
use portcullis::store::{Commit, Store};

const HOST: &str = "lab.example.org";
const WORDS: &str = "correct horse battery staple";

/// What a browser sends for a page.
const HEAD: &str = "GET /part17/board?view=all HTTP/1.1\r\nHost: lab.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0\r\n\
    Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en,de;q=0.7\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://lab.example.org/board\r\nConnection: keep-alive\r\n\
    Cookie: theme=dark; __Host-portcullis=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; board=7\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n";

fn now() -> Timestamp {
    Timestamp::from_secs(1_900_000_000)
}

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(MasterKey::from_bytes([7; 32]), Vec::new()))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    admission(&mut criterion);
    sessions(&mut criterion);
    judging(&mut criterion);
    patterns(&mut criterion);
    headers(&mut criterion);
    tokens(&mut criterion);
    passwords(&mut criterion);
    criterion.final_summary();
}

fn admission(criterion: &mut Criterion) {
    let limits = HeadLimits {
        bytes: 64 << 10,
        fields: 100,
        target_bytes: 8 << 10,
    };
    criterion.bench_function("admit/a browser's head", |bench| {
        bench.iter(|| admit_http1(black_box(HEAD.as_bytes()), &limits).unwrap());
    });
}

/// The value of the cookie of a session by its number.
fn value(number: u32) -> SessionValue {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, of_it)| *byte = of_it);
    SessionValue::parse(&portcullis::base::encoding::base64url(&bytes)).unwrap()
}

/// Accounts that remember so many sessions of one person.
async fn remembering(count: u32) -> Accounts {
    let (keys, random) = (keyring(), Random::System);
    let store = Store::in_memory(&keys, &random, now()).unwrap();
    let user = UserId::from_number(1);
    let event = || Event::new(Action::SignedIn, Actor::Anonymous, now());
    let person = User {
        id: user,
        email: Some("kim@acme.example".parse().unwrap()),
        username: "kim".parse().unwrap(),
        given_name: "Kim".parse().unwrap(),
        family_name: "Müller".parse().unwrap(),
        status: UserStatus::Active,
        roles: BTreeSet::new(),
        password: None,
        external: BTreeSet::new(),
        epoch: 0,
        gains: 0,
        created: now(),
        last_sign_in: None,
    };
    store.commit(Commit::because(event()).create(&person)).await.unwrap();
    let passwords = Passwords::start(1, 4, random.clone()).unwrap();
    let accounts = Accounts::new(store.clone(), keys, passwords, HouseRules::default(), random);
    for first in (0..count).step_by(1000) {
        let mut commit = Commit::because(event());
        for number in first..(first + 1000).min(count) {
            let id = SessionId::from_number(u128::from(number) + 1);
            commit = commit
                .create(&Session {
                    id,
                    user,
                    epoch: 0,
                    created: now(),
                    expires: now().after(DAY),
                    last_seen: now(),
                    rested: Duration::ZERO,
                    signed_in: SignedIn::by_password(now()),
                    remember: false,
                    address: None,
                    agent: String::new(),
                })
                .create(&SessionValueRecord {
                    digest: value(number).digest(),
                    session: id,
                    host: HOST.to_owned(),
                    gains: 0,
                    good_until: None,
                });
        }
        store.commit(commit).await.unwrap();
        for number in first..(first + 1000).min(count) {
            assert!(matches!(
                accounts.caller(&value(number), HOST, now()).await.unwrap(),
                Presented::Live(_)
            ));
        }
    }
    accounts
}

fn sessions(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("session");
    for count in [10_000, 1_000_000] {
        // A million are made only when they are asked for.
        let made = OnceCell::new();
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            let accounts = made.get_or_init(|| runtime.block_on(remembering(count)));
            // Far from the one before, so that nothing of it lies near already.
            let mut number = 0;
            bench.iter_batched(
                || {
                    number = (number + 7_919 * 13) % count;
                    value(number)
                },
                |value| accounts.remembered(&value, HOST, now()).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// A team's network and role, and so many rules, thousands of prefixes and other applications of ten rules each besides.
fn policies(rules: usize, patterns: usize, others: usize) -> PolicySet {
    let mut text = String::from(
        "[ip_pattern.desks]\ntitle = \"Desks\"\ninclude = [\"10.0.0.0/8\", \"192.168.0.0/16\"]\n\
         [team.users]\ntitle = \"Users\"\nip_pattern = [\"desks\"]\n[role.member]\ntitle = \"Member\"\nscope = \"team\"\n\
         [app.lab]\ntitle = \"Lab\"\nhost = \"lab.example.org\"\nupstream = \"http://127.0.0.1:9\"\nrequire = { roles = [\"member\"] }\n",
    );
    for rule in 0..rules {
        write!(
            text,
            "[[app.lab.rule]]\npath = \"/part{rule}/**\"\nrequire = {{ roles = [\"member\"], ip_pattern = [\"desks\"] }}\n"
        )
        .unwrap();
    }
    for other in 0..others {
        write!(
            text,
            "[app.o{other}]\ntitle = \"O\"\nhost = \"o{other}.example.org\"\nupstream = \"http://127.0.0.1:9\"\nrequire = {{ roles = [\"member\"] }}\n"
        )
        .unwrap();
        for rule in 0..10 {
            write!(
                text,
                "[[app.o{other}.rule]]\npath = \"/part{rule}/**\"\nrequire = {{ roles = [\"member\"] }}\n"
            )
            .unwrap();
        }
    }
    for pattern in 0..patterns {
        let entries: Vec<String> = (0..1000)
            .map(|n| format!("\"{}.{}.{}.0/25\"", 11 + pattern, n >> 8, n & 255))
            .collect();
        write!(text, "[ip_pattern.p{pattern}]\ntitle = \"P\"\ninclude = [{}]\n", entries.join(", ")).unwrap();
    }
    let texts = PolicyTexts {
        files: vec![SourceText {
            name: "bench.toml".into(),
            text: text.into(),
        }],
        ..PolicyTexts::default()
    };
    match load(&texts, &Context::plain("portal.example.org", now())) {
        Ok((policies, _)) => policies,
        Err(findings) => panic!("{findings:#?}"),
    }
}

fn kim() -> Principal {
    let mut membership = Membership::plain(UserId::from_number(17), "users".parse().unwrap());
    membership.roles.insert("member".parse().unwrap());
    membership.ip_pattern = Some("desks".parse().unwrap());
    Principal::User(Arc::new(Identity {
        user: UserId::from_number(17),
        username: "kim".parse().unwrap(),
        email: Some("kim@acme.example".parse().unwrap()),
        given_name: "Kim".parse().unwrap(),
        family_name: "Müller".parse().unwrap(),
        status: UserStatus::Active,
        roles: BTreeSet::new(),
        memberships: vec![membership],
        projects: Vec::new(),
        session: SessionId::from_number(9),
        signed_in: SignedIn::by_password(now().before(HOUR)),
        revision: 1,
    }))
}

fn facts() -> RequestFacts {
    RequestFacts::new(
        Method::GET,
        HOST,
        "/part17/board",
        Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))),
        now(),
    )
}

fn judging(criterion: &mut Criterion) {
    let (kim, facts) = (kim(), facts());
    criterion.bench_function("facts", |bench| bench.iter(self::facts));
    let mut group = criterion.benchmark_group("decide");
    for (name, rules, patterns, others) in [
        ("a few rules", 20, 0, 0),
        ("200 rules", 200, 0, 0),
        ("200 rules and 100,000 prefixes", 200, 100, 0),
        ("200 rules beside 10,000 of 1,000 other applications", 200, 0, 1000),
    ] {
        let made = OnceCell::new();
        let made = || made.get_or_init(|| policies(rules, patterns, others));
        group.bench_function(BenchmarkId::new("remembered", name), |bench| {
            let (policies, memo) = (made(), Memo::new());
            assert_eq!(decide_remembering(policies, &kim, &facts, &memo).verdict, Verdict::Allow);
            bench.iter(|| decide_remembering(policies, black_box(&kim), black_box(&facts), &memo));
        });
        group.bench_function(BenchmarkId::new("first time", name), |bench| {
            let policies = made();
            bench.iter(|| decide(policies, black_box(&kim), black_box(&facts)));
        });
    }
}

fn patterns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pattern");
    for count in [1_u32, 10, 100, 100_000] {
        let network = |number: u32| AddressRange::V4(number << 9..=(number << 9) + 255);
        let set = AddressSet::of((0..count).map(network));
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            let mut address = 0_u32;
            bench.iter(|| {
                address = address.wrapping_add(2_654_435_761);
                set.contains(IpAddr::V4(Ipv4Addr::from(address % (count << 9))))
            });
        });
    }
}

fn headers(criterion: &mut Criterion) {
    let mut sent = HeaderMap::new();
    for line in HEAD.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        sent.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let policies = policies(20, 0, 0);
    let (kim, facts) = (kim(), facts());
    let decision = decide(&policies, &kim, &facts);
    let (told, application) = (decision.told.unwrap(), decision.application.unwrap());
    let protected = ProtectedNames::of(application);
    let made = HeaderValue::from_static("d-0000000000000000;allow;reason=requirement-met;generation=5f0c2a91");
    criterion.bench_function("headers/ours, and what of a browser's passes on", |bench| {
        bench.iter(|| {
            let mut onward = identity(&told, Some(&made), None, sent.len() + 12);
            pass_on(black_box(&sent), &mut onward, &protected);
            onward
        });
    });
}

fn tokens(criterion: &mut Criterion) {
    let (random, keys) = (Random::System, keyring());
    let text = TokenText::generate(TokenStyle::Code, &random);
    let shown = text.to_shown();
    let hash = keys.hash(Purpose::RegistrationToken, text.expose().as_bytes());
    let token: OneTimeToken<Registration> = OneTimeToken::new(NewToken {
        id: TokenId::from_number(1),
        user: UserId::from_number(17),
        hash,
        made: now(),
        expires: now().after(HOUR),
        tries: 5,
        style: TokenStyle::Code,
    });
    criterion.bench_function("token/made", |bench| bench.iter(|| TokenText::generate(TokenStyle::Code, &random)));
    criterion.bench_function("token/read, hashed and compared", |bench| {
        bench.iter_batched(
            || token.clone(),
            |token| {
                let typed = TokenText::parse(black_box(&shown), TokenStyle::Code).unwrap();
                let presented = keys
                    .hash_like(&hash, Purpose::RegistrationToken, typed.expose().as_bytes())
                    .unwrap();
                token.redeem(presented, now().after(MINUTE))
            },
            BatchSize::SmallInput,
        );
    });
}

fn passwords(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let passwords = Passwords::start(1, 4, Random::System).unwrap();
    let new = NewPassword {
        text: Password::new(WORDS.to_owned()),
        at_least: 12,
        known: Vec::new(),
    };
    let hash = runtime.block_on(passwords.make(passwords.seat().unwrap(), new)).unwrap().unwrap();
    let mut group = criterion.benchmark_group("password");
    group.sample_size(20);
    group.bench_function("checked", |bench| {
        bench.iter(|| {
            let seat = passwords.seat().unwrap();
            let checked = passwords.check(seat, Password::new(WORDS.to_owned()), Some(hash.clone()));
            assert!(runtime.block_on(checked).unwrap());
        });
    });
    group.finish();
}
