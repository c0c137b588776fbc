//! The pages of the console that show what there is: sessions, decisions, the audit trail, files, health.

use super::super::console::mail::{LetterFilter, LetterRow, MailPage};
use super::super::console::sessions::{Row, SessionsPage, Several};
use super::super::console::view::{Choice, PagesView};
use super::super::console::{applications, audit, explain, health, ip_patterns, policy, providers};
use super::super::form::Form;
use super::super::view::{Link, Tag};
use super::{Written, render};

const TAG_OK: Tag = Tag { kind: "ok", words: "Done" };
const TAG_WARN: Tag = Tag {
    kind: "warn",
    words: "Not available yet",
};
const TAG_BAD: Tag = Tag {
    kind: "bad",
    words: "Denied",
};

impl Written {
    pub(super) fn reading_pages(&self) -> Vec<(&'static str, String)> {
        [
            self.session_pages(),
            self.mail_pages(),
            self.team_pages(),
            self.several_pages(),
            self.explain_pages(),
            self.audit_pages(),
            self.file_pages(),
            self.state_pages(),
        ]
        .concat()
    }

    fn explain_pages(&self) -> Vec<(&'static str, String)> {
        let choice = |words: &str| Choice {
            value: self.s(words),
            words: self.s(words),
            chosen: false,
        };
        let step = |number, kind, name: &str, found: &str, at: &str| explain::Step {
            number,
            kind,
            name: name.to_owned(),
            found: self.s(found),
            at: if at.is_empty() { String::new() } else { self.s(at) },
            note: self.s("over the wider rule"),
        };
        let told = |made: bool| explain::Told {
            answer: if made { TAG_BAD } else { TAG_OK },
            reason: "ip-user",
            request: self.s("GET https://notebook.example/projects/12"),
            who: self.person(),
            steps: vec![
                step(1, "ok", "Path", "/projects/12, one reading", ""),
                step(2, "ok", "Application", "notebook", "policies/apps/notebook.toml:3"),
                step(
                    3,
                    if made { "bad" } else { "ok" },
                    "Membership",
                    "OUTSIDE its pattern office",
                    "policies/ip.toml:1",
                ),
            ],
            to_allow: if made {
                vec![self.s("come from an address in office")]
            } else {
                Vec::new()
            },
            generation: "5f0c2a91".to_owned(),
            made: made.then(|| explain::Made {
                decision: "d-01jp4zc2w8".to_owned(),
                request: "r-01jp4zc2w8".to_owned(),
                at: Some(self.ago(600)),
                generation: "5f0c2a91".to_owned(),
                micros: 38,
                differs: Some(self.s("It was allow: a rate limit decided")),
            }),
        };
        let page = |form: Form, told| explain::ExplainPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/explain",
            form,
            applications: vec![choice("Notebook"), choice("Registry")],
            methods: vec![choice("GET"), choice("POST")],
            told,
        };
        vec![
            ("admin-explain", render(&page(Form::default(), Some(told(true))))),
            ("admin-explain-allowed", render(&page(Form::default(), Some(told(false))))),
            (
                "admin-explain-error",
                render(&page(self.failed(&["rid", "user", "ip", "path"]), None)),
            ),
        ]
    }

    fn person(&self) -> Link {
        Link {
            path: "/.portcullis/admin/users/u_1".to_owned(),
            name: self.s("Sam Osei"),
        }
    }

    fn audit_pages(&self) -> Vec<(&'static str, String)> {
        let row = |number, action: &str, went: Tag, person: bool| audit::Row {
            number,
            at: self.ago(600 * number),
            actor: if person {
                self.person()
            } else {
                Link {
                    path: String::new(),
                    name: self.s("portcullis"),
                }
            },
            action: action.to_owned(),
            target: Link {
                path: String::new(),
                name: self.s("s-01jp4zc2w8q7h5"),
            },
            details: self.s("team assay"),
            went,
            address: if person { "203.0.113.80".to_owned() } else { String::new() },
        };
        let page = |form: Form, rows: Vec<audit::Row>, chain| audit::AuditPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/audit",
            form,
            events: vec![Choice {
                value: String::new(),
                words: "All events".to_owned(),
                chosen: true,
            }],
            outcomes: vec![Choice {
                value: String::new(),
                words: "Any outcome".to_owned(),
                chosen: true,
            }],
            unfinished: rows.is_empty(),
            pages: self.some_pages(),
            rows,
            chain,
            download: self.s("q=x"),
        };
        let chain = audit::Chain {
            kind: "ok",
            words: "The chain is whole: 12 entries, 2 signed marks. Checked".to_owned(),
            at: Some(self.ago(1800)),
        };
        let rows = vec![row(2, "User created", TAG_OK, true), row(1, "Policy refused", TAG_BAD, false)];
        vec![
            ("admin-audit", render(&page(Form::default(), rows, Some(chain)))),
            ("admin-audit-error", render(&page(self.failed(&["from", "to"]), Vec::new(), None))),
        ]
    }

    fn file_pages(&self) -> Vec<(&'static str, String)> {
        let application = |title: &str, kind, words: &str| applications::Row {
            title: self.s(title),
            name: self.s("notebook"),
            href: self.s("?app=notebook"),
            at: self.s("policies/apps/notebook.toml:3"),
            hosts: vec![self.s("notebook.example")],
            upstreams: vec![self.s("http://10.0.4.11:8443")],
            given: "45 memberships".to_owned(),
            also: vec![self.s("Office")],
            health: applications::Health {
                kind,
                words: words.to_owned(),
            },
        };
        let detail = applications::Detail {
            title: self.s("Notebook"),
            permissions: vec![applications::PermissionRow {
                title: self.s("Administrator"),
                name: self.s("notebook:admin"),
                help: self.s("May change everything"),
                implies: self.s("reader"),
                at: self.s("policies/apps/notebook.toml:9"),
            }],
            toml: self.s("[app.notebook]\ntitle = \"Notebook\""),
            at: self.s("policies/apps/notebook.toml:3"),
        };
        let patterns = |form: Form, toml: String, ip: &str| ip_patterns::IpPatternsPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/ip-patterns",
            form,
            rows: vec![ip_patterns::Row {
                title: self.s("Office"),
                name: self.s("office"),
                at: self.s("policies/ip.toml:1"),
                ranges: vec![self.s("203.0.113.64/26")],
                more: 2,
                used: self.s("31 memberships, Dashboards"),
            }],
            ip: ip.to_owned(),
            tried: vec![
                ip_patterns::Tried {
                    title: self.s("Office"),
                    inside: true,
                },
                ip_patterns::Tried {
                    title: self.s("Old building"),
                    inside: false,
                },
            ],
            toml,
        };
        let provider = |title: &str, state| providers::Row {
            title: self.s(title),
            name: self.s("northgate"),
            kind: "SAML 2.0",
            icon: "key",
            details: vec![self.s("domains northgate.example")],
            state,
            at: self.s("policies/idps.toml:1"),
            toml: self.s("[idp.northgate]"),
        };
        vec![
            (
                "admin-applications",
                render(&applications::ApplicationsPage {
                    frame: self.frame.clone(),
                    me: self.me.clone(),
                    here: "/admin/applications",
                    rows: vec![
                        application("Notebook", "ok", "Answering"),
                        application("Registry", "bad", "No answer"),
                    ],
                    detail: Some(detail),
                }),
            ),
            (
                "admin-ip-patterns",
                render(&patterns(Form::default(), self.s("[ip_pattern.guest-lab]"), "203.0.113.70")),
            ),
            (
                "admin-ip-patterns-error",
                render(&patterns(self.failed(&["name", "nets", "ip"]), String::new(), "")),
            ),
            (
                "admin-identity-providers",
                render(&providers::ProvidersPage {
                    frame: self.frame.clone(),
                    me: self.me.clone(),
                    here: "/admin/identity-providers",
                    rows: vec![provider("Northgate SSO", TAG_WARN), provider("Local accounts", TAG_OK)],
                    some_to_come: true,
                }),
            ),
        ]
    }

    fn state_pages(&self) -> Vec<(&'static str, String)> {
        let part = |name: &str, tag: Tag| health::Part {
            name: self.s(name),
            kind: tag.kind,
            state: tag.words.to_owned(),
            detail: self.s("generation 5f0c2a91 in force"),
        };
        let health = |attention: Vec<String>| health::HealthPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/health",
            version: "0.1.0",
            began: self.ago(1_555_200),
            attention,
            figures: vec![health::Figure {
                name: "Requests",
                value: "184,203".to_owned(),
                note: "since the start".to_owned(),
            }],
            parts: vec![part("Store", TAG_OK), part("Policy", TAG_BAD)],
            calendar: vec![health::Ending::sample(
                self.s("Certificate gate.example"),
                self.ahead(777_600),
                TAG_WARN,
            )],
        };
        let policy = |stale: bool, some: bool| policy::PolicyPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/policy",
            generation: "5f0c2a91".to_owned(),
            since: Some(self.ago(86_400)),
            stale_since: stale.then(|| self.ago(600)),
            files: vec![self.s("policies/roles.toml"), self.s("policies/apps/notebook.toml")],
            watched: !stale,
            tests: if some {
                vec![policy::TestRow {
                    name: self.s("outsider cannot read raw data"),
                    at: self.s("policies/lab.toml:58"),
                    expected: "deny",
                }]
            } else {
                Vec::new()
            },
            findings: if some {
                vec![self.s("warning[W231]: never used")]
            } else {
                Vec::new()
            },
            rules: if some {
                vec![policy::RuleRow {
                    application: self.s("Notebook"),
                    paths: vec![self.s("/admin/**")],
                    methods: "GET, POST".to_owned(),
                    access: "require".to_owned(),
                    at: self.s("policies/apps/notebook.toml:12"),
                }]
            } else {
                Vec::new()
            },
            waiting: some.then(|| policy::Waiting {
                kind: "warn",
                words: "The files say something else (generation 8d11e0c4): of 20 people, 1 lose access and 0 gain access.".to_owned(),
                problems: vec![self.s("policies/lab.toml:3:1: unknown key")],
                lose: vec![policy::ConcernedRow {
                    name: self.s("Noor Haddad"),
                    initials: "NH".to_owned(),
                    href: "/.portcullis/admin/users/u-1".to_owned(),
                    applications: self.s("Registry"),
                }],
                more_lose: 3,
                gain: Vec::new(),
                more_gain: 0,
                places: vec![policy::MovedRow {
                    application: self.s("Registry"),
                    place: self.s("POST /export/**"),
                    gain: 0,
                    lose: 1,
                }],
            }),
            more_rules: usize::from(some) * 800,
            loads: if some {
                vec![policy::Load {
                    at: self.ago(86_400),
                    generation: "5f0c2a91".to_owned(),
                    current: true,
                }]
            } else {
                Vec::new()
            },
        };
        vec![
            ("admin-health", render(&health(vec![self.s("Policy: older than the files")]))),
            ("admin-health-well", render(&health(Vec::new()))),
            ("admin-policy", render(&policy(false, true))),
            ("admin-policy-stale", render(&policy(true, false))),
        ]
    }

    fn mail_pages(&self) -> Vec<(&'static str, String)> {
        let page = |set_up: bool, rows: Vec<LetterRow>, form: Form| MailPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/mail",
            form,
            set_up,
            test: set_up,
            filters: ["All", "Waiting", "Failed"]
                .into_iter()
                .map(|words| LetterFilter {
                    href: self.s("/.portcullis/admin/mail"),
                    words,
                    chosen: words == "All",
                })
                .collect(),
            pages: if rows.is_empty() { PagesView::default() } else { self.some_pages() },
            rows,
            nothing: "No messages",
            done: Some("The message is tried now."),
        };
        let row = |(kind, words): (&'static str, &'static str), said: &str, why: &'static str, waits: bool| LetterRow {
            id: "m-1".to_owned(),
            to: self.s("sam.osei@northgate.example"),
            title: self.s("Invitation to Assay Development"),
            status: Tag { kind, words },
            said: if said.is_empty() { String::new() } else { self.s(said) },
            next: (kind == "warn").then(|| self.ahead(240)),
            tries: "tried 3 times".to_owned(),
            why,
            made: self.ago(300),
            again: matches!(kind, "warn" | "bad"),
            waits,
        };
        let rows = vec![
            row(("acc", "Sending"), "", "", true),
            row(("ok", "Sent"), "250 2.0.0 queued as 4711.", "", false),
            row(("bad", "Failed"), "550 no such user.", "Not tried again.", false),
            row(("warn", "Waiting"), "451 try later.", "", true),
        ];
        vec![
            ("admin-mail", render(&page(true, rows, Form::default()))),
            ("admin-mail-empty", render(&page(false, Vec::new(), Form::default()))),
            ("admin-mail-error", render(&page(true, Vec::new(), self.failed(&[""])))),
        ]
    }

    fn some_pages(&self) -> PagesView {
        PagesView {
            words: "2 on this page".to_owned(),
            previous: None,
            next: Some(self.s("?after=x")),
        }
    }

    fn session_pages(&self) -> Vec<(&'static str, String)> {
        let page = |q: &str, rows: Vec<Row>| SessionsPage {
            frame: self.frame.clone(),
            me: self.me.clone(),
            here: "/admin/sessions",
            form: Form::default(),
            q: if q.is_empty() { String::new() } else { self.s(q) },
            unfinished: !q.is_empty(),
            pages: if rows.is_empty() { PagesView::default() } else { self.some_pages() },
            several: (!rows.is_empty()).then(|| Several {
                field: "address",
                value: self.s("203.0.113.80"),
                words: self.s("End all from 203.0.113.80"),
            }),
            rows,
            done: Some(self.s("The session is ended.")),
        };
        let rows = self.sessions().into_iter().map(|session| Row {
            changeable: !session.this,
            session,
            name: self.s("Ada Okafor"),
            initials: "AO".to_owned(),
            email: self.s("ada.okafor@northgate.example"),
            href: "/.portcullis/admin/users/u_1".to_owned(),
            same_address: Some(self.s("/.portcullis/admin/sessions?q=203.0.113.80")),
        });
        vec![
            ("admin-sessions", render(&page("", rows.collect()))),
            ("admin-sessions-empty", render(&page("okonkwo", Vec::new()))),
        ]
    }
}
