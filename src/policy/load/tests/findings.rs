//! The analyses: for each code, texts that have the finding and texts beside it that do not.

use super::*;

/// What an application needs, with a test each way, so that only what a row adds is found.
fn app(more: &str) -> String {
    format!(
        "app.lab.host = \"lab.example\"\napp.lab.upstream = \"http://127.0.0.1:1\"\napp.lab.require = {{ signed_in = true }}\n{more}\n\
         [[test]]\nname = \"a person\"\nas = {{ email = \"ada@lab.example\" }}\nrequest = \"GET https://lab.example/tested\"\nexpect = \"allow\"\n\
         [[test]]\nname = \"a stranger\"\nrequest = \"GET https://lab.example/tested\"\nexpect = \"sign-in\"\n"
    )
}

fn rules(rules: &str) -> String {
    app(&format!("app.lab.rule = [{rules}]\n"))
}

fn found(text: &str, context: &Context) -> Vec<Diagnostic> {
    let mut texts = PolicyTexts::default();
    texts.files.push(SourceText {
        name: "t.toml".into(),
        text: text.into(),
    });
    let checked = check(&texts, context);
    for finding in &checked.findings {
        assert!(!finding.code.starts_with('E'), "{text}\n{}", rendered(&texts, &checked.findings));
    }
    checked.findings
}

/// Each row: name, text, and what the findings of the code say, in part. None: there is no such finding.
fn hold(code: &str, level: Level, rows: &[(&str, String, &[&str])]) {
    hold_in(&context(), code, level, rows);
}

fn hold_in(context: &Context, code: &str, level: Level, rows: &[(&str, String, &[&str])]) {
    for (name, text, expected) in rows {
        let found: Vec<Diagnostic> = found(text, context).into_iter().filter(|finding| finding.code == code).collect();
        let said: Vec<String> = found
            .iter()
            .map(|finding| format!("{} {}", finding.message, finding.label))
            .collect();
        assert_eq!(said.len(), expected.len(), "{name}: {said:?}");
        for (said, part) in said.iter().zip(*expected) {
            assert!(said.contains(part), "{name}: {said} has no {part}");
        }
        assert!(found.iter().all(|finding| finding.level == level && finding.at.is_some()), "{name}");
    }
}

#[test]
fn w220_a_rule_that_never_matches() {
    hold(
        "W220",
        Level::Warning,
        &[
            ("apart", rules("{ path = \"/a/**\" }, { path = \"/b\" }"), &[]),
            ("inside a wider one", rules("{ path = \"/a/**\" }, { path = \"/a/b\" }"), &[]),
            (
                "below another prefix",
                app("app.lab.path = \"/lab\"\napp.lab.rule = [{ path = \"/other/**\" }]\ntest = []")
                    .replace("test = []\n", "")
                    .replace("/tested", "/lab/x"),
                &["\"/other/**\""],
            ),
            ("under our own prefix", rules("{ path = \"/.portcullis/x\" }"), &["/.portcullis/x"]),
            (
                "nearly covered by several",
                rules("{ path = \"/a/*c*\" }, { path = [\"/a/*cc*\", \"/a/c\"] }"),
                &[],
            ),
            (
                "a stricter rule of the same path",
                rules("{ path = \"/a\", access = \"public\" }, { path = \"/a\", access = \"deny\" }"),
                &["\"/a\""],
            ),
            (
                "stricter for another method",
                rules("{ path = \"/a\", methods = [\"GET\"] }, { path = \"/a\", methods = [\"POST\"], access = \"deny\" }"),
                &[],
            ),
            (
                "stricter, but names no method",
                rules("{ path = \"/a\", methods = [\"GET\"] }, { path = \"/a\", access = \"deny\" }"),
                &[],
            ),
            (
                "another application has those paths",
                app(
                    "app.lab.rule = [{ path = \"/sub/**\" }]\napp.sub = { host = \"lab.example\", path = \"/sub\", upstream = \"http://127.0.0.1:2\", require = { signed_in = true } }",
                ),
                &["\"/sub/**\""],
            ),
        ],
    );
}

