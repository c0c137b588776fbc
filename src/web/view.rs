//! What every page draws around its content, and the pieces that several pages share.

use std::sync::Arc;

use crate::model::role::Power;
use crate::policy::house::Standing;

use super::relative::Moment;

/// Where all our pages are, on every host.
pub const BASE: &str = "/.portcullis";

/// The outside of a page. Everything else a page shows is in its own struct.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// `site.name`.
    pub site: String,
    /// Address of the operator's logo.
    pub logo: Option<String>,
    /// Address of the operator's stylesheet.
    pub style: Option<String>,
    /// `site.help_url`.
    pub help: Option<String>,
    /// `site.privacy_url`, or our own page.
    pub privacy: String,
    /// Where our pages are, as seen from this one: with the portal's scheme and host in front on any other host.
    pub base: String,
    /// The server's clock, RFC 3339.
    pub now: String,
    /// The value of the field `csrf` of every form here.
    pub csrf: String,
    /// Why an older policy is in force, for the console.
    pub stale: Option<Arc<[String]>>,
}

/// The person a page is for.
#[derive(Clone, Debug, Default)]
pub struct Me {
    /// The name to show.
    pub name: String,
    /// Its initials.
    pub initials: String,
    /// The pages of the console that they may open; the menu under their name has Admin where there are any.
    pub menu: Vec<MenuPart>,
}

/// A link of a menu, by its address below [`BASE`].
#[derive(Clone, Copy, Debug)]
pub struct MenuLink {
    /// Where it goes.
    pub path: &'static str,
    /// What it says.
    pub name: &'static str,
    /// Its picture in the sprite.
    pub icon: &'static str,
}

/// A page of the console, and who sees it.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleLink {
    /// How the menu shows it.
    pub link: MenuLink,
    /// The power that opens it.
    pub power: Power,
    /// Whether the power must be held in the whole instance: what the page shows belongs to no team.
    pub everywhere: bool,
}

/// A group of pages in the console's menu.
#[derive(Clone, Copy, Debug)]
pub struct MenuGroup {
    /// What it is called.
    pub name: &'static str,
    /// What is in it.
    pub links: &'static [ConsoleLink],
}

/// What somebody sees of a group.
#[derive(Clone, Debug)]
pub struct MenuPart {
    /// What it is called.
    pub name: &'static str,
    /// What is in it.
    pub links: Vec<MenuLink>,
}

/// The pages of one's own account.
pub const MY_ACCOUNT: &[MenuLink] = &[
    MenuLink {
        path: "/",
        name: "Applications",
        icon: "apps",
    },
    MenuLink {
        path: "/me/security",
        name: "Security",
        icon: "shield",
    },
    MenuLink {
        path: "/me/sessions",
        name: "Sessions",
        icon: "clock",
    },
];

const fn in_console(path: &'static str, name: &'static str, icon: &'static str, power: Power) -> ConsoleLink {
    ConsoleLink {
        link: MenuLink { path, name, icon },
        power,
        everywhere: false,
    }
}

/// The same for a page that shows what belongs to no team.
const fn for_instance(path: &'static str, name: &'static str, icon: &'static str, power: Power) -> ConsoleLink {
    ConsoleLink {
        everywhere: true,
        ..in_console(path, name, icon, power)
    }
}

/// The pages of the console.
pub const CONSOLE: &[MenuGroup] = &[
    MenuGroup {
        name: "People",
        links: &[
            in_console("/admin/users", "Users", "users", Power::Users),
            in_console("/admin/invitations", "Invitations", "mail", Power::Invitations),
            in_console("/admin/teams", "Teams", "team", Power::Groups),
            in_console("/admin/projects", "Projects", "book", Power::Projects),
            in_console("/admin/sessions", "Sessions", "clock", Power::Users),
        ],
    },
    MenuGroup {
        name: "Access",
        links: &[
            in_console("/admin/applications", "Applications", "apps", Power::Apps),
            in_console("/admin/ip-patterns", "IP patterns", "globe", Power::Users),
            for_instance("/admin/identity-providers", "Identity providers", "key", Power::Policies),
            for_instance("/admin/policy", "Policy", "shield", Power::Policies),
            in_console("/admin/explain", "Explain a decision", "help", Power::Audit),
        ],
    },
    MenuGroup {
        name: "System",
        links: &[
            in_console("/admin/mail", "Mail outbox", "send", Power::Users),
            in_console("/admin/audit", "Audit log", "list", Power::Audit),
            for_instance("/admin/health", "System health", "pulse", Power::Policies),
        ],
    },
];

