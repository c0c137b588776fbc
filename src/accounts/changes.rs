//! What an audit event says of a change: before and after, only of what differs.

use crate::model::event::Event;
use crate::model::membership::Offer;

/// Adds to an event what differs between two offers, each as `before -> after`; nothing is said of what is the same.
pub(super) fn noted(event: Event, before: &Offer, after: &Offer) -> Event {
    type Told = fn(&Offer) -> String;
    let parts: [(&str, Told); 5] = [
        ("roles", roles),
        ("permissions", permissions),
        ("projects", projects),
        ("ip-pattern", ip_pattern),
        ("provider", provider),
    ];
    parts.into_iter().fold(event, |event, (name, told)| {
        let (old, new) = (told(before), told(after));
        if old == new {
            event
        } else {
            event.with(name, format!("{old} -> {new}"))
        }
    })
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

fn roles(offer: &Offer) -> String {
    listed(offer.roles.iter().map(ToString::to_string))
}

/// `notebook:read` for each tick, and `notebook` for an application without one.
fn permissions(offer: &Offer) -> String {
    listed(offer.permissions.iter().flat_map(|(application, ticked)| {
        let bare = ticked.is_empty().then(|| application.to_string());
        bare.into_iter()
            .chain(ticked.iter().map(move |permission| format!("{application}:{permission}")))
    }))
}

fn projects(offer: &Offer) -> String {
    listed(offer.projects.iter().map(|(project, level)| format!("{project}:{level}")))
}

fn ip_pattern(offer: &Offer) -> String {
    listed(offer.ip_pattern.iter().map(ToString::to_string))
}

fn provider(offer: &Offer) -> String {
    listed(offer.provider.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::model::event::{Action, Actor};

    #[test]
    fn an_event_says_before_and_after_of_what_differs_and_nothing_else() {
        let before = Offer {
            roles: ["reader".parse().unwrap()].into(),
            permissions: [("eln".parse().unwrap(), ["read".parse().unwrap()].into())].into(),
            ..Offer::nothing("acme".parse().unwrap())
        };
        let after = Offer {
            roles: ["keeper".parse().unwrap(), "reader".parse().unwrap()].into(),
            permissions: [
                ("eln".parse().unwrap(), ["read".parse().unwrap()].into()),
                ("stock".parse().unwrap(), [].into()),
            ]
            .into(),
            ip_pattern: Some("office".parse().unwrap()),
            ..before.clone()
        };
        let event = Event::new(Action::MembershipChanged, Actor::CommandLine, Timestamp::from_secs(0));
        let details = noted(event.clone(), &before, &after).details;
        let told: Vec<(&str, &str)> = details.iter().map(|(name, words)| (name.as_str(), words.as_str())).collect();
        assert_eq!(
            told,
            [
                ("ip-pattern", "none -> office"),
                ("permissions", "eln:read -> eln:read stock"),
                ("roles", "reader -> keeper reader"),
            ]
        );
        assert!(noted(event, &after, &after).details.is_empty());
    }
}