#[test]
fn w221_a_public_path_over_a_protected_one() {
    hold(
        "W221",
        Level::Error,
        &[
            (
                "crossing",
                rules("{ path = \"/api/**\", access = \"public\" }, { path = \"/*/users\" }"),
                &["wins for /api/users, which \"/*/users\""],
            ),
            (
                "around",
                rules("{ path = \"/**\", access = \"public\" }, { path = \"/admin/**\" }")
                    .replace("expect = \"sign-in\"", "expect = \"allow\""),
                &["loses for /admin"],
            ),
            (
                "inside",
                rules("{ path = \"/api/health\", access = \"public\" }, { path = \"/api/**\" }"),
                &[],
            ),
            (
                "beside",
                rules("{ path = \"/health\", access = \"public\" }, { path = \"/api/**\" }"),
                &[],
            ),
            (
                "two public ones",
                rules("{ path = \"/a/*\", access = \"public\" }, { path = \"/*/b\", access = \"public\" }"),
                &[],
            ),
            (
                "parts",
                rules("{ path = \"/*.css\", access = \"public\" }, { path = \"/admin*\" }"),
                &["loses for /admin.css"],
            ),
        ],
    );
}

#[test]
fn w222_two_patterns_tie() {
    hold(
        "W222",
        Level::Warning,
        &[
            ("parts", rules("{ path = \"/a*\" }, { path = \"/*b\" }"), &["tie on /ab"]),
            ("no shared path", rules("{ path = \"/a*c\" }, { path = \"/b*d\" }"), &[]),
            (
                "decided by a third",
                rules("{ path = \"/a*\" }, { path = \"/*a\" }, { path = \"/a*a\" }, { path = \"/a\" }"),
                &[],
            ),
            ("one pattern twice", rules("{ path = \"/a\" }, { path = \"/a\" }"), &["tie on /a"]),
            (
                "one names the method",
                rules("{ path = \"/a\", methods = [\"GET\"] }, { path = \"/a\" }"),
                &[],
            ),
            (
                "different methods",
                rules("{ path = \"/a\", methods = [\"GET\"] }, { path = \"/a\", methods = [\"POST\"] }"),
                &[],
            ),
            (
                "GET covers HEAD",
                rules("{ path = \"/a\", methods = [\"GET\"] }, { path = \"/a\", methods = [\"HEAD\"] }"),
                &["tie on /a"],
            ),
            ("patterns of one rule", rules("{ path = [\"/a*\", \"/*b\"] }"), &[]),
        ],
    );
}

#[test]
fn w223_methods_left_out() {
    hold(
        "W223",
        Level::Warning,
        &[
            (
                "a wider rule allows them",
                rules("{ path = \"/a/**\" }, { path = \"/a/b\", methods = [\"GET\"] }"),
                &["\"/a/b\" lists GET"],
            ),
            (
                "a second rule says what they need",
                rules("{ path = \"/a/**\" }, { path = \"/a/b\", methods = [\"GET\"] }, { path = \"/a/b\" }"),
                &[],
            ),
            (
                "the wider rule denies them",
                rules("{ path = \"/a/**\", access = \"deny\" }, { path = \"/a/b\", methods = [\"GET\"] }"),
                &[],
            ),
            (
                "the wider rule has the same",
                rules("{ path = \"/a/**\", methods = [\"GET\"] }, { path = \"/a/b\", methods = [\"GET\", \"HEAD\"] }"),
                &[],
            ),
            ("no wider rule", rules("{ path = \"/a/b\", methods = [\"GET\"] }"), &[]),
        ],
    );
}

