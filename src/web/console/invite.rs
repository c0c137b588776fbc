//! "Invite User", and the same form for an invitation that is open.

use std::collections::BTreeSet;

use http::StatusCode;

use crate::accounts::{Acting, InviteOutcome, Member, NewInvitation};
use crate::model::email::EmailAddress;
use crate::model::id::ProjectId;
use crate::model::membership::{Copied, Offer};
use crate::model::name::{ApplicationName, IpPatternName, PermissionName, ProviderName, RoleName, TeamName};
use crate::model::role::Power;
use crate::model::team::{Level, Project};
use crate::policy::definitions::IpPattern;
use crate::policy::delegation::{Delegation, NotGiven};
use crate::policy::foresee::{Foreseen, foresee, person_to_be};
use crate::policy::{Reason, Verdict};

use super::super::answer;
use super::super::cx::{Cx, Outcome, Stop, fail};
use super::super::pages::invitation::lasting;
use super::super::refusal::words_for;
use super::super::view::{BASE, Link, Tag};
use super::super::words;
use super::invitations::{HERE, invitation_of};
use super::invite_view::{ApplicationTick, InviteFormPage, OfferView, ProjectRow, ReachRow, Tick};
use super::membership::digest;
use super::view::Choice;

/// More members than this are typed rather than chosen from a list.
const LISTED_MEMBERS: usize = 200;

/// GET `/admin/invitations/new?team=`.
pub async fn show(cx: &mut Cx<'_>) -> Outcome {
    let desk = Desk::of_new(cx, cx.query.value("team")).await?;
    let offer = Offer::nothing(desk.delegation.team.name.clone());
    let view = desk.view(cx, &offer);
    Ok(cx.page(&new_page(cx, view)))
}

/// POST `/admin/invitations/new`: another team's choices, a copy, a preview, or "Save & Send Invite".
pub async fn submit(cx: &mut Cx<'_>) -> Outcome {
    let desk = Desk::of_new(cx, cx.form.value("team")).await?;
    let mut offer = read_offer(cx, desk.delegation.team.name.clone());
    let wish = cx.form.value("do").to_owned();
    if wish != "send" {
        let view = desk.wished(cx, &wish, &mut offer).await?;
        let page = new_page(cx, view);
        return Ok(if cx.form.failed() {
            cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page)
        } else {
            cx.page(&page)
        });
    }
    let email = match cx.form.value("email").parse::<EmailAddress>() {
        Ok(email) => Some(email),
        Err(flaw) => {
            let (code, told) = words::email(flaw);
            cx.form.fail("email", code, told);
            None
        }
    };
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(email) = email.filter(|_| !cx.form.failed()) {
        let new = NewInvitation {
            email,
            offer: offer.clone(),
        };
        let outcome = cx.app.accounts.invite(&new, &cx.live.policies, &desk.by, cx.facts.now).await?;
        match told(cx, outcome, &desk.delegation.team.title)? {
            Ok(id) => return Ok(answer::see_other(&format!("{BASE}{HERE}?done=sent&which={id}"))),
            Err(refused) => status = refused,
        }
    }
    let view = desk.view(cx, &offer);
    Ok(cx.not_taken(status, &new_page(cx, view)))
}

/// GET `/admin/invitations/{invitation}`.
pub async fn show_change(cx: &mut Cx<'_>) -> Outcome {
    let (desk, offer, email) = Desk::of_open(cx).await?;
    let view = desk.view(cx, &offer);
    Ok(cx.page(&change_page(cx, view, &offer, &email)?))
}

