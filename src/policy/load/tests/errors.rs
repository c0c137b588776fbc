//! A row for each code: what is written, what is said, and where.

use super::*;

/// What holds before each row, on line 1 of its own file: names that rows use.
const BASE: &str = r#"
app.base = { host = "base.example", upstream = "http://127.0.0.1:1", require = { signed_in = true }, permission.view.title = "View" }
role.lab-admin = { grantable_by = ["lab-admin", "admin"], permissions = ["base:view"] }
role.known = { grantable_by = ["admin"] }
ip_pattern.campus.include = ["10.1.0.0/16"]
"#;

/// An application with everything it needs and room for more on its second line.
fn app(more: &str) -> String {
    format!("[app.lab]\nhost = \"lab.example\"\nupstream = \"http://127.0.0.1:2\"\nrequire = {{ signed_in = true }}\n{more}")
}

fn texts(files: &[(&str, &str)]) -> PolicyTexts {
    let mut texts = PolicyTexts::default();
    for (name, text) in files {
        texts.files.push(SourceText {
            name: (*name).into(),
            text: (*text).into(),
        });
    }
    texts
        .named
        .insert("page.xml".to_owned(), NamedFile::Plain(Arc::from(&b"<html/>"[..])));
    texts
}

fn errors(texts: &PolicyTexts) -> Vec<Diagnostic> {
    let mut found = check(texts, &context()).findings;
    found.retain(|finding| finding.level == Level::Error);
    found
}