#[test]
fn w230_what_nothing_gives() {
    hold(
        "W230",
        Level::Warning,
        &[
            ("nobody hands it out", app("role.x = {}"), &["role `x`"]),
            (
                "given by a grant",
                app("role.x = {}\ngrant = [{ when = { users = [\"ada@lab.example\"] }, roles = [\"x\"] }]"),
                &[],
            ),
            (
                "handed out by one who has it from nobody",
                app("role.x = { grantable_by = [\"y\"] }\nrole.y = { grantable_by = [\"x\"] }"),
                &["role `x`", "role `y`"],
            ),
            (
                "included in one that is given",
                app("role.x = {}\nrole.y = { includes = [\"x\"], grantable_by = [\"admin\"] }"),
                &[],
            ),
            (
                "a team role, while `main` is not written",
                app("role.x = { scope = \"team\" }"),
                &[],
            ),
            (
                "a team role that no team has",
                app("role.x = { scope = \"team\" }\nteam.main = {}"),
                &["role `x`"],
            ),
            (
                "a rule that admits nobody",
                app(
                    "role.x = {}\napp.lab.rule = [{ path = \"/x\", require = { roles = [\"x\"] } }, { path = \"/y\", require = { roles = [\"x\", \"user\"] } }]",
                ),
                &["role `x`", "rule \"/x\""],
            ),
            (
                "a permission of an application nobody assigns",
                app("app.lab.permission.p = {}\nteam.main = {}"),
                &["permission `lab:p`"],
            ),
            (
                "a permission that a team can tick",
                app("app.lab.permission.p = {}\nteam.main.apps = [\"lab\"]"),
                &[],
            ),
            (
                "implied by one that is carried",
                app(
                    "app.lab.permission.p = {}\napp.lab.permission.q.implies = [\"p\"]\nteam.main = {}\nrole.x = { permissions = [\"lab:q\"], grantable_by = [\"admin\"] }",
                ),
                &[],
            ),
        ],
    );
}

#[test]
fn w231_what_nothing_uses() {
    hold(
        "W231",
        Level::Warning,
        &[
            ("role", app("role.x = { grantable_by = [\"admin\"] }"), &["role `x`"]),
            (
                "role that carries something",
                app("role.x = { grantable_by = [\"admin\"], admin = [\"audit\"] }"),
                &[],
            ),
            (
                "role that is asked for",
                app(
                    "role.x = { grantable_by = [\"admin\"] }\napp.lab.rule = [{ path = \"/x\", require = { any_of = [{ roles = [\"x\"] }] } }]",
                ),
                &[],
            ),
            (
                "window",
                app("window.night = { from = \"22:00\", to = \"06:00\" }"),
                &["window `night`"],
            ),
            (
                "window of a guard",
                app(
                    "window.night = { from = \"22:00\", to = \"06:00\" }\nguard = [{ name = \"g\", paths = [\"/x\"], unless = { window = [\"night\"] } }]",
                ),
                &[],
            ),
            ("limit", app("limit.slow.rate = \"1/1s\""), &["limit `slow`"]),
            (
                "limit of a rule",
                app("limit.slow.rate = \"1/1s\"\napp.lab.rule = [{ path = \"/x\", limits = [\"slow\"] }]"),
                &[],
            ),
            (
                "what the console may choose",
                app("ip_pattern.p.include = [\"192.0.2.1\"]\nteam.t = {}"),
                &[],
            ),
        ],
    );
}