/// POST `/admin/invitations/{invitation}`: what it promises is changed; the link stays.
pub async fn submit_change(cx: &mut Cx<'_>) -> Outcome {
    let (desk, before, email) = Desk::of_open(cx).await?;
    let mut offer = desk.keeping(read_offer(cx, before.team.clone()), &before);
    let wish = cx.form.value("do").to_owned();
    if wish != "send" {
        let view = desk.wished(cx, &wish, &mut offer).await?;
        let page = change_page(cx, view, &before, &email)?;
        return Ok(if cx.form.failed() {
            cx.not_taken(StatusCode::UNPROCESSABLE_ENTITY, &page)
        } else {
            cx.page(&page)
        });
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if !cx.form.failed() && cx.form.value("seen") != digest(&before) {
        // Shown is what stands there now, with what was typed in the boxes: saving again is a decision.
        fail(&mut cx.form, "", words::CHANGED_MEANWHILE);
        status = StatusCode::CONFLICT;
    }
    if !cx.form.failed() {
        let id = invitation_of(cx)?;
        let outcome = cx
            .app
            .accounts
            .change_invitation(id, (&before, &offer), &cx.live.policies, &desk.by, cx.facts.now)
            .await?;
        match told(cx, outcome, &desk.delegation.team.title)? {
            Ok(id) => return Ok(answer::see_other(&format!("{BASE}{HERE}?done=changed&which={id}"))),
            Err(refused) => status = refused,
        }
    }
    let view = desk.compared(cx, &before, &offer, status);
    Ok(cx.not_taken(status, &change_page(cx, view, &before, &email)?))
}

/// What came of it: the invitation, or the status of the page that says what to correct.
fn told(cx: &mut Cx<'_>, outcome: InviteOutcome, team: &str) -> Result<Result<String, StatusCode>, Stop> {
    match outcome {
        InviteOutcome::Invited(invited) => return Ok(Ok(invited.invitation.id.to_string())),
        InviteOutcome::EmailInTeam => {
            cx.form.fail(
                "email",
                "email_in_team",
                format!("Someone in {team} already uses this email address"),
            );
        }
        InviteOutcome::EmailInvited(_) => cx.form.fail(
            "email",
            "email_invited",
            format!("This address is invited to {team} already. Find it under Invitations to change it or send it again."),
        ),
        InviteOutcome::Full { seats } => cx.form.fail(
            "team",
            "team_full",
            format!("All {seats} seats of {team} are taken or promised. Delete an invitation or a member first."),
        ),
        InviteOutcome::TooManyLetters { until } => {
            cx.form
                .fail("email", "too_many_letters", words::too_many_letters(until, cx.facts.now));
            return Ok(Err(StatusCode::TOO_MANY_REQUESTS));
        }
        InviteOutcome::Moved => fail(&mut cx.form, "", words::CHANGED_MEANWHILE),
        InviteOutcome::NotGiven(refused) => {
            note_refused(cx, &refused);
            return Ok(Err(StatusCode::FORBIDDEN));
        }
        InviteOutcome::NotFound | InviteOutcome::Ended => return Err(Stop::NotFound),
    }
    Ok(Err(StatusCode::CONFLICT))
}

/// Says at its field what may not be given.
pub(super) fn note_refused(cx: &mut Cx<'_>, refused: &[NotGiven]) {
    for one in refused {
        let field = match one {
            NotGiven::Provider(_) => "idp",
            NotGiven::IpPattern(_) => "ip-pattern",
            NotGiven::Team(_) => "team",
            NotGiven::Domain(_) | NotGiven::Oneself => "email",
            _ => "",
        };
        cx.form.fail(field, "not_given", one.to_string());
    }
}

/// The boxes and choices as they were sent. Names that cannot be are noted; whether they may be given is the use case's to say.
pub(super) fn read_offer(cx: &mut Cx<'_>, team: TeamName) -> Offer {
    let form = &cx.form;
    let mut unreadable = false;
    let mut offer = Offer::nothing(team);
    for (name, _) in form.beginning("app-") {
        match name.parse() {
            Ok(name) => {
                offer.permissions.entry(name).or_default();
            }
            Err(_) => unreadable = true,
        }
    }
    for (name, _) in form.beginning("perm-") {
        let parts = name
            .split_once(':')
            .map(|(app, permission)| (app.parse::<ApplicationName>(), permission.parse::<PermissionName>()));
        match parts {
            // A tick in the tab of an application that is not ticked itself gives nothing.
            Some((Ok(app), Ok(permission))) => {
                if let Some(ticked) = offer.permissions.get_mut(&app) {
                    ticked.insert(permission);
                }
            }
            _ => unreadable = true,
        }
    }
    for (name, level) in form.beginning("project-") {
        match (name.parse::<ProjectId>(), level.parse::<Level>()) {
            (Ok(_), Ok(Level::None)) => {}
            (Ok(project), Ok(level)) => {
                offer.projects.insert(project, level);
            }
            _ => unreadable = true,
        }
    }
    for (name, _) in form.beginning("role-") {
        match name.parse() {
            Ok(name) => {
                offer.roles.insert(name);
            }
            Err(_) => unreadable = true,
        }
    }
    if form.has("idp") {
        offer.provider = form.value("idp").parse().ok();
        unreadable |= offer.provider.is_none();
    }
    if form.has("ip-pattern") {
        offer.ip_pattern = form.value("ip-pattern").parse().ok();
        unreadable |= offer.ip_pattern.is_none();
    }
    if unreadable {
        cx.form.fail("", "invalid_characters", "Invalid characters found in a choice");
    }
    offer
}

/// Everything the form offers to this person for one team.
pub(super) struct Desk<'p> {
    pub(super) by: Acting,
    pub(super) delegation: Delegation<'p>,
    members: Option<Vec<Member>>,
    projects: Vec<Project>,
}

