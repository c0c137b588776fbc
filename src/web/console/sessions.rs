//! Everybody's sessions: found by person or address, and ended.

use askama::Template;

use crate::accounts::{ListedSession, Page, SessionSearch, SessionsToEnd};

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop};
use super::super::form::Form;
use super::super::pages::me::session_row;
use super::super::relative::Moment;
use super::super::view::{BASE, Frame, Me, SessionRow, initials};
use super::view::PagesView;

const HERE: &str = "/admin/sessions";
const LINES: usize = 50;

/// A session with its person.
#[derive(Clone, Debug)]
pub struct Row {
    /// The session.
    pub session: SessionRow,
    /// The person's name.
    pub name: String,
    /// Its initials.
    pub initials: String,
    /// The person's address; the username where there is none.
    pub email: String,
    /// The person's page.
    pub href: String,
    /// The sessions made from the same address; none where it is not known.
    pub same_address: Option<String>,
    /// Whether it may be ended here.
    pub changeable: bool,
}

/// Several sessions that one press of a button ends.
#[derive(Clone, Debug)]
pub struct Several {
    /// The field that says which.
    pub field: &'static str,
    /// What it says.
    pub value: String,
    /// What the button says.
    pub words: String,
}

/// The list.
#[derive(Template)]
#[template(path = "console/sessions.html")]
pub struct SessionsPage {
    /// The outside of the page.
    pub frame: Frame,
    /// Who looks.
    pub me: Me,
    /// Which page of the console this is.
    pub here: &'static str,
    /// What is wrong with what was sent.
    pub form: Form,
    /// What is searched for.
    pub q: String,
    /// The sessions.
    pub rows: Vec<Row>,
    /// How far the search came, where it stopped early.
    pub unfinished: bool,
    /// Previous and next.
    pub pages: PagesView,
    /// All that were found, to be ended at once.
    pub several: Option<Several>,
    /// What was done just now.
    pub done: Option<String>,
}

/// GET `/admin/sessions`.
pub async fn show_list(cx: &mut Cx<'_>) -> Outcome {
    let page = list_page(cx).await?;
    Ok(cx.page(&page))
}

/// POST `/admin/sessions`: ends one, all of a person, or all made from an address, this one excepted.
pub async fn end(cx: &mut Cx<'_>) -> Outcome {
    let by = cx.acting()?;
    let q = cx.form.value("q").to_owned();
    let which = if cx.form.has("end") {
        cx.form.value("end").parse().map(SessionsToEnd::One).ok()
    } else if cx.form.has("user") {
        cx.form.value("user").parse().map(SessionsToEnd::Of).ok()
    } else {
        cx.form.value("address").parse().map(SessionsToEnd::From).ok()
    };
    let own = cx.person()?;
    let ended = cx
        .app
        .accounts
        .end_sessions(which.ok_or(Stop::NotFound)?, Some(&own), &by, &cx.visit())
        .await?
        .ok_or(Stop::NotFound)?;
    let mut on = url::form_urlencoded::Serializer::new(String::new());
    if !q.is_empty() {
        on.append_pair("q", &q);
    }
    on.append_pair("ended", &ended.to_string());
    Ok(answer::see_other(&format!("{BASE}{HERE}?{}", on.finish())))
}

async fn list_page(cx: &Cx<'_>) -> Result<SessionsPage, Stop> {
    let (by, now) = (cx.acting()?, cx.facts.now);
    let own = cx.person()?.session().id;
    // A form that came too late is shown with the list it was sent from.
    let q = if cx.query.has("q") {
        cx.query.trimmed("q")
    } else {
        cx.form.trimmed("q")
    };
    let search = SessionSearch::read(q);
    let place = match (cx.query.value("after"), cx.query.value("before")) {
        ("", "") => Page::First,
        ("", before) => Page::Before(before.to_owned()),
        (after, _) => Page::After(after.to_owned()),
    };
    let found = cx.app.accounts.list_sessions(&search, &place, LINES, &by, now).await?;
    let rows: Vec<Row> = found.lines.iter().map(|one| row(cx, one, one.line.session.id == own)).collect();
    let others = found.lines.iter().any(|one| one.changeable && one.line.session.id != own);
    let several = match (&search, &found.person) {
        (SessionSearch::Address(address), _) if others => Some(Several {
            field: "address",
            value: address.to_string(),
            words: format!("End all from {address}"),
        }),
        (SessionSearch::Person(_), Some(user)) if others => Some(Several {
            field: "user",
            value: user.id.to_string(),
            words: format!("End all of {}", user.display_name()),
        }),
        _ => None,
    };
    let words = match rows.len() {
        1 => "1 session on this page".to_owned(),
        count => format!("{count} sessions on this page"),
    };
    Ok(SessionsPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        q: q.to_owned(),
        unfinished: found.unfinished,
        pages: PagesView {
            words,
            previous: found.before.map(|cursor| page_address(q, "before", &cursor)),
            next: found.after.map(|cursor| page_address(q, "after", &cursor)),
        },
        rows,
        several,
        done: match cx.query.value("ended").parse::<usize>() {
            Ok(0) => Some("There was no session to end.".to_owned()),
            Ok(1) => Some("The session is ended.".to_owned()),
            Ok(count) => Some(format!("{count} sessions are ended.")),
            Err(_) => None,
        },
    })
}

fn row(cx: &Cx<'_>, listed: &ListedSession, own: bool) -> Row {
    let now = cx.facts.now;
    let name = listed.user.display_name();
    let session = &listed.line.session;
    Row {
        session: SessionRow {
            this: own,
            ends: Moment::of(listed.line.idle_end, now),
            ..session_row(cx, &listed.line, now)
        },
        initials: initials(&name),
        name,
        email: listed
            .user
            .email
            .as_ref()
            .map_or_else(|| listed.user.username.to_string(), ToString::to_string),
        href: format!("{BASE}/admin/users/{}", listed.user.id),
        same_address: session
            .address
            .map(|address| format!("{BASE}{HERE}?{}", only("q", &address.to_string()))),
        changeable: listed.changeable && !own,
    }
}

fn only(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair(name, value)
        .finish()
}

/// The address of another page of the same search.
fn page_address(q: &str, direction: &str, cursor: &str) -> String {
    let mut address = url::form_urlencoded::Serializer::new(String::new());
    if !q.is_empty() {
        address.append_pair("q", q);
    }
    address.append_pair(direction, cursor);
    format!("{BASE}{HERE}?{}", address.finish())
}