#[test]
fn w232_requirements_that_contradict_themselves() {
    let rule = |require: &str, more: &str| app(&format!("{more}\napp.lab.rule = [{{ path = \"/x\", require = {require} }}]"));
    let patterns = "ip_pattern.here.include = [\"10.1.0.0/16\"]\nip_pattern.there.include = [\"10.2.0.0/16\"]\nip_pattern.both.include = [\"10.1.1.0/24\", \"10.2.0.0/16\"]";
    let windows = "window.week = { days = [\"mon\", \"tue\"] }\nwindow.weekend = { days = [\"sat\"], from = \"08:00\", to = \"12:00\" }\nwindow.zone = { days = [\"tue\"], from = \"23:00\", to = \"24:00\", timezone = \"America/New_York\" }\nwindow.wed = { days = [\"wed\"], from = \"00:00\", to = \"05:00\" }";
    let teams = "idp.okta = { kind = \"saml\", metadata = \"https://x/m\", email_domains = [\"a.example\"] }\nidp.azure = { kind = \"saml\", metadata = \"https://y/m\", email_domains = [\"b.example\"] }\nteam.acme = { idps = [\"okta\"], email_domains = [\"a.example\"] }\nsignin.methods = [\"password\", \"saml\"]";
    hold(
        "W232",
        Level::Error,
        &[
            (
                "addresses apart",
                rule("{ ip_pattern = [\"here\"], any_of = [{ ip_pattern = [\"there\"] }] }", patterns),
                &["no address"],
            ),
            (
                "addresses that meet",
                rule(
                    "{ ip_pattern = [\"here\"], any_of = [{ ip_pattern = [\"there\"] }, { ip_pattern = [\"both\"] }] }",
                    patterns,
                ),
                &[],
            ),
            (
                "the application's own pattern",
                rule(
                    "{ ip_pattern = [\"there\"] }",
                    &format!("{patterns}\napp.lab.ip_pattern = [\"here\"]"),
                )
                .replace("expect = \"allow\"", "expect = \"deny\"")
                .replace("expect = \"sign-in\"", "expect = \"deny\""),
                &["no address"],
            ),
            (
                "a role's requirement",
                rule(
                    "{ roles = [\"r\"], ip_pattern = [\"there\"] }",
                    &format!("{patterns}\nrole.r = {{ grantable_by = [\"admin\"], require = {{ ip_pattern = [\"here\"] }} }}"),
                ),
                &["no address"],
            ),
            (
                "one of two roles fits",
                rule(
                    "{ roles = [\"r\", \"user\"], ip_pattern = [\"there\"] }",
                    &format!("{patterns}\nrole.r = {{ grantable_by = [\"admin\"], require = {{ ip_pattern = [\"here\"] }} }}"),
                ),
                &[],
            ),
            (
                "a service that is a person",
                rule(
                    "{ services = [\"s\"], mfa = true }",
                    &format!("{patterns}\nservice.s = {{ ip_pattern = [\"here\"] }}"),
                ),
                &["a service has no"],
            ),
            (
                "a service from elsewhere",
                rule(
                    "{ services = [\"s\"], ip_pattern = [\"there\"] }",
                    &format!("{patterns}\nservice.s = {{ ip_pattern = [\"here\"] }}"),
                ),
                &["from no address"],
            ),
            (
                "team and provider disjoint",
                rule("{ teams = [\"acme\"], idps = [\"azure\"] }", teams),
                &["members of `acme` come through other providers"],
            ),
            (
                "team and its provider",
                rule("{ teams = [\"acme\"], idps = [\"okta\"] }", teams),
                &[],
            ),
            (
                "team and foreign mail",
                rule("{ teams = [\"acme\"], email_domains = [\"b.example\"] }", teams),
                &["other mail domains"],
            ),
            (
                "two providers at once",
                rule("{ idps = [\"okta\"], groups = [\"azure:x\"] }", teams),
                &["one provider"],
            ),
            (
                "user and domain",
                rule("{ users = [\"ada@a.example\"], email_domains = [\"b.example\"] }", ""),
                &["none of the users"],
            ),
            ("method not accepted", rule("{ signin = [\"ldap\"] }", ""), &["no way to sign in"]),
            (
                "provider without its method",
                rule(
                    "{ idps = [\"okta\"] }",
                    &teams.replace("signin.methods = [\"password\", \"saml\"]", ""),
                ),
                &["not accepted"],
            ),
            (
                "windows apart",
                rule("{ window = [\"week\"], any_of = [{ window = [\"weekend\"] }] }", windows),
                &["never hold"],
            ),
            (
                "windows that meet across zones",
                rule("{ window = [\"zone\"], any_of = [{ window = [\"wed\"] }] }", windows),
                &[],
            ),
            (
                "dates without such a day",
                rule(
                    "{ window = [\"never\"] }",
                    "window.never = { days = [\"mon\"], dates = [\"2026-03-01\"] }",
                ),
                &["never hold"],
            ),
            (
                "a grant",
                app(
                    "role.r = { admin = [\"audit\"] }\ngrant = [{ when = { users = [\"ada@a.example\"], email_domains = [\"b.example\"] }, roles = [\"r\"] }]",
                ),
                &["`when` of this grant"],
            ),
        ],
    );
}