impl<'p> Desk<'p> {
    async fn of_new(cx: &Cx<'p>, team: &str) -> Result<Self, Stop> {
        let by = cx.acting_by(Power::Invitations)?;
        let mut teams = teams(cx);
        let chosen = match team {
            "" => teams.next().map(|team| team.name.clone()),
            name => teams.find(|team| team.name.as_str() == name).map(|team| team.name.clone()),
        };
        Self::of(cx, by, &chosen.ok_or(Stop::NotFound)?).await
    }

    async fn of_open(cx: &Cx<'p>) -> Result<(Self, Offer, String), Stop> {
        let by = cx.acting_by(Power::Invitations)?;
        let id = invitation_of(cx)?;
        let found = cx
            .app
            .accounts
            .invitation(id, &cx.live.policies, &by, cx.facts.now)
            .await?
            .ok_or(Stop::NotFound)?;
        let offer = found.invitation.offer;
        let desk = Self::of(cx, by, &offer.team).await?;
        Ok((desk, offer, found.invitation.email.to_string()))
    }

    pub(super) async fn of(cx: &Cx<'p>, by: Acting, team: &TeamName) -> Result<Self, Stop> {
        let delegation = Delegation::of(&cx.live.policies, &by.giver, team).ok_or(Stop::NotFound)?;
        let projects = cx.app.accounts.projects(team, &by).await?;
        let members = if delegation.team.copy_from {
            cx.app.accounts.members(team, LISTED_MEMBERS, &by).await?
        } else {
            None
        };
        Ok(Self {
            by,
            delegation,
            members,
            projects,
        })
    }

    /// A page for what was asked instead of saving.
    pub(super) async fn wished(&self, cx: &mut Cx<'_>, wish: &str, offer: &mut Offer) -> Result<OfferView, Stop> {
        let mut copied = None;
        match wish {
            "copy" => copied = self.copy(cx, offer).await?,
            // The choices of another team are others.
            "team" => *offer = self.delegation.within(offer.clone()),
            _ => {}
        }
        let mut view = self.view(cx, offer);
        view.copied = copied;
        if wish == "preview" {
            view.reach = Some(self.reach(cx, offer));
        }
        Ok(view)
    }

    /// Fills in what another member has, as far as this person may give it, and says what became different.
    async fn copy(&self, cx: &mut Cx<'_>, offer: &mut Offer) -> Result<Option<Vec<String>>, Stop> {
        let what = Copied {
            projects: cx.form.has("copy-projects"),
            applications: cx.form.has("copy-applications"),
        };
        let team = &offer.team;
        let typed = cx.form.trimmed("copy").to_owned();
        let found = match cx.app.accounts.user_named(&typed).await? {
            Some(user) => cx.app.accounts.copyable(user.id, team, &cx.live.policies, &self.by).await?,
            None => None,
        };
        let Some(from) = found else {
            let told = if typed.is_empty() {
                "Choose a user to copy from"
            } else {
                "No member of this team has that name"
            };
            cx.form.fail("copy", "copy_from", told);
            return Ok(None);
        };
        if what == Copied::default() {
            cx.form.fail(
                "",
                "copy_what",
                "Tick what to copy: project permissions, application permissions, or both",
            );
            return Ok(None);
        }
        let new = offer.clone().copying(&from, what);
        let changes = self.differences(offer, &new);
        *offer = new;
        Ok(Some(changes))
    }

    /// A form that was not taken; where somebody else was quicker, with what saving it now would change.
    pub(super) fn compared(&self, cx: &Cx<'_>, stands: &Offer, typed: &Offer, status: StatusCode) -> OfferView {
        let mut view = self.view(cx, typed);
        if status == StatusCode::CONFLICT {
            view.differs = Some(self.everything_different(cx, stands, typed));
        }
        view
    }