/// The pages of the console that somebody may open.
#[must_use]
pub fn console_menu(standing: &Standing<'_>) -> Vec<MenuPart> {
    let opens = |one: &&ConsoleLink| {
        if one.everywhere {
            standing.may(one.power)
        } else {
            standing.may_somewhere(one.power)
        }
    };
    let parts = CONSOLE.iter().map(|group| MenuPart {
        name: group.name,
        links: group.links.iter().filter(opens).map(|one| one.link).collect(),
    });
    parts.filter(|part| !part.links.is_empty()).collect()
}

/// A link with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it goes.
    pub path: String,
    /// What it says.
    pub name: String,
}

/// A coloured word: the word carries the meaning, the colour repeats it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tag {
    /// `ok`, `warn`, `bad`, `acc` or nothing.
    pub kind: &'static str,
    /// The word.
    pub words: &'static str,
}

/// A session as lists show it.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Its identifier.
    pub id: String,
    /// `device` or `phone`.
    pub icon: &'static str,
    /// Browser and system, in words.
    pub device: String,
    /// The address it was made from.
    pub address: String,
    /// How the person signed in.
    pub way: String,
    /// When it was last used.
    pub seen: Moment,
    /// When it ends.
    pub ends: Moment,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// What a person who was turned away is told.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The title of the application; none for our own pages.
    pub application: Option<String>,
    /// What is wrong, in a sentence.
    pub words: String,
    /// The title of what is missing, if it may be told.
    pub missing: Option<String>,
    /// The address the request came from.
    pub address: String,
    /// The title of the IP pattern that shut the person out, if it may be told.
    pub pattern: Option<String>,
    /// Whether the pattern is the person's own, not the application's.
    pub of_account: bool,
    /// Where "try again" goes.
    pub again: String,
    /// The request's id.
    pub request: String,
    /// The decision's id.
    pub decision: Option<String>,
    /// Who is signed in, if anybody is.
    pub login: Option<String>,
    /// When it happened.
    pub at: Moment,
}

/// Where a sign-in goes on to, as hidden fields of its forms.
#[derive(Clone, Debug, Default)]
pub struct Onward {
    /// The field `return-to`.
    pub to: String,
    /// The digest of the login cookie of the host that began.
    pub login: String,
}

impl Onward {
    /// The same as the query of a link; empty if it goes nowhere in particular.
    #[must_use]
    pub fn query(&self) -> String {
        if self.to.is_empty() {
            return String::new();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", &self.to);
        if !self.login.is_empty() {
            query.append_pair("login", &self.login);
        }
        format!("?{}", query.finish())
    }
}

/// The first letters of the first and last word of a name, in upper case.
#[must_use]
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace();
    let first = words.next().and_then(|word| word.chars().next());
    let last = words.next_back().and_then(|word| word.chars().next());
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

/// The picture for a device.
#[must_use]
pub fn device_icon(agent: &str) -> &'static str {
    let phone = ["iPhone", "Android", "iPad"].iter().any(|part| agent.contains(part));
    if phone { "phone" } else { "device" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::device;

    #[test]
    fn where_to_go_on_to_travels_in_links_too() {
        let onward = |to: &str, login: &str| Onward {
            to: to.to_owned(),
            login: login.to_owned(),
        };
        assert_eq!(onward("", "x").query(), "");
        assert_eq!(onward("/a?b=c", "").query(), "?rd=%2Fa%3Fb%3Dc");
        assert_eq!(onward("https://x/", "d_-").query(), "?rd=https%3A%2F%2Fx%2F&login=d_-");
    }

    #[test]
    fn initials_are_the_first_and_the_last() {
        for (name, expected) in [
            ("Ada Okafor", "AO"),
            ("ada", "A"),
            ("Ana María Ruiz", "AR"),
            ("", ""),
            ("élodie ßmith", "ÉSS"),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }

    #[test]
    fn a_device_is_named_as_its_owner_would() {
        for (agent, expected, icon) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Linux",
                "device",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
                "Safari on iPhone",
                "phone",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
                "device",
            ),
            ("curl/8.5.0", "curl", "device"),
            ("", "Unknown browser", "device"),
        ] {
            assert_eq!((device(agent).as_str(), device_icon(agent)), (expected, icon), "{agent}");
        }
    }
}