#[test]
fn w240_to_w244_addresses() {
    let pattern = |text: &str| app(&format!("ip_pattern.p = {{ {text} }}"));
    hold(
        "W240",
        Level::Error,
        &[
            (
                "all excluded again",
                pattern("include = [\"10.1.0.0/16\"], exclude = [\"10.0.0.0/8\"]"),
                &["contains no address"],
            ),
            ("some left", pattern("include = [\"10.0.0.0/8\"], exclude = [\"10.1.0.0/16\"]"), &[]),
        ],
    );
    hold(
        "W241",
        Level::Error,
        &[
            ("everybody", pattern("include = [\"0.0.0.0/0\"]"), &["IPv4"]),
            ("half", pattern("include = [\"0.0.0.0/1\"]"), &["IPv4"]),
            ("both families", pattern("include = [\"0.0.0.0/0\", \"::/0\"]"), &["IPv4 and IPv6"]),
            ("meant", pattern("include = [\"0.0.0.0/0\"], allow_all = true"), &[]),
            ("a quarter", pattern("include = [\"0.0.0.0/2\"]"), &[]),
        ],
    );
    hold(
        "W242",
        Level::Info,
        &[
            (
                "covered entry",
                pattern("include = [\"10.0.0.0/8\", \"10.1.2.3\"]"),
                &["\"10.1.2.3\" is covered"],
            ),
            (
                "covered by two together",
                pattern("include = [\"10.0.0.0/9\", \"10.128.0.0/9\", \"10.127.255.255-10.128.0.0\"]"),
                &["\"10.127.255.255-10.128.0.0\""],
            ),
            ("twice", pattern("include = [\"10.1.2.3\", \"10.1.2.3\"]"), &["\"10.1.2.3\""]),
            (
                "two patterns",
                app("ip_pattern.p.include = [\"10.0.0.0/8\"]\nip_pattern.q.include = [\"10.1.0.0-10.1.0.9\"]"),
                &["share 10.1.0.0-10.1.0.9"],
            ),
            (
                "one made of the other",
                app("ip_pattern.p.include = [\"10.0.0.0/8\"]\nip_pattern.q.include = [\"@p\"]"),
                &[],
            ),
        ],
    );
    let both = Context {
        both_families: true,
        ..context()
    };
    hold_in(
        &both,
        "W243",
        Level::Warning,
        &[
            ("IPv4 only", pattern("include = [\"10.0.0.0/8\"]"), &["IPv4 addresses only"]),
            ("both", pattern("include = [\"10.0.0.0/8\", \"fd00::/8\"]"), &[]),
        ],
    );
    hold(
        "W243",
        Level::Warning,
        &[("the gateway has one family", pattern("include = [\"10.0.0.0/8\"]"), &[])],
    );
    hold(
        "W244",
        Level::Info,
        &[
            (
                "excluded by another",
                app("ip_pattern.p.include = [\"10.1.0.0/16\"]\nip_pattern.q = { include = [\"10.0.0.0/8\"], exclude = [\"@p\"] }"),
                &["`p` is excluded by `q`"],
            ),
            (
                "read by a guard",
                app("ip_pattern.p.include = [\"10.1.0.0/16\"]\nguard = [{ name = \"g\", when = { ip_pattern = [\"p\"] } }]"),
                &["reads IP pattern `p`"],
            ),
            (
                "an exception",
                app("ip_pattern.p.include = [\"192.0.2.0/24\"]\nguard = [{ name = \"g\", unless = { ip_pattern = [\"p\"] } }]"),
                &[],
            ),
        ],
    );
}

#[test]
fn w252_to_w254_sources() {
    let idp = |more: &str| app(&format!("idp.x = {{ kind = \"saml\", metadata = \"https://x/m\", {more} }}"));
    hold(
        "W252",
        Level::Warning,
        &[
            ("any domain", idp("email_domains = [\"*\"]"), &["anybody's mail address"]),
            ("none, but makes users", idp("title = \"X\""), &["no mail address of it"]),
            ("none and makes none", idp("jit = \"off\""), &[]),
            ("its own", idp("email_domains = [\"x.example\"]"), &[]),
        ],
    );
    let service = |expires: &str| {
        app(&format!(
            "ip_pattern.p.include = [\"192.0.2.1\"]\nservice.s = {{ ip_pattern = [\"p\"], expires = {expires} }}"
        ))
    };
    hold(
        "W253",
        Level::Warning,
        &[
            ("long ago", service("2026-01-01"), &["`s` has expired"]),
            ("one second ago", service("2026-11-24T11:59:59Z"), &["`s` has expired"]),
            ("not yet", service("2027-01-01"), &[]),
        ],
    );
    hold(
        "W254",
        Level::Warning,
        &[
            (
                "four digits",
                app("signin = { token_style = \"digits\", token_digits = 4 }"),
                &["tokens of 4 digits"],
            ),
            ("six digits", app("signin = { token_style = \"digits\" }"), &[]),
            ("no digits", app("signin = { token_digits = 4 }"), &[]),
        ],
    );
}