fn hold(rows: &[(&str, String, &str, &str)]) {
    let mut wrong = Vec::new();
    for (name, text, code, at) in rows {
        let texts = texts(&[("base.toml", BASE), ("t.toml", text)]);
        let found = errors(&texts);
        let said: Vec<String> = found
            .iter()
            .map(|finding| {
                let place = finding
                    .at
                    .as_ref()
                    .map_or_else(String::new, |span| texts.texts().locate(span).to_string());
                format!("{} {place}", finding.code)
            })
            .collect();
        if said != [format!("{code} t.toml:{at}")] {
            wrong.push(format!(
                "{name}: expected {code} at {at}, got {said:?}\n{}",
                rendered(&texts, &found)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_written_wrongly() {
    hold(&[
        ("not TOML", "[app.lab\n".to_owned(), "E100", "1:9"),
        ("unknown table", "[aps.lab]\n".to_owned(), "E101", "1:2"),
        ("unknown key", app("titel = \"x\"\n"), "E101", "5:1"),
        ("unknown dotted key", app("timeout.conect = \"1s\"\n"), "E101", "5:9"),
        ("unknown key in a rule", app("[[app.lab.rule]]\npath = \"/x\"\nmethod = [\"GET\"]\n"), "E101", "7:1"),
        ("unknown key in a condition", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { role = [\"known\"] }\n"), "E101", "7:13"),
        ("host in defaults", "[defaults]\nhost = \"x.example\"\n".to_owned(), "E101", "2:1"),
        ("unknown check", "checks.W999 = \"warn\"\n".to_owned(), "E101", "1:8"),
        ("unknown key of a test", "test = [{ name = \"x\", request = \"GET https://base.example/\", expect = \"sign-in\", frm = \"10.0.0.1\" }]\n".to_owned(), "E101", "1:82"),
        ("type", app("websocket = \"yes\"\n"), "E102", "5:13"),
        ("string for a list", app("ip_pattern = \"campus\"\n"), "E102", "5:14"),
        ("signed_in", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { signed_in = 1 }\n"), "E102", "7:25"),
        ("named table", "role.x = 1\n".to_owned(), "E102", "1:10"),
        ("duration", app("recheck = \"fast\"\n"), "E103", "5:11"),
        ("size", app("max_body = \"20MB\"\n"), "E103", "5:12"),
        ("name", "[role.Lab]\ngrantable_by = [\"admin\"]\n".to_owned(), "E103", "1:7"),
        ("mail address", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { users = [\"ada\"] }\n"), "E103", "7:22"),
        ("mail domain", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { email_domains = [\"example\"] }\n"), "E103", "7:30"),
        ("not", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { mfa = false }\n"), "E103", "7:19"),
        ("host", "[app.lab]\nhost = \"https://lab.example\"\nupstream = \"http://127.0.0.1:2\"\nrequire = { signed_in = true }\n".to_owned(), "E103", "2:8"),
        ("host is missing", "[app.lab]\nupstream = \"http://127.0.0.1:2\"\nrequire = { signed_in = true }\n".to_owned(), "E103", "1:6"),
        ("permission of whom", "[[grant]]\nwhen = { signed_in = true }\npermissions = [\"view\"]\n".to_owned(), "E103", "3:16"),
        ("rate", "limit.slow.rate = \"10\"\n".to_owned(), "E103", "1:19"),
        ("request of a test", "test = [{ name = \"x\", request = \"/x\", expect = \"deny\" }]\n".to_owned(), "E103", "1:33"),
        ("grant of nothing", "[[grant]]\nwhen = { signed_in = true }\n".to_owned(), "E103", "1:1"),
        ("recheck", app("recheck = \"4s\"\n"), "E104", "5:11"),
        ("headers.max", app("headers.max = \"17KiB\"\n"), "E104", "5:15"),
        ("health", app("health = { path = \"/x\", every = \"2s\", timeout = \"2s\" }\n"), "E104", "5:49"),
        ("token digits", "signin.token_digits = 10\n".to_owned(), "E104", "1:23"),
        ("password length", "signin.password_min = 7\n".to_owned(), "E104", "1:23"),
        ("seats", "team.x.max_users = -1\n".to_owned(), "E104", "1:20"),
        ("word", app("balance = \"random\"\n"), "E105", "5:11"),
        ("method", app("[[app.lab.rule]]\npath = \"/x\"\nmethods = [\"get\"]\n"), "E105", "7:12"),
        ("way to sign in", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { signin = [\"kerberos\"] }\n"), "E105", "7:23"),
        ("check off without reason", "checks.W230 = \"off\"\n".to_owned(), "E105", "1:15"),
        ("expect", "test = [{ name = \"x\", request = \"GET https://base.example/\", expect = \"ok\" }]\n".to_owned(), "E105", "1:71"),
        ("twice in one file", "[role.x]\ntitle = \"a\"\ntitle = \"b\"\n".to_owned(), "E110", "3:1"),
        ("one header twice", app("headers.set = { \"X-A\" = \"1\", \"x_a\" = \"2\" }\n"), "E110", "5:30"),
        ("a name for two providers", "idp.corp = { kind = \"saml\", metadata = \"https://idp.example/m\", email_domains = [\"x.example\"] }\n[directory.corp]\nkind = \"ldap\"\nurl = [\"ldaps://x\"]\nbase = \"dc=x\"\nuser_filter = \"(uid={login})\"\n".to_owned(), "E110", "2:12"),
    ]);
}

#[test]
fn names_that_do_not_exist() {
    hold(&[
        (
            "role",
            app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { roles = [\"lab-admn\"] }\n"),
            "E111",
            "7:22",
        ),
        (
            "permission",
            app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { permissions = [\"view\"] }\n"),
            "E111",
            "7:28",
        ),
        ("pattern", app("ip_pattern = [\"campsu\"]\n"), "E111", "5:15"),
        ("limit", app("limits = [\"slow\"]\n"), "E111", "5:11"),
        (
            "group's source",
            app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { groups = [\"corp:ops\"] }\n"),
            "E111",
            "7:23",
        ),
        ("idp", app("signin.idps = [\"okta\"]\n"), "E111", "5:16"),
        ("team's app", "team.x.apps = [\"lab\"]\n".to_owned(), "E111", "1:16"),
        (
            "included role",
            "[role.x]\nincludes = [\"known\", \"y\"]\ngrantable_by = [\"admin\"]\n".to_owned(),
            "E111",
            "2:22",
        ),
        (
            "pattern in a pattern",
            "ip_pattern.x.include = [\"@y\", \"192.0.2.1\"]\n".to_owned(),
            "E111",
            "1:25",
        ),
        ("implied permission", app("permission.a.implies = [\"b\"]\n"), "E111", "5:25"),
        (
            "window of a guard",
            "guard = [{ name = \"x\", unless = { window = [\"night\"] } }]\n".to_owned(),
            "E111",
            "1:45",
        ),
        (
            "choice",
            app("headers.choose = [{ header = \"X-R\", from = [{ role = \"r\", value = \"v\" }] }]\n"),
            "E111",
            "5:54",
        ),
        (
            "test's reason",
            "test = [{ name = \"x\", request = \"GET https://base.example/\", expect = \"sign-in\", because = \"no-sesion\" }]\n"
                .to_owned(),
            "E111",
            "1:92",
        ),
        (
            "test's service",
            "test = [{ name = \"x\", as = { service = \"s\" }, request = \"GET https://base.example/\", expect = \"deny\" }]\n".to_owned(),
            "E111",
            "1:40",
        ),
        (
            "role cycle",
            "role.x = { includes = [\"y\"], grantable_by = [\"admin\"] }\nrole.y = { includes = [\"x\"] }\n".to_owned(),
            "E112",
            "1:6",
        ),
        (
            "permission cycle",
            app("permission.a.implies = [\"b\"]\npermission.b.implies = [\"a\"]\n"),
            "E112",
            "5:12",
        ),
        (
            "pattern cycle",
            "ip_pattern.x.include = [\"@y\", \"192.0.2.1\"]\nip_pattern.y.include = [\"@x\", \"192.0.2.2\"]\n".to_owned(),
            "E112",
            "1:12",
        ),
    ]);
}

#[test]
fn what_does_not_go_together() {
    let directory = |more: &str| {
        format!(
            "[directory.corp]\nkind = \"ldap\"\nbase = \"dc=x\"\nuser_filter = \"(uid={{login}})\"\nemail_domains = [\"x.example\"]\n{more}"
        )
    };
    let idp = |more: &str| format!("[idp.x]\nkind = \"saml\"\nemail_domains = [\"x.example\"]\n{more}");
    hold(&[
        ("literal secret", directory("url = \"ldaps://x\"\nbind_password = \"hush\"\n"), "E113", "7:1"),
        ("password in an address", directory("url = \"ldaps://u:p@x\"\n"), "E113", "6:7"),
        ("missing file", directory("url = \"ldaps://x\"\nca_file = \"ca.pem\"\n"), "E114", "7:11"),
        ("same host and path", "[app.lab]\nhost = \"BASE.example\"\nupstream = \"http://127.0.0.1:2\"\nrequire = { signed_in = true }\n".to_owned(), "E120", "2:8"),
        ("alias twice", idp("metadata = \"https://x/m\"\naliases = { acs = \"/saml\", slo = \"/saml\" }\n"), "E120", "5:34"),
        ("path pattern", app("[[app.lab.rule]]\npath = \"/a/**/b\"\n"), "E121", "6:8"),
        ("path without slash", app("[[app.lab.rule]]\npath = [\"/a\", \"b\"]\n"), "E121", "6:15"),
        ("application's path", app("path = \"/a/*\"\n"), "E121", "5:8"),
        ("public with require", app("[[app.lab.rule]]\npath = \"/x\"\naccess = \"public\"\nrequire = { mfa = true }\n"), "E122", "8:11"),
        ("identify without public", app("[[app.lab.rule]]\npath = \"/x\"\nidentify = true\n"), "E122", "7:12"),
        ("role admin", "role.admin.title = \"x\"\n".to_owned(), "E122", "1:6"),
        ("empty require", "[app.lab]\nhost = \"lab.example\"\nupstream = \"http://127.0.0.1:2\"\nrequire = {}\n".to_owned(), "E123", "4:11"),
        ("no require", "[app.lab]\nhost = \"lab.example\"\nupstream = \"http://127.0.0.1:2\"\n".to_owned(), "E123", "1:6"),
        ("empty list", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { roles = [] }\n"), "E123", "7:21"),
        ("empty any_of", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { any_of = [] }\n"), "E123", "7:22"),
        ("empty alternative", app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { any_of = [{}] }\n"), "E123", "7:23"),
        ("grant to whom", "[[grant]]\nroles = [\"known\"]\n".to_owned(), "E123", "1:1"),
        ("no upstream", "[app.lab]\nhost = \"lab.example\"\nrequire = { signed_in = true }\n".to_owned(), "E124", "1:6"),
        ("upstream with path", "[app.lab]\nhost = \"lab.example\"\nupstream = \"http://127.0.0.1:2/x\"\nrequire = { signed_in = true }\n".to_owned(), "E124", "3:12"),
        ("upstream while authorizing", app("mode = \"authorize\"\n"), "E124", "3:1"),
        ("hop-by-hop header", app("headers.set = { Connection = \"{user.id}\" }\n"), "E125", "5:17"),
        ("reserved header", app("headers.set = { \"X_Portcullis.User\" = \"{user.id}\" }\n"), "E125", "5:17"),
        ("variable", app("headers.set = { \"X-A\" = \"{user.mail}\" }\n"), "E126", "5:25"),
        ("assigned outside", "role.x = { grantable_by = [\"admin\"], require = { assigned = true } }\n".to_owned(), "E127", "1:50"),
        ("laxer method", app("signin.methods = [\"password\", \"ldap\"]\n"), "E128", "5:31"),
        ("laxer age", app("signin.max_age = \"13h\"\n"), "E128", "5:18"),
        ("laxer rule", app("[[app.lab.rule]]\npath = \"/x\"\nmax_age = \"13h\"\n"), "E128", "7:11"),
        ("laxer than the session", "signin.max_age = \"25h\"\n".to_owned(), "E128", "1:18"),
        ("grant reads roles", "[[grant]]\nwhen = { roles = [\"known\"] }\nroles = [\"lab-admin\"]\n".to_owned(), "E129", "2:8"),
        ("address", "ip_pattern.x.include = [\"10.1\"]\n".to_owned(), "E130", "1:25"),
        ("host bits", "ip_pattern.x.include = [\"10.1.2.3/24\"]\n".to_owned(), "E131", "1:25"),
        ("not metadata", idp("metadata = \"page.xml\"\n"), "E140", "4:12"),
        ("http metadata", idp("metadata = \"http://x/m\"\n"), "E141", "4:12"),
        ("clear text", directory("url = [\"ldap://x\"]\n"), "E142", "6:8"),
        ("filter", "[directory.corp]\nkind = \"ldap\"\nurl = \"ldaps://x\"\nbase = \"dc=x\"\nuser_filter = \"(uid=x)\"\nemail_domains = [\"x.example\"]\n".to_owned(), "E143", "5:15"),
        ("window's zone", "window.x.timezone = \"Europe/Zurych\"\n".to_owned(), "E150", "1:21"),
        ("window's day", "window.x.days = [\"monday\"]\n".to_owned(), "E150", "1:18"),
        ("window's time", "window.x.from = \"7:00\"\n".to_owned(), "E150", "1:17"),
        ("window's dates", "window.x.dates = [\"2026-02-01..2026-01-01\"]\n".to_owned(), "E150", "1:19"),
        ("failed test", "[[test]]\nname = \"x\"\nrequest = \"GET https://base.example/\"\nexpect = \"allow\"\n".to_owned(), "E160", "1:1"),
    ]);
}

#[test]
fn too_many_ranges() {
    let entries: Vec<String> = (0..4097).map(|n| format!("\"10.{}.{}.1\"", n / 256, n % 256)).collect();
    hold(&[(
        "ranges",
        format!("ip_pattern.x.include = [{}]\n", entries.join(",")),
        "E132",
        "1:12",
    )]);
}

#[test]
fn two_files_say_both_places() {
    for (name, one, two, at, also) in [
        (
            "plain keys of one table",
            "role.x.title = \"a\"\n",
            "[role.x]\ngrantable_by = [\"admin\"]\n",
            "two.toml:2:1",
            "one.toml:1:8",
        ),
        (
            "signin",
            "signin.mfa = \"optional\"\n",
            "signin.attempts = 5\n",
            "two.toml:1:1",
            "one.toml:1:1",
        ),
        (
            "sealed",
            "[role.x]\nsealed = true\n",
            "[role.x]\ntitle = \"a\"\n",
            "two.toml:1:7",
            "one.toml:2:1",
        ),
    ] {
        let texts = texts(&[("base.toml", BASE), ("one.toml", one), ("two.toml", two)]);
        let found = errors(&texts);
        let [only] = found.as_slice() else {
            panic!("{name}: {}", rendered(&texts, &found))
        };
        assert_eq!(only.code, "E110", "{name}");
        assert_eq!(texts.texts().locate(only.at.as_ref().unwrap()).to_string(), at, "{name}");
        assert_eq!(texts.texts().locate(&only.also.first().unwrap().0).to_string(), also, "{name}");
    }
}

#[test]
fn lists_and_permissions_may_come_from_any_file() {
    let texts = texts(&[
        (
            "a.toml",
            "[[app.lab.rule]]\npath = \"/first\"\n[app.lab.permission.one]\ntitle = \"One\"\n",
        ),
        (
            "lab.toml",
            &app("[[app.lab.rule]]\npath = \"/second\"\n[app.lab.permission.two]\ntitle = \"Two\"\n"),
        ),
        ("z.toml", "[[app.lab.rule]]\npath = \"/third\"\n"),
    ]);
    let (policies, _) = load(&texts, &context()).unwrap_or_else(|found| panic!("{}", rendered(&texts, &found)));
    let lab = policies.application(&"lab".parse().unwrap()).unwrap();
    assert_eq!(lab.rules.len(), 3);
    assert_eq!(lab.permissions.len(), 2);
    assert_eq!(lab.at.to_string(), "lab.toml:1:6");
}

#[test]
fn every_problem_of_every_file_is_told_in_one_pass() {
    let texts = texts(&[
        (
            "a.toml",
            "[app.a]\nhost = \"a.example\"\nupstrem = \"http://127.0.0.1:1\"\nrequire = { roles = [\"nobody\"] }\n",
        ),
        ("b.toml", "role.X = {}\nwindow.w.days = [\"x\"]\n"),
    ]);
    let mut codes: Vec<&str> = errors(&texts).iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["E101", "E103", "E111", "E124", "E150"]);
}

#[test]
fn a_file_that_is_no_toml_hides_nothing_that_is_surely_wrong_in_others() {
    let texts = texts(&[
        // Its host may stand in the file that is torn, and so may the role.
        (
            "a.toml",
            "[app.a]\nupstrem = \"http://127.0.0.1:1\"\nwebsocket = \"yes\"\nrequire = { roles = [\"x\"] }\n",
        ),
        ("b.toml", "[app.a\n"),
        ("c.toml", "ip_pattern.x.include = [\"10.1\"]\n"),
    ]);
    let found = errors(&texts);
    let told: Vec<String> = found
        .iter()
        .map(|finding| format!("{} {}", finding.code, texts.texts().locate(finding.at.as_ref().unwrap())))
        .collect();
    assert_eq!(
        told,
        ["E101 a.toml:2:1", "E102 a.toml:3:13", "E100 b.toml:1:7", "E130 c.toml:1:25"],
        "{}",
        rendered(&texts, &found)
    );
}

#[test]
fn a_slip_is_shown_with_its_line_and_what_was_meant() {
    let texts = texts(&[
        ("policies/roles.toml", "[role.lab-admin]\ngrantable_by = [\"admin\"]\n"),
        (
            "policies/lab.toml",
            &app("[[app.lab.rule]]\npath = \"/x\"\nrequire = { roles = [\"lab-admn\"] }\n"),
        ),
    ]);
    let shown = rendered(&texts, &errors(&texts));
    assert!(
        shown.contains("error[E111]: unknown role \"lab-admn\"\n  --> policies/lab.toml:7:22\n"),
        "{shown}"
    );
    assert!(
        shown.contains("^^^^^^^^^^ did you mean \"lab-admin\"? (defined at policies/roles.toml:1:7)"),
        "{shown}"
    );
}

#[test]
fn what_a_thing_was_called_before_is_told() {
    let texts = texts(&[(
        "t.toml",
        "role.chemist = { formerly = [\"lab-user\"], grantable_by = [\"admin\"] }\nteam.x.roles = [\"lab-user\"]\n",
    )]);
    let shown = rendered(&texts, &errors(&texts));
    assert!(shown.contains("it is called \"chemist\" now"), "{shown}");
}