    /// What is different between two offers, roles and bounds included, a line each.
    fn everything_different(&self, cx: &Cx<'_>, old: &Offer, new: &Offer) -> Vec<String> {
        let policies = &cx.live.policies;
        let role = |name: &RoleName| policies.role(name).map_or_else(|| name.to_string(), |role| role.title.clone());
        let mut lines: Vec<String> = new
            .roles
            .difference(&old.roles)
            .map(|name| format!("{}: given", role(name)))
            .collect();
        lines.extend(old.roles.difference(&new.roles).map(|name| format!("{}: taken away", role(name))));
        if old.provider != new.provider {
            let title = |name: &ProviderName| {
                policies
                    .provider(name)
                    .map_or_else(|| name.to_string(), |provider| provider.title.clone())
            };
            let told = new.provider.as_ref().map_or_else(|| "none".to_owned(), title);
            lines.push(format!("SAML ID provider: {told}"));
        }
        if old.ip_pattern != new.ip_pattern {
            let title = |name: &IpPatternName| {
                policies
                    .ip_pattern(name)
                    .map_or_else(|| name.to_string(), |pattern| pattern.title.clone())
            };
            let told = new.ip_pattern.as_ref().map_or_else(|| "none".to_owned(), title);
            lines.push(format!("IP pattern: {told}"));
        }
        lines.extend(self.differences(old, new));
        lines
    }

    /// What is different between two offers in applications and projects, a line each.
    fn differences(&self, old: &Offer, new: &Offer) -> Vec<String> {
        let mut lines = Vec::new();
        for application in &self.delegation.applications {
            let (before, after) = (old.permissions.get(&application.name), new.permissions.get(&application.name));
            match (before, after) {
                (None, Some(_)) => lines.push(format!("{}: given", application.title)),
                (Some(_), None) => lines.push(format!("{}: no longer given", application.title)),
                _ => {}
            }
            for permission in &application.permissions {
                let ticked = |set: Option<&BTreeSet<_>>| set.is_some_and(|set| set.contains(&permission.name));
                match (ticked(before), ticked(after)) {
                    (false, true) => lines.push(format!("{}: {}", application.title, permission.title)),
                    (true, false) => lines.push(format!("{}: no longer {}", application.title, permission.title)),
                    _ => {}
                }
            }
        }
        for project in &self.projects {
            let level = |offer: &Offer| offer.projects.get(&project.id).copied().unwrap_or(Level::None);
            if level(old) != level(new) {
                lines.push(format!("Project {}: {}", project.name, level(new)));
            }
        }
        lines
    }

    /// What the person-to-be will reach: the rules' own word.
    fn reach(&self, cx: &Cx<'_>, offer: &Offer) -> Vec<ReachRow> {
        let names = self.projects.iter().map(|project| (project.id, project.name.to_string())).collect();
        let email = cx.form.value("email").parse().ok();
        let Some(identity) = person_to_be(offer, &names, email, cx.facts.now) else {
            return Vec::new();
        };
        let how = match &offer.provider {
            Some(name) => {
                let title = cx.live.policies.provider(name).map(|provider| provider.title.clone());
                format!("signed in through {}", title.unwrap_or_else(|| name.to_string()))
            }
            None => "signed in with a password".to_owned(),
        };
        let seen = foresee(&cx.live.policies, &identity, cx.facts.now);
        seen.iter().map(|one| reach_row(one, &how)).collect()
    }

    pub(super) fn view(&self, cx: &Cx<'_>, offer: &Offer) -> OfferView {
        let chosen = cx.form.value("copy");
        let members = self.members.as_ref().map(|members| {
            let mut choices = vec![choice("", "Choose a user", chosen.is_empty())];
            choices.extend(members.iter().map(|member| {
                let id = member.id.to_string();
                choice(&id, &member.name, chosen == id)
            }));
            choices
        });
        let too_many = members.is_none() && self.delegation.team.copy_from;
        OfferView {
            teams: teams(cx)
                .map(|team| choice(team.name.as_str(), &team.title, team.name == self.delegation.team.name))
                .collect(),
            providers: self.providers(offer),
            patterns: patterns(cx, offer),
            copy: if too_many { Some(Vec::new()) } else { members },
            copy_typed: too_many,
            applications: self.applications(offer),
            projects: self
                .projects
                .iter()
                .map(|project| ProjectRow {
                    field: format!("project-{}", project.id),
                    name: project.name.to_string(),
                    level: offer.projects.get(&project.id).copied().unwrap_or(Level::None).word(),
                })
                .collect(),
            roles: self.roles(offer),
            copied: None,
            differs: None,
            reach: None,
        }
    }

