//! Settings and policies: whether the files can be used, and whether the running server goes by them.

use crate::app::Live;
use crate::base::diagnostic::{Diagnostic, Level, Texts};
use crate::server::opening::Desk;
use crate::server::reload::needs_restart;

use super::fault::{Area, Fault};

/// What keeps the files from being used, one fault for each error.
pub(super) fn unusable(problems: &[Diagnostic], texts: &Texts) -> Vec<Fault> {
    problems
        .iter()
        .filter(|problem| problem.level == Level::Error)
        .map(|problem| {
            let at = problem.at.as_ref().map(|span| texts.locate(span).to_string()).unwrap_or_default();
            Fault::error(
                Area::Policy,
                "files-unusable",
                at,
                format!("{}: {}", problem.code, problem.message),
                "`portcullis check` shows it with the lines around it; a server that runs goes on by the rules it has",
            )
        })
        .collect()
}

/// A running server that goes by something else than the files say.
pub(super) async fn stale(desk: &Desk) -> Vec<Fault> {
    let (files, now) = (desk.files.clone(), desk.app.clock.now());
    let read = tokio::task::spawn_blocking(move || files.read().ok().and_then(|sources| Live::parse(&sources, now).ok())).await;
    let live = desk.app.live();
    let Ok(Some(written)) = read else {
        // What is wrong with the files is told by whoever reads them; here it counts that they are not in force.
        return vec![not_in_force(live.generation(), "the files cannot be used")];
    };
    let mut faults = Vec::new();
    if written.generation() != live.generation() || live.stale.is_some() {
        let why = format!("the files make generation {}", written.generation());
        faults.push(not_in_force(live.generation(), &why));
    }
    // What was taken over at start is what listens, whatever a reload has put in force since.
    let restart = needs_restart(&desk.started_with, &written.settings);
    faults.extend(restart.into_iter().map(|setting| {
        Fault::warning(
            Area::Policy,
            "needs-restart",
            setting,
            "it was changed after the server started, which goes by what it said then",
            "restart the server",
        )
    }));
    faults
}

fn not_in_force(generation: &str, why: &str) -> Fault {
    Fault::error(
        Area::Policy,
        "policy-stale",
        format!("generation {generation}"),
        format!("the running server goes by other rules than the files say: {why}"),
        "`portcullis reload`; if it refuses, mend what it shows",
    )
}

/// The command is not of the server's version.
pub(super) fn version(of_server: &str) -> Option<Fault> {
    let ours = env!("CARGO_PKG_VERSION");
    (of_server != ours).then(|| {
        Fault::warning(
            Area::Policy,
            "version",
            format!("version {of_server}"),
            format!("the running server is another version than this command, {ours}"),
            "restart the server after an upgrade",
        )
    })
}
