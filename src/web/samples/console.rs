//! The pages of the console that show what there is: sessions, decisions, the audit trail, files, health.

use super::super::console::sessions::{Row, SessionsPage, Several};
use super::super::console::view::PagesView;
use super::super::form::Form;
use super::{Written, render};

impl Written {
    pub(super) fn reading_pages(&self) -> Vec<(&'static str, String)> {
        self.session_pages()
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