    fn providers(&self, offer: &Offer) -> Vec<Choice> {
        let mut choices = vec![choice("", "None, use a password", offer.provider.is_none())];
        choices.extend(self.delegation.providers.iter().map(|provider| {
            choice(
                provider.name.as_str(),
                &provider.title,
                offer.provider.as_ref() == Some(&provider.name),
            )
        }));
        keep(&mut choices, offer.provider.as_ref().map(|name| name.as_str()));
        choices
    }

    /// Applications that may be given, then those that are held and the team gives no longer: they may be taken off.
    fn applications(&self, offer: &Offer) -> Vec<ApplicationTick> {
        let offered = |name: &ApplicationName| self.delegation.applications.iter().any(|one| one.name == *name);
        let held = offer.permissions.keys().filter(|name| !offered(name)).map(|name| ApplicationTick {
            name: name.to_string(),
            tick: Tick {
                field: format!("app-{name}"),
                title: name.to_string(),
                hint: "Not given by this team any more".to_owned(),
                ticked: true,
            },
            permissions: Vec::new(),
        });
        let mut ticks: Vec<ApplicationTick> = self.offered_applications(offer);
        ticks.extend(held);
        ticks
    }

    fn offered_applications(&self, offer: &Offer) -> Vec<ApplicationTick> {
        self.delegation
            .applications
            .iter()
            .map(|application| {
                let ticked = offer.permissions.get(&application.name);
                ApplicationTick {
                    name: application.name.to_string(),
                    tick: Tick {
                        field: format!("app-{}", application.name),
                        title: application.title.clone(),
                        hint: String::new(),
                        ticked: ticked.is_some(),
                    },
                    permissions: application
                        .permissions
                        .iter()
                        .map(|permission| Tick {
                            field: format!("perm-{}:{}", application.name, permission.name),
                            title: permission.title.clone(),
                            hint: permission.help.clone(),
                            ticked: ticked.is_some_and(|ticked| ticked.contains(&permission.name)),
                        })
                        .collect(),
                }
            })
            .collect()
    }

    /// Roles that may be given, and those that are there and may not: these stay as they are.
    fn roles(&self, offer: &Offer) -> Vec<Tick> {
        let mut ticks: Vec<Tick> = self
            .delegation
            .roles
            .iter()
            .map(|role| Tick {
                field: format!("role-{}", role.name),
                title: role.title.clone(),
                hint: hint_of(role.admin.iter().copied()),
                ticked: offer.roles.contains(&role.name),
            })
            .collect();
        if self.by.giver.is_admin() {
            let held = offer.roles.iter().filter(|name| !self.offers(name));
            ticks.extend(held.map(|name| Tick {
                field: format!("role-{name}"),
                title: name.to_string(),
                hint: "Not given by this team any more".to_owned(),
                ticked: true,
            }));
        }
        ticks
    }

    fn offers(&self, name: &RoleName) -> bool {
        self.delegation.roles.iter().any(|role| role.name == *name)
    }

    /// What was sent, with what this person may neither see nor change left as it was: it stands in no box of theirs.
    pub(super) fn keeping(&self, mut sent: Offer, had: &Offer) -> Offer {
        // An admin has a box for everything that is held.
        if !self.by.giver.is_admin() {
            sent.roles.extend(had.roles.iter().filter(|name| !self.offers(name)).cloned());
        }
        for (name, ticked) in &had.permissions {
            let application = self.delegation.applications.iter().find(|one| one.name == *name);
            let known = |one: &PermissionName| {
                application.is_some_and(|application| application.permissions.iter().any(|known| known.name == *one))
            };
            if let Some(now) = sent.permissions.get_mut(name) {
                now.extend(ticked.iter().filter(|one| !known(one)).cloned());
            }
        }
        for (project, level) in &had.projects {
            if !self.projects.iter().any(|known| known.id == *project) {
                sent.projects.insert(*project, *level);
            }
        }
        sent
    }
}

/// What a role may do in the console, in words.
fn hint_of(powers: impl Iterator<Item = Power>) -> String {
    let words: Vec<&str> = powers.map(Power::word).collect();
    match words.as_slice() {
        [] => String::new(),
        words => format!("In the console: {}", words.join(", ")),
    }
}

/// The teams into which this person may invite, in the order of the policy.
fn teams<'a>(cx: &'a Cx<'_>) -> impl Iterator<Item = &'a crate::policy::definitions::Team> {
    let standing = cx.standing.as_ref();
    let teams = cx.live.policies.definitions().teams.iter();
    teams.filter(move |team| standing.is_some_and(|standing| standing.may_in(Power::Invitations, &team.name)))
}

