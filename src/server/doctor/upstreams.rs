//! The applications behind the gateway: whether they answer, what time they think it is, and whether one can go around the gateway to them.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use http::{Request, header};

use crate::base::time::{Clock, Timestamp};
use crate::config::Settings;
use crate::policy::PolicySet;
use crate::policy::application::{Application, Target};
use crate::server::control::chain;
use crate::upstream::probe::{As, Probe, ProbeError, Probed};

use super::around::{self, Door, host_of};
use super::clock;
use super::fault::{Area, Fault};

/// How long one server has to take a connection, and to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Servers that are asked at a time.
const AT_A_TIME: usize = 16;

/// Asks every server of every application.
pub(super) async fn look(settings: &Settings, policies: &PolicySet, now: &Clock) -> Vec<Fault> {
    let jwks = format!("{}/.portcullis/jwks.json", settings.public_url.origin());
    let questions = policies
        .applications()
        .iter()
        .flat_map(|application| application.upstreams.iter().map(move |server| (application, &server.target)));
    let answers: Vec<Vec<Fault>> = stream::iter(questions)
        .map(|(application, target)| one(application, target, policies, now, &jwks))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    answers.into_iter().flatten().collect()
}

async fn one(application: &Application, target: &Target, policies: &PolicySet, clock: &Clock, jwks: &str) -> Vec<Fault> {
    let at = format!("app.{} {target}", application.name);
    let probe = Probe::of(application);
    let door = Door::of(policies, application, clock.now());
    let before = clock.now();
    let answer = match greet(&probe, application, target, &door).await {
        Ok(answer) => answer,
        Err(fault) => return vec![fault_of(&at, &fault)],
    };
    let mut faults = Vec::new();
    faults.extend(unhealthy(&at, application, &answer));
    faults.extend(date_of(&answer).and_then(|date| clock::skew(&at, date, before, clock.now())));
    faults.extend(go_around(&at, &probe, application, target, &door, jwks).await);
    faults
}

/// The first question: the health path as the gateway asks for it, else the application's first page.
async fn greet(probe: &Probe, application: &Application, target: &Target, door: &Door) -> Result<Probed, ProbeError> {
    let request = match &application.health.path {
        Some(path) => Request::get(path)
            .header(header::HOST, host_of(target))
            .header(header::USER_AGENT, "portcullis-health")
            .body(()),
        None => door.plain(target),
    };
    let request = request.map_err(|error| ProbeError::Connect(std::io::Error::other(error).into()))?;
    probe.ask(target, As::Gateway, request, LIMIT).await
}

fn fault_of(at: &str, error: &ProbeError) -> Fault {
    let what = chain(error);
    match error {
        ProbeError::NoAnswer(_) | ProbeError::Late(_) => Fault::warning(
            Area::Upstreams,
            "upstream-silent",
            at,
            format!("it takes connections, and then: {what}"),
            "look at the application's log; does `upstream` name the right port and scheme?",
        ),
        ProbeError::Tls(_) | ProbeError::Connect(_) => Fault::error(
            Area::Upstreams,
            "upstream-unreachable",
            at,
            what,
            "start the application, or correct `upstream`, `tls` and the firewall between",
        ),
    }
}

fn unhealthy(at: &str, application: &Application, answer: &Probed) -> Option<Fault> {
    let health = &application.health;
    let path = health.path.as_ref()?;
    let status = answer.status.as_u16();
    (!health.expect.iter().any(|range| range.contains(&status))).then(|| {
        Fault::error(
            Area::Upstreams,
            "upstream-unhealthy",
            at,
            format!("it answers {status} on {path}, and is left out while it does"),
            "look at the application's log, or correct `health.path` and `health.expect`",
        )
    })
}

fn date_of(answer: &Probed) -> Option<Timestamp> {
    // An old answer out of a cache says nothing about the clock.
    if answer.headers.contains_key(header::AGE) {
        return None;
    }
    Timestamp::parse_http_date(answer.headers.get(header::DATE)?.to_str().ok()?).ok()
}

async fn go_around(at: &str, probe: &Probe, application: &Application, target: &Target, door: &Door, jwks: &str) -> Option<Fault> {
    let exposed = around::exposure(target).await;
    if exposed == around::Exposed::OnlyHere {
        return None;
    }
    // Whoever is refused without our certificate has not got around us.
    let plain = probe.ask(target, As::Stranger, door.plain(target).ok()?, LIMIT).await.ok()?;
    let forged = probe
        .ask(target, As::Stranger, door.forged(application, target).ok()?, LIMIT)
        .await
        .ok()?;
    around::judge(at, exposed, door, &plain, &forged, jwks)
}
