//! A rate limit lets through what it says, for each user, session or address by itself, and tells everybody else when to come back.

use crate::support::faulty::{Act, Faulty};
use crate::support::{Answer, Gate, request};

const SETTINGS: &str = "server.public_url = \"http://sso.localhost\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
const HOST: &str = "eln.localhost";

fn policy(upstream: &Faulty) -> String {
    format!(
        r#"
[app.eln]
host = "{HOST}"
upstream = "{url}"
require = {{ signed_in = true }}
rule = [
  {{ path = "/user", limits = ["user"] }},
  {{ path = "/session", limits = ["session"] }},
  {{ path = "/both", limits = ["wide", "user"] }},
  {{ path = "/open", access = "public", limits = ["address"] }},
  {{ path = "/admin", require = {{ roles = ["admin"] }}, limits = ["user"] }},
]

[app.other]
host = "other.localhost"
upstream = "{url}"
require = {{ signed_in = true }}
rule = [{{ path = "/shared", limits = ["user"] }}]

[limit]
user = {{ rate = "2/1h", key = "user" }}
session = {{ rate = "2/1h", key = "session" }}
address = {{ rate = "2/1h", key = "ip" }}
wide = {{ rate = "1000/1s", burst = 1000, key = "ip" }}
"#,
        url = upstream.url()
    )
}

async fn gate() -> (Gate, Faulty) {
    let upstream = Faulty::start(|_| Act::Answer).await;
    (Gate::start(SETTINGS, &policy(&upstream)).await, upstream)
}

async fn ask(gate: &Gate, host: &str, path: &str, cookie: &str, from: &str) -> Answer {
    let mut fields = vec![("X-Forwarded-For", from)];
    if !cookie.is_empty() {
        fields.push(("Cookie", cookie));
    }
    gate.get(host, path, &fields).await
}

async fn statuses(gate: &Gate, path: &str, cookie: &str, from: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(ask(gate, HOST, path, cookie, from).await.status);
    }
    statuses
}

#[tokio::test]
async fn each_user_session_and_address_has_a_limit_of_its_own() {
    let (gate, upstream) = gate().await;
    let ada = gate.signed_in("ada", HOST).await;
    let ada_again = gate.sign_in("ada", HOST).await;
    let bo = gate.signed_in("bo", HOST).await;

    assert_eq!(statuses(&gate, "/user", &ada, "192.0.2.1", 3).await, [200, 200, 429]);
    assert_eq!(
        statuses(&gate, "/user", &ada_again, "192.0.2.2", 1).await,
        [429],
        "her other session and address are hers too"
    );
    assert_eq!(
        statuses(&gate, "/user", &bo, "192.0.2.1", 3).await,
        [200, 200, 429],
        "nobody else's"
    );

    assert_eq!(statuses(&gate, "/session", &ada, "192.0.2.1", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&gate, "/session", &ada_again, "192.0.2.1", 3).await, [200, 200, 429]);

    assert_eq!(statuses(&gate, "/open", "", "192.0.2.1", 3).await, [200, 200, 429]);
    assert_eq!(
        statuses(&gate, "/open", &ada, "192.0.2.1", 1).await,
        [429],
        "whoever asks from there"
    );
    assert_eq!(statuses(&gate, "/open", "", "192.0.2.2", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&gate, "/open", "", "2001:db8::1", 2).await, [200, 200]);
    assert_eq!(
        statuses(&gate, "/open", "", "2001:db8::ffff:2", 1).await,
        [429],
        "one network of IPv6 is one client"
    );
    assert_eq!(statuses(&gate, "/open", "", "2001:db8:0:1::1", 1).await, [200]);

    assert_eq!(upstream.count("GET /user"), 4, "what is refused does not reach the application");
    gate.stop().await;
}

#[tokio::test]
async fn who_is_refused_is_told_when_to_come_back() {
    let (gate, _upstream) = gate().await;
    let ada = gate.signed_in("ada", HOST).await;
    statuses(&gate, "/user", &ada, "192.0.2.1", 2).await;
    for _ in 0..2 {
        let refused = ask(&gate, HOST, "/user", &ada, "192.0.2.1").await;
        assert_eq!(refused.status, 429);
        let wait: u64 = refused.field("retry-after").expect("a wait").parse().expect("in seconds");
        assert!((1790..=1800).contains(&wait), "two an hour is one in 1800 seconds: {wait}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn what_is_denied_spends_nothing_and_other_applications_go_on() {
    let (gate, _upstream) = gate().await;
    // The first person is an administrator.
    gate.signed_in("root", HOST).await;
    let ada = gate.signed_in("ada", HOST).await;
    let ada_elsewhere = gate.sign_in("ada", "other.localhost").await;
    assert_eq!(statuses(&gate, "/admin", &ada, "192.0.2.1", 5).await, [403; 5]);
    assert_eq!(statuses(&gate, "/user", "", "192.0.2.1", 5).await, [401; 5]);
    assert_eq!(
        statuses(&gate, "/both", &ada, "192.0.2.1", 3).await,
        [200, 200, 429],
        "the narrower of two"
    );
    assert_eq!(
        statuses(&gate, "/elsewhere", &ada, "192.0.2.1", 5).await,
        [200; 5],
        "paths without a limit have none"
    );
    for _ in 0..5 {
        assert_eq!(
            ask(&gate, "other.localhost", "/free", &ada_elsewhere, "192.0.2.1").await.status,
            200
        );
    }
    let shared = ask(&gate, "other.localhost", "/shared", &ada_elsewhere, "192.0.2.1").await;
    assert_eq!(shared.status, 429, "a limit that two applications name is one");
    gate.stop().await;
}

#[tokio::test]
async fn a_limit_keeps_its_memory_over_a_reload_and_a_changed_clock() {
    let (mut gate, upstream) = gate().await;
    assert_eq!(statuses(&gate, "/open", "", "192.0.2.1", 3).await, [200, 200, 429]);
    gate.reload(&policy(&upstream).replace("require = { roles = [\"admin\"] }", "require = { roles = [\"user\"] }"));
    assert_eq!(statuses(&gate, "/open", "", "192.0.2.1", 1).await, [429]);
    let now = gate.clock.now();
    for at in [
        now.after(std::time::Duration::from_secs(86_400)),
        now.before(std::time::Duration::from_secs(3600)),
    ] {
        gate.clock.set(at);
        let refused = ask(&gate, HOST, "/open", "", "192.0.2.1").await;
        assert_eq!(refused.status, 429, "limits go by a clock that nobody sets");
        let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=1800).contains(&wait), "{wait}");
        assert_eq!(
            ask(&gate, HOST, "/open", "", "192.0.2.77").await.status,
            200,
            "nor is anybody else kept out"
        );
    }
    gate.clock.set(now);
    gate.reload(&policy(&upstream).replace("address = { rate = \"2/1h\"", "address = { rate = \"3/1h\""));
    assert_eq!(
        statuses(&gate, "/open", "", "192.0.2.1", 4).await,
        [200, 200, 200, 429],
        "one that changed begins full"
    );
    gate.stop().await;
}

#[tokio::test]
async fn no_more_than_the_limit_goes_through_at_once() {
    let (gate, upstream) = gate().await;
    let ada = gate.signed_in("ada", HOST).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(gate.connect().await);
    }
    for client in &mut clients {
        client.send(&request("GET", HOST, "/user", &[("Cookie", &ada)])).await;
    }
    let mut through = 0;
    for client in &mut clients {
        through += usize::from(client.answer().await.status == 200);
    }
    assert_eq!((through, upstream.count("GET /user")), (2, 2));
    gate.stop().await;
}