fn patterns(cx: &Cx<'_>, offer: &Offer) -> Vec<Choice> {
    let mut choices = vec![choice("", "None, any address", offer.ip_pattern.is_none())];
    let all = &cx.live.policies.definitions().ip_patterns;
    choices.extend(all.iter().map(|pattern| {
        choice(
            pattern.name.as_str(),
            &covered(pattern),
            offer.ip_pattern.as_ref() == Some(&pattern.name),
        )
    }));
    keep(&mut choices, offer.ip_pattern.as_ref().map(|name| name.as_str()));
    choices
}

/// A choice that is not offered any more stays visible, so that saving does not drop it unseen.
fn keep(choices: &mut Vec<Choice>, name: Option<&str>) {
    if let Some(name) = name
        && !choices.iter().any(|choice| choice.value == name)
    {
        choices.push(choice(name, &format!("{name} (not in the policy any more)"), true));
    }
}

/// A pattern with what it covers: `Office (203.0.113.64/26, 2001:db8:10::/48)`.
fn covered(pattern: &IpPattern) -> String {
    const SHOWN: usize = 3;
    let mut entries: Vec<&str> = pattern.include.iter().take(SHOWN).map(String::as_str).collect();
    if pattern.include.len() > SHOWN || !pattern.exclude.is_empty() {
        entries.push("…");
    }
    if entries.is_empty() {
        return pattern.title.clone();
    }
    format!("{} ({})", pattern.title, entries.join(", "))
}

fn choice(value: &str, words: &str, chosen: bool) -> Choice {
    Choice {
        value: value.to_owned(),
        words: words.to_owned(),
        chosen,
    }
}

fn reach_row(one: &Foreseen<'_>, how: &str) -> ReachRow {
    let places: Vec<&str> = one.patterns.iter().map(|pattern| pattern.title.as_str()).collect();
    let place = match places.as_slice() {
        [] => "From any address".to_owned(),
        places => format!("From {}", places.join(" and ")),
    };
    let (kind, access, words) = match (one.verdict, &one.reason) {
        _ if one.from.is_none() => ("bad", "No access", format!("{place}: these have no address in common")),
        (Verdict::Allow, Reason::PublicPath) => ("ok", "Open", "To everybody".to_owned()),
        (Verdict::Allow, _) => ("ok", "Allowed", format!("{place}, {how}")),
        (Verdict::StepUp, _) => (
            "warn",
            "After another step",
            format!("{place}, {how}, and a second factor or a new sign-in"),
        ),
        (Verdict::SignIn, _) => ("bad", "No access", format!("It does not accept who is {how}")),
        (_, reason) => ("", "No access", words_for(reason.code(), &one.application.title)),
    };
    ReachRow {
        application: one.application.title.clone(),
        tag: Tag { kind, words: access },
        words,
    }
}

pub(super) fn new_page(cx: &Cx<'_>, offer: OfferView) -> InviteFormPage {
    InviteFormPage {
        frame: cx.frame(),
        me: cx.me(),
        here: HERE,
        form: cx.form.clone(),
        offer,
        action: format!("{BASE}{HERE}/new"),
        heading: "Invite User".to_owned(),
        above: Link {
            path: format!("{BASE}{HERE}"),
            name: "Invitations".to_owned(),
        },
        fresh: true,
        seen: String::new(),
        open_now: String::new(),
        groups: Vec::new(),
        end: None,
        lasts: lasting(cx.app.accounts.rules().registration_ttl),
        mailed: cx.live.settings.mail.is_some(),
    }
}

/// What whoever saves was shown first counts, until a conflict was told; `stands` is what stands there now.
pub(super) fn seen(cx: &Cx<'_>, stands: &Offer) -> String {
    match cx.form.value("seen") {
        seen if seen.is_empty() || cx.form.failed() => digest(stands),
        seen => seen.to_owned(),
    }
}

fn change_page(cx: &Cx<'_>, offer: OfferView, stands: &Offer, email: &str) -> Result<InviteFormPage, Stop> {
    let id = invitation_of(cx)?;
    Ok(InviteFormPage {
        seen: seen(cx, stands),
        action: format!("{BASE}{HERE}/{id}"),
        heading: format!("Invitation of {email}"),
        fresh: false,
        ..new_page(cx, offer)
    })
}
