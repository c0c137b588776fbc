//! `portcullis invite`: invite people, see how far they have come, send again, withdraw.

use std::path::Path;

use crate::server::control::{Answer, InvitationLine, NewInvitee, Request};

use super::Outcome;
use super::arguments::InviteCommand;
use super::ask::{ask, strange};
use super::output::{Output, complain};
use super::team::gifts_of;

pub(super) fn run(config: &Path, command: InviteCommand, output: &Output) -> Outcome {
    let request = match command {
        InviteCommand::Create(new) => Request::InviteCreate(NewInvitee {
            email: new.email,
            team: new.team,
            roles: new.role,
            apps: new.app,
            permissions: new.permission,
            projects: new.project,
            ip_pattern: new.ip_pattern,
            idp: new.idp,
        }),
        InviteCommand::List { search, team, status } => return list(config, (search, team, status), output),
        InviteCommand::Resend { which } => Request::InviteResend { which },
        InviteCommand::Extend { which } => Request::InviteExtend { which },
        InviteCommand::Change { which, gifts } => Request::InviteChange {
            which,
            gifts: gifts_of(gifts),
        },
        InviteCommand::Withdraw { which } => Request::InviteWithdraw { which },
    };
    match ask(config, &request) {
        Ok(Answer::Invitation(line)) => tell(&line, output),
        Ok(Answer::Done(words)) => output.answer(&serde_json::json!({ "done": words }), |_| words.clone()),
        Ok(other) => return strange(&other),
        Err(outcome) => return outcome,
    }
    Outcome::Sound
}

/// The link alone goes to standard output, so that `link=$(portcullis invite create …)` is all a script needs; the id where it was mailed.
fn tell(line: &InvitationLine, output: &Output) {
    if !output.is_json() {
        let how = if line.link.is_some() {
            "hand the link below over"
        } else {
            "the link is mailed; its id is below"
        };
        complain(&format!("{} is invited to {} until {}; {how}", line.email, line.team, line.expires));
    }
    output.answer(line, |line| line.link.clone().unwrap_or_else(|| line.id.clone()));
}

fn list(config: &Path, (search, team, status): (Option<String>, Option<String>, Option<String>), output: &Output) -> Outcome {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let request = Request::InviteList {
            search: search.clone(),
            team: team.clone(),
            status: status.clone(),
            after,
        };
        match ask(config, &request) {
            Ok(Answer::Invitations { invitations, next }) => {
                all.extend(invitations);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            Ok(other) => return strange(&other),
            Err(outcome) => return outcome,
        }
    }
    output.answer(&all, |all| {
        let rows = all
            .iter()
            .map(|line| {
                vec![
                    line.id.clone(),
                    line.email.clone(),
                    line.team.clone(),
                    line.status.clone(),
                    line.sent.clone(),
                    line.expires.clone(),
                    line.token.clone().unwrap_or_default(),
                ]
            })
            .collect();
        output.table(&["ID", "EMAIL", "TEAM", "STATUS", "SENT", "ENDS", "TOKEN"], rows)
    });
    Outcome::Sound
}
