//! What a letter holds passes to the right server, encrypted, and nobody outside writes into it. A crash loses none.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use portcullis::model::message::Message;
use portcullis::server::control::{self, NewPerson, Request};

use crate::support::browser::{Browser, Reply};
use crate::support::house::{House, PASSWORD, POLICY, PORTAL, sign_in};
use crate::support::post::{Manner, Post, Speaks};

const MINUTE: Duration = Duration::from_secs(60);

async fn ask(house: &House, email: &str) -> Reply {
    house
        .browser()
        .fill(&format!("{PORTAL}/.portcullis/account/reset"), &[("email", email)])
        .await
}

/// The newest letter to ada, once it was tried so often.
async fn tried(house: &House, times: u32) -> Message {
    let accounts = &house.running.desk.app.accounts;
    let ada = accounts.user_named("ada").await.unwrap().unwrap().id;
    let waiting = async {
        loop {
            let letters = accounts.letters_about(ada).await.unwrap();
            if let Some(letter) = letters.into_iter().next().filter(|letter| letter.tries == times) {
                return letter;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it is tried")
}

async fn house_with(url: &str, more: &str) -> House {
    let mail = format!("[mail]\nurl = \"{url}\"\nfrom = \"gate@lab.example\"\ntimeout = \"2s\"\n{more}\n");
    let house = House::with(&format!("site.name = \"Lab\"\n{mail}"), POLICY).await;
    house.add("root").await;
    house.add("ada").await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_pass_over_tls_to_a_server_whose_certificate_is_believed_and_to_no_other() {
    for (speaks, scheme) in [(Speaks::StartTls, "smtp"), (Speaks::Tls, "smtps")] {
        let post = Post::start(speaks).await;
        let port = post.address.port();
        let believed = format!("ca_file = \"{}\"", post.ca_file.display());
        let house = house_with(&format!("{scheme}://localhost:{port}"), &believed).await;
        ask(&house, "ada@example.org").await;
        let letter = post.wait_for_taken(1).await.remove(0);
        assert!(letter.encrypted, "{speaks:?}");
        // Its authority is another one.
        let other = Post::start(Speaks::Clear).await;
        let not_believed = format!("ca_file = \"{}\"", other.ca_file.display());
        let house = house_with(&format!("{scheme}://localhost:{port}"), &not_believed).await;
        ask(&house, "ada@example.org").await;
        let letter = tried(&house, 1).await;
        assert!(letter.said().contains("TLS to it fails"), "{speaks:?}: {letter:?}");
        assert_eq!(post.all().len(), 1, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_tls_back_gets_no_letter() {
    for (speaks, manner, said) in [
        (Speaks::Clear, Manner::Takes, "offers no STARTTLS"),
        (Speaks::StartTls, Manner::Injects, "TLS to it fails"),
        (Speaks::Clear, Manner::Mute, "no answer within"),
    ] {
        let post = Post::start(speaks).await;
        post.behave(manner.clone());
        let url = format!("smtp://localhost:{}", post.address.port());
        let house = house_with(&url, &format!("ca_file = \"{}\"", post.ca_file.display())).await;
        ask(&house, "ada@example.org").await;
        let letter = tried(&house, 1).await;
        assert!(letter.said().contains(said), "{manner:?}: {letter:?}");
        assert!(post.all().is_empty(), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_read_again_from_its_file() {
    let post = Post::start(Speaks::Clear).await;
    post.only("gate@lab.example", "second");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "first\n").unwrap();
    let url = format!("smtp://gate%40lab.example@{}", post.address);
    let house = house_with(&url, &format!("password_file = \"{}\"", file.display())).await;
    ask(&house, "ada@example.org").await;
    let letter = tried(&house, 1).await;
    assert!(letter.said().contains("does not take the user and password"), "{letter:?}");
    assert!(!letter.said().contains("first"), "{letter:?}");
    fs::write(&file, "second\n").unwrap();
    house.wait(MINUTE);
    house.running.desk.app.accounts.hurry_letters();
    let arrived = post.wait_for_taken(1).await;
    assert_eq!(arrived[0].user.as_deref(), Some("gate@lab.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_gone_by_after_a_reload() {
    let (before, after) = (Post::start(Speaks::Clear).await, Post::start(Speaks::Clear).await);
    let house = House::with("", POLICY).await;
    house.add("root").await;
    house.add("ada").await;
    house.write_settings(&before.settings());
    house.reload().await;
    ask(&house, "ada@example.org").await;
    before.wait_for_taken(1).await;
    before.go_down().await;
    ask(&house, "root@example.org").await;
    house.rewrite_settings(&before.address.to_string(), &after.address.to_string());
    house.reload().await;
    house.wait(MINUTE);
    house.running.desk.app.accounts.hurry_letters();
    assert_eq!(after.wait_for_taken(1).await[0].to, "root@example.org");
}

/// Names as people may have them, and as somebody may want to have them.
const NAMES: [&str; 8] = [
    "<b>Eve</b>",
    "Eve \"the\" O'Brien & Sons",
    "\u{1f600} Eve \u{1f469}\u{200d}\u{1f52c}",
    "\u{0639}\u{0627}\u{062f}\u{0644}",
    "\u{05d7}\u{05d5}\u{05d4} Eve",
    "=?utf-8?q?Bcc:_all?=",
    "Eve, all@lab.example",
    "Bcc: all@lab.example",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_name_becomes_a_header_markup_or_another_address() {
    let post = Post::start(Speaks::Clear).await;
    let house = House::with(&format!("site.name = \"Lab\"\n{}", post.settings()), POLICY).await;
    house.add("root").await;
    let mut heads = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let giver = format!("giver{number}");
        house
            .add_with(&giver, |person| {
                person.given_name = Some((*name).to_owned());
                person.role = Some("admin".to_owned());
            })
            .await;
        let taker = format!("taker{number}");
        house.add(&taker).await;
        let mut browser = sign_in(&house, &giver).await;
        let id = house.running.desk.app.accounts.user_named(&taker).await.unwrap().unwrap().id;
        let url = format!("{PORTAL}/.portcullis/admin/users/{id}/role");
        let form = browser.open(&url).await.form_with(["role"].into_iter());
        let fields: Vec<(&str, &str)> = form.hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        let given = browser.submit(&url, &fields).await;
        assert_eq!(given.status, 200, "{}", given.words());
        let letter = post.wait_for_taken(number + 1).await.remove(number);
        assert_eq!(
            (letter.from.as_str(), letter.to.clone()),
            ("gate@lab.example", format!("{taker}@example.org")),
            "{name}"
        );
        heads.push(letter.headers());
        assert!(
            letter.text().contains(&format!("Given by: {name}\r\n")),
            "{name}: {}",
            letter.text()
        );
        assert!(!letter.html().contains("<b>"), "{name}");
    }
    assert!(
        heads.iter().all(|head| *head == heads[0] && !head.contains(&"bcc".to_owned())),
        "{heads:?}"
    );
    // Line breaks and marks that turn the text get into no name.
    let mut root = sign_in(&house, "root").await;
    for name in ["Eve\r\nBcc: all@lab.example", "Eve\u{202e}", "Eve\u{0}"] {
        let page = root.open(&format!("{PORTAL}/.portcullis/admin/users")).await;
        let fields = [
            ("email", "eve@example.org"),
            ("username", "eve"),
            ("given-name", name),
            ("family-name", "x"),
        ];
        let refused = root.fill_in(&page, &fields).await;
        assert_eq!(refused.status, 422, "{name:?}");
        assert!(refused.words().contains("Invalid characters found"), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_becomes_two() {
    let post = Post::start(Speaks::Clear).await;
    let house = House::with(&post.settings(), POLICY).await;
    house.add("root").await;
    for address in [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org,eve@example.org",
        "ada@example.org eve@example.org",
        "\"ada@example.org\"@example.org",
        "<ada@example.org>",
        "ada@[127.0.0.1]",
    ] {
        let page = ask(&house, address).await;
        assert_eq!(page.status, 422, "{address:?}");
    }
    ask(&house, "root@example.org").await;
    assert_eq!(post.wait_for(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_the_public_url_whatever_the_request_says() {
    let post = Post::start(Speaks::Clear).await;
    let settings = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", post.settings());
    let house = House::with(&settings, POLICY).await;
    house.add("root").await;
    house.add("ada").await;
    let mut browser = house.browser();
    let url = format!("{PORTAL}/.portcullis/account/reset");
    let form = browser.open(&url).await.form_with(["email"].into_iter());
    let csrf = form.hidden.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
    let fields = [("email", "ada@example.org"), ("csrf", &*csrf)];
    let evil = [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-original-url", "https://evil.example/"),
    ];
    let asked = browser.send(Method::POST, &url, &evil, Some(&fields)).await;
    assert_eq!(asked.status, 303, "{}", asked.words());
    let letter = post.wait_for_taken(1).await.remove(0);
    assert!(!letter.raw.contains("evil"), "{}", letter.raw);
    assert!(letter.text().contains(&format!("{PORTAL}/.portcullis/account/reset/token")));
    let poisoned = browser.send(Method::POST, &url, &[("host", "evil.example")], Some(&fields)).await;
    assert_eq!(poisoned.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_takes_letters_too() {
    let folder = tempfile::tempdir().unwrap();
    let house = house_with(&format!("file://{}", folder.path().display()), "").await;
    ask(&house, "ada@example.org").await;
    let letter = tried(&house, 1).await;
    let text = fs::read_to_string(folder.path().join(format!("{}.eml", letter.id))).unwrap();
    assert!(text.contains("Subject: Your Lab reset token\r\n"), "{text}");
}

/// The program itself, with a store on disk.
struct Server {
    folder: tempfile::TempDir,
    process: Option<Child>,
    gateway: SocketAddr,
    management: SocketAddr,
}

impl Server {
    fn start(post: &Post) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "server.public_url = \"{PORTAL}\"\nlisten.http = \"127.0.0.1:0\"\nlisten.management = \"127.0.0.1:0\"\npolicy.watch = false\n{}",
            post.settings().replace("\"2s\"", "\"60s\"")
        );
        for (name, text) in [("config/portcullis.toml", settings.as_str()), ("policies/main.toml", "")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut server = Self {
            folder,
            process: None,
            gateway: ([127, 0, 0, 1], 0).into(),
            management: ([127, 0, 0, 1], 0).into(),
        };
        server.run();
        server
    }

    fn run(&mut self) {
        let process = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config"])
            .arg(self.folder.path().join("config/portcullis.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = self.process.insert(process).stdout.take().unwrap();
        for line in BufReader::new(told).lines() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening http ") {
                self.gateway = address.parse().unwrap();
            }
            if let Some(address) = line.strip_prefix("listening management ") {
                self.management = address.parse().unwrap();
            }
            if line == "ready" {
                return;
            }
        }
        panic!("the server does not start");
    }

    /// As kill -9 does.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn add(&self, username: &str) {
        let person = NewPerson {
            email: format!("{username}@example.org"),
            username: Some(username.to_owned()),
            given_name: None,
            family_name: None,
            role: None,
            team: None,
            ip_pattern: None,
            idp: None,
            password: Some(PASSWORD.to_owned()),
        };
        let socket: &Path = &self.folder.path().join("data/portcullis.sock");
        control::ask(socket, &Request::UserAdd(person)).unwrap();
    }

    /// Waits until it has noted so many letters as sent since it started.
    async fn has_noted(&self, count: usize) {
        let line = format!("portcullis_mail_total{{outcome=\"sent\"}} {count}");
        let noted = async {
            while !Browser::script(self.management)
                .get("http://localhost/metrics")
                .await
                .text()
                .contains(&line)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), noted).await.expect(&line);
    }

    async fn ask(&self, email: &str) {
        let reply = Browser::new(self.gateway)
            .fill(&format!("{PORTAL}/.portcullis/account/reset"), &[("email", email)])
            .await;
        assert!(reply.words().contains("on its way"), "{}", reply.words());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_no_letter_and_sends_none_twice_but_the_one_on_its_way() {
    let post = Post::start(Speaks::Clear).await;
    let mut server = Server::start(&post);
    for name in ["root", "ada", "bo"] {
        server.add(name);
    }
    // Taken and noted: not sent again.
    server.ask("root@example.org").await;
    post.wait_for_taken(1).await;
    // Heard by the server, whose answer never comes: nobody can know, so it goes out again under the same name.
    post.behave(Manner::Silent);
    server.ask("ada@example.org").await;
    post.wait_for(2).await;
    // Written while that one was on its way.
    server.ask("bo@example.org").await;
    server.kill();
    post.behave(Manner::Takes);
    server.run();
    let arrived = post.wait_for(4).await;
    let id = |at: usize| arrived[at].header("Message-ID").unwrap();
    assert_eq!((arrived[1].to.as_str(), id(1)), (arrived[2].to.as_str(), id(2)));
    assert_eq!(arrived[3].to, "bo@example.org");
    assert!(arrived[2].taken && arrived[3].taken);
    server.has_noted(2).await;
    // After another crash there is nothing left to send.
    server.kill();
    server.run();
    server.add("cy");
    server.ask("cy@example.org").await;
    assert_eq!(post.wait_for(5).await[4].to, "cy@example.org", "the oldest goes first");
}