#[test]
fn w260_and_w261_where_applications_are() {
    let upstream = |address: &str, more: &str| app(more).replace("http://127.0.0.1:1", address);
    hold(
        "W260",
        Level::Warning,
        &[
            (
                "plain to another host",
                upstream("http://10.0.0.7", "app.lab.headers.assertion = false"),
                &["10.0.0.7"],
            ),
            ("with an assertion", upstream("http://10.0.0.7", ""), &[]),
            (
                "on this machine",
                upstream("http://localhost:1", "app.lab.headers.assertion = false"),
                &[],
            ),
            ("over TLS", upstream("https://10.0.0.7", "app.lab.headers.assertion = false"), &[]),
            (
                "nothing told",
                upstream("http://10.0.0.7", "app.lab.headers = { assertion = false, identity = false }"),
                &[],
            ),
            (
                "a preset tells",
                upstream(
                    "http://10.0.0.7",
                    "app.lab.headers = { assertion = false, identity = false, preset = \"grafana\" }",
                ),
                &["10.0.0.7"],
            ),
        ],
    );
    hold(
        "W261",
        Level::Warning,
        &[
            (
                "the portal's host",
                app("").replace("lab.example", "sso.example.org"),
                &["shares the portal's host"],
            ),
            (
                "a wildcard over it",
                app("").replace("host = \"lab.example\"", "host = [\"lab.example\", \"*.example.org\"]"),
                &["shares the portal's host"],
            ),
            ("another host", app(""), &[]),
        ],
    );
}

#[test]
fn w266_to_w268_tests_and_budgets() {
    let window = "window.w = { days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"], from = \"06:00\", to = \"22:00\" }\nguard = [{ name = \"nights\", paths = [\"/night\"], unless = { window = [\"w\"] } }]";
    let test = |more: &str| {
        format!(
            "{}[[test]]\nname = \"at night\"\nas = {{ email = \"ada@lab.example\" }}\nrequest = \"GET https://lab.example/night\"\n{more}\n",
            app(window)
        )
    };
    hold(
        "W266",
        Level::Warning,
        &[
            ("whenever it is run", test("expect = \"allow\""), &["\"at night\" depends on when"]),
            (
                "at a moment",
                test("at = 2026-03-01T12:00:00Z\nexpect = \"deny\"\nbecause = \"nights\""),
                &[],
            ),
        ],
    );
    let only = |expect: &str| {
        format!("app.lab = {{ host = \"lab.example\", upstream = \"http://127.0.0.1:1\", require = {{ signed_in = true }} }}\n{expect}")
    };
    hold(
        "W267",
        Level::Warning,
        &[
            ("no test", only(""), &["`lab` has no test"]),
            (
                "one way",
                only("test = [{ name = \"x\", request = \"GET https://lab.example/\", expect = \"sign-in\" }]"),
                &["somebody is allowed"],
            ),
            ("both ways", app(""), &[]),
        ],
    );
    let long: String = (0..40)
        .map(|n| format!("permission.{}{n} = {{}}\n", "p".repeat(60)))
        .map(|line| format!("app.lab.{line}"))
        .collect();
    hold(
        "W268",
        Level::Warning,
        &[
            (
                "forty long names",
                app(&format!("{long}app.lab.headers.max = \"2KiB\"")),
                &["2048 are allowed"],
            ),
            ("room for them", app(&long), &[]),
        ],
    );
}

#[test]
fn checks_change_levels_and_turn_off_with_a_reason() {
    let unused = |checks: &str| app(&format!("limit.slow.rate = \"1/1s\"\n{checks}"));
    hold(
        "W231",
        Level::Warning,
        &[
            ("as it is", unused(""), &["limit `slow`"]),
            ("off", unused("checks.W231 = { level = \"off\", reason = \"soon\" }"), &[]),
        ],
    );
    hold(
        "W231",
        Level::Error,
        &[("error", unused("checks.W231 = \"error\""), &["limit `slow`"])],
    );
    let mut texts = PolicyTexts::default();
    texts.files.push(SourceText {
        name: "t.toml".into(),
        text: unused("checks.W231 = \"error\"").into(),
    });
    assert!(load(&texts, &context()).is_err(), "an error keeps the old rules");
}
