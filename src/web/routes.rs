//! The site as a table: every address, who may ask for it, and what answers.

use std::future::Future;
use std::pin::Pin;

use http::Method;

use crate::model::role::Power;

use super::console::{
    applications, audit, explain, groups, health, import, invitations, invite, ip_patterns, mail, membership, policy, projects, providers,
    sessions, several, teams, user, users,
};
use super::cx::{Cx, Outcome};
use super::files;
use super::machine;
use super::pages::{account, first_admin, hand_over, invitation, me, sign_in, sign_out};

/// Who may ask for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever is signed in and whose account counts from where they are.
    SignedIn,
    /// Whoever holds a power, everywhere or in a team.
    Can(Power),
    /// Whoever holds a power in the whole instance.
    CanEverywhere(Power),
    /// Whoever may open a page of the console.
    Console,
}

/// On which hosts an address answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The portal only: an application's scripts could read it elsewhere.
    Portal,
    /// Every host of ours.
    Everywhere,
}

/// What a handler gives back, in time.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// What answers for a row. It finds Access, origin, csrf value, content type and size checked.
pub type Handler = for<'a, 'b> fn(&'a mut Cx<'b>) -> Answering<'a>;

/// A row of the table.
#[derive(Debug)]
pub struct Route {
    /// GET, which HEAD goes with, or POST.
    pub method: Method,
    /// The address below `/.portcullis`.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    /// On which hosts.
    pub place: Place,
    /// Whether it gives, takes or hands over rights: then the person must have signed in lately, and is asked to prove again who they are.
    pub sensitive: bool,
    /// What answers.
    pub handler: Handler,
}

const fn on_portal(method: Method, path: &'static str, access: Access, handler: Handler) -> Route {
    Route {
        method,
        path,
        access,
        place: Place::Portal,
        sensitive: false,
        handler,
    }
}

const fn sensitive(method: Method, path: &'static str, access: Access, handler: Handler) -> Route {
    Route {
        method,
        path,
        access,
        place: Place::Portal,
        sensitive: true,
        handler,
    }
}

const fn everywhere(path: &'static str, handler: Handler) -> Route {
    Route {
        method: Method::GET,
        path,
        access: Access::Public,
        place: Place::Everywhere,
        sensitive: false,
        handler,
    }
}

macro_rules! to {
    ($handler:path) => {
        |cx| Box::pin($handler(cx))
    };
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const USERS: Access = Access::Can(Power::Users);
const PROJECTS: Access = Access::Can(Power::Projects);
const GROUPS: Access = Access::Can(Power::Groups);
const INVITATIONS: Access = Access::Can(Power::Invitations);
const POLICIES: Access = Access::CanEverywhere(Power::Policies);
const WHOLE_AUDIT: Access = Access::CanEverywhere(Power::Audit);

/// Every address of ours.
pub const ROUTES: &[Route] = &[
    everywhere("/sign-in", to!(sign_in::show)),
    on_portal(POST, "/sign-in", Access::Public, to!(sign_in::submit)),
    everywhere("/sign-out", to!(sign_out::show)),
    on_portal(POST, "/sign-out", Access::Public, to!(sign_out::submit)),
    on_portal(GET, "/signed-out", Access::Public, to!(sign_out::done)),
    everywhere("/callback", to!(hand_over::arrive)),
    on_portal(GET, "/account/new", Access::Public, to!(account::show_new)),
    on_portal(POST, "/account/new", Access::Public, to!(account::submit_new)),
    on_portal(GET, "/account/reset", Access::Public, to!(account::show_ask)),
    on_portal(POST, "/account/reset", Access::Public, to!(account::submit_ask)),
    on_portal(GET, "/account/reset/sent", Access::Public, to!(account::show_sent)),
    on_portal(GET, "/account/reset/token", Access::Public, to!(account::show_reset)),
    on_portal(POST, "/account/reset/token", Access::Public, to!(account::submit_reset)),
    on_portal(GET, "/first-admin/{secret}", Access::Public, to!(first_admin::show)),
    on_portal(POST, "/first-admin/{secret}", Access::Public, to!(first_admin::submit)),
    on_portal(GET, "/invite/{secret}", Access::Public, to!(invitation::show)),
    on_portal(POST, "/invite/{secret}", Access::Public, to!(invitation::submit)),
    on_portal(GET, "/invite/{secret}/token", Access::Public, to!(invitation::show_token)),
    on_portal(POST, "/invite/{secret}/token", Access::Public, to!(invitation::submit_token)),
    on_portal(GET, "/privacy", Access::Public, to!(sign_out::privacy)),
    on_portal(GET, "/", Access::SignedIn, to!(me::home)),
    on_portal(GET, "/me/security", Access::SignedIn, to!(me::show_security)),
    on_portal(POST, "/me/security", Access::SignedIn, to!(me::change_password)),
    on_portal(GET, "/me/sessions", Access::SignedIn, to!(me::show_sessions)),
    on_portal(POST, "/me/sessions", Access::SignedIn, to!(me::end_sessions)),
    on_portal(GET, "/admin", Access::Console, to!(users::start)),
    on_portal(GET, "/admin/users", USERS, to!(users::show_list)),
    sensitive(POST, "/admin/users", USERS, to!(users::add)),
    sensitive(POST, "/admin/users/role", USERS, to!(user::change_role_of)),
    on_portal(GET, "/admin/users/export", USERS, to!(users::export)),
    on_portal(GET, "/admin/users/import", USERS, to!(import::show_users)),
    sensitive(POST, "/admin/users/import", USERS, to!(import::import_users)),
    sensitive(POST, "/admin/users/several", USERS, to!(several::on_users)),
    on_portal(GET, "/admin/users/{user}", USERS, to!(user::show_user)),
    on_portal(GET, "/admin/users/{user}/role", USERS, to!(user::ask_role)),
    sensitive(POST, "/admin/users/{user}/role", USERS, to!(user::change_role)),
    on_portal(GET, "/admin/users/{user}/disable", USERS, to!(user::ask_disable)),
    sensitive(POST, "/admin/users/{user}/disable", USERS, to!(user::disable)),
    sensitive(POST, "/admin/users/{user}/enable", USERS, to!(user::enable)),
    on_portal(GET, "/admin/users/{user}/delete", USERS, to!(user::ask_delete)),
    sensitive(POST, "/admin/users/{user}/delete", USERS, to!(user::delete)),
    sensitive(POST, "/admin/users/{user}/token", USERS, to!(user::new_token)),
    on_portal(POST, "/admin/users/{user}/sessions", USERS, to!(user::end_sessions)),
    on_portal(GET, "/admin/invitations", INVITATIONS, to!(invitations::show_list)),
    on_portal(GET, "/admin/invitations/new", INVITATIONS, to!(invite::show)),
    sensitive(POST, "/admin/invitations/new", INVITATIONS, to!(invite::submit)),
    on_portal(GET, "/admin/invitations/export", INVITATIONS, to!(invitations::export)),
    on_portal(GET, "/admin/invitations/import", INVITATIONS, to!(import::show_invitations)),
    sensitive(POST, "/admin/invitations/import", INVITATIONS, to!(import::import_invitations)),
    sensitive(POST, "/admin/invitations/several", INVITATIONS, to!(several::on_invitations)),
    on_portal(GET, "/admin/invitations/{invitation}", INVITATIONS, to!(invite::show_change)),
    sensitive(POST, "/admin/invitations/{invitation}", INVITATIONS, to!(invite::submit_change)),
    sensitive(POST, "/admin/invitations/{invitation}/do", INVITATIONS, to!(invitations::act)),
    on_portal(GET, "/admin/users/{user}/teams/{team}", USERS, to!(membership::show)),
    sensitive(POST, "/admin/users/{user}/teams/{team}", USERS, to!(membership::submit)),
    on_portal(GET, "/admin/users/{user}/teams/{team}/end", USERS, to!(membership::ask_end)),
    sensitive(POST, "/admin/users/{user}/teams/{team}/end", USERS, to!(membership::end)),
    on_portal(GET, "/admin/projects", PROJECTS, to!(projects::show_list)),
    on_portal(POST, "/admin/projects", PROJECTS, to!(projects::add)),
    on_portal(GET, "/admin/projects/{project}", PROJECTS, to!(projects::show)),
    sensitive(POST, "/admin/projects/{project}", PROJECTS, to!(projects::change)),
    on_portal(GET, "/admin/teams", GROUPS, to!(teams::show_list)),
    on_portal(GET, "/admin/teams/{team}", GROUPS, to!(teams::show)),
    on_portal(POST, "/admin/teams/{team}", GROUPS, to!(teams::add_group)),
    on_portal(GET, "/admin/groups/{group}", GROUPS, to!(groups::show)),
    sensitive(POST, "/admin/groups/{group}", GROUPS, to!(groups::change)),
    on_portal(GET, "/admin/sessions", USERS, to!(sessions::show_list)),
    on_portal(POST, "/admin/sessions", USERS, to!(sessions::end)),
    on_portal(GET, "/admin/applications", Access::Can(Power::Apps), to!(applications::show)),
    on_portal(GET, "/admin/ip-patterns", USERS, to!(ip_patterns::show)),
    on_portal(GET, "/admin/identity-providers", POLICIES, to!(providers::show)),
    on_portal(GET, "/admin/policy", POLICIES, to!(policy::show)),
    on_portal(POST, "/admin/policy/check", POLICIES, to!(policy::check)),
    on_portal(GET, "/admin/explain", Access::Can(Power::Audit), to!(explain::show)),
    on_portal(GET, "/admin/audit", Access::Can(Power::Audit), to!(audit::show)),
    on_portal(GET, "/admin/audit/export", WHOLE_AUDIT, to!(audit::export)),
    on_portal(POST, "/admin/audit/check", WHOLE_AUDIT, to!(audit::check)),
    on_portal(GET, "/admin/health", POLICIES, to!(health::show)),
    on_portal(GET, "/admin/mail", USERS, to!(mail::show_list)),
    on_portal(POST, "/admin/mail/test", USERS, to!(mail::send_test)),
    on_portal(POST, "/admin/mail/{letter}/again", USERS, to!(mail::send_again)),
    on_portal(POST, "/admin/mail/{letter}/give-up", USERS, to!(mail::give_up)),
    everywhere("/assets/{folder}/{name}", to!(files::asset)),
    everywhere("/whoami", to!(machine::whoami)),
    everywhere("/jwks.json", to!(machine::jwks)),
];

/// The table with its addresses compiled.
pub struct Site {
    paths: matchit::Router<&'static str>,
}

/// A row that fits a request, with the named parts of its address.
pub struct Found {
    /// The row.
    pub route: &'static Route,
    /// Names and values of the parts in braces.
    pub params: Vec<(String, String)>,
}

/// Why no row fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such address.
    Path,
    /// There is, and it takes these methods.
    Method(String),
}

impl Site {
    /// Compiles the table.
    #[must_use]
    pub fn new() -> Self {
        let mut paths = matchit::Router::new();
        for route in ROUTES {
            // The second method of an address finds it there already.
            let _ = paths.insert(route.path, route.path);
        }
        Self { paths }
    }

    /// The row for a method and an address below `/.portcullis`. HEAD is looked up as GET.
    ///
    /// # Errors
    /// [`NotFound`] says whether the address or only the method is unknown.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found, NotFound> {
        let matched = self.paths.at(path).map_err(|_| NotFound::Path)?;
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let rows = || ROUTES.iter().filter(|route| route.path == *matched.value);
        let Some(route) = rows().find(|route| route.method == *asked) else {
            let methods: Vec<&str> = rows()
                .flat_map(|route| {
                    if route.method == Method::GET {
                        vec!["GET", "HEAD"]
                    } else {
                        vec!["POST"]
                    }
                })
                .collect();
            return Err(NotFound::Method(methods.join(", ")));
        };
        Ok(Found {
            route,
            params: matched
                .params
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// What shows the form that is sent to this address, if it is shown at the same one.
    #[must_use]
    pub fn form_of(&self, route: &Route) -> Option<&'static Route> {
        ROUTES.iter().find(|row| row.path == route.path && row.method == Method::GET)
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_method_and_address() {
        let site = Site::new();
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "x");
            let found = site.find(&route.method, &path).unwrap_or_else(|why| panic!("{path}: {why:?}"));
            assert_eq!((found.route.path, &found.route.method), (route.path, &route.method));
        }
    }

    #[test]
    fn an_unknown_address_and_an_unknown_method_are_told_apart() {
        let site = Site::new();
        let missed = |method: &Method, path: &str| site.find(method, path).err();
        assert_eq!(missed(&GET, "/nothing"), Some(NotFound::Path));
        assert_eq!(missed(&POST, "/whoami"), Some(NotFound::Method("GET, HEAD".to_owned())));
        assert_eq!(
            missed(&Method::DELETE, "/sign-in"),
            Some(NotFound::Method("GET, HEAD, POST".to_owned()))
        );
        assert_eq!(site.find(&Method::HEAD, "/sign-in").unwrap().route.method, GET);
        assert_eq!(site.find(&POST, "/admin/users/role").unwrap().route.path, "/admin/users/role");
        let found = site.find(&GET, "/admin/users/u_1").unwrap();
        assert_eq!(found.params, [("user".to_owned(), "u_1".to_owned())]);
    }

    #[test]
    fn what_application_hosts_answer_is_what_the_contract_lists() {
        let everywhere: Vec<&str> = ROUTES
            .iter()
            .filter(|route| route.place == Place::Everywhere)
            .map(|route| route.path)
            .collect();
        assert_eq!(
            everywhere,
            [
                "/sign-in",
                "/sign-out",
                "/callback",
                "/assets/{folder}/{name}",
                "/whoami",
                "/jwks.json"
            ]
        );
        assert!(
            ROUTES
                .iter()
                .all(|route| route.place == Place::Portal || route.method == GET && route.access == Access::Public)
        );
    }

    #[test]
    fn the_menu_offers_what_its_pages_let_in() {
        for one in super::super::view::CONSOLE.iter().flat_map(|group| group.links) {
            let route = ROUTES.iter().find(|route| route.path == one.link.path && route.method == GET);
            let access = route.map(|route| route.access);
            let expected = if one.everywhere {
                Access::CanEverywhere(one.power)
            } else {
                Access::Can(one.power)
            };
            assert_eq!(access, Some(expected), "{}", one.link.path);
        }
    }

    /// Acts of the console that give, take and hand over no right: a row that is not here has to be sensitive.
    const HARMLESS: &[&str] = &[
        "/admin/audit/check",
        "/admin/mail/test",
        "/admin/mail/{letter}/again",
        "/admin/mail/{letter}/give-up",
        "/admin/policy/check",
        "/admin/projects",
        "/admin/sessions",
        "/admin/teams/{team}",
        "/admin/users/{user}/sessions",
    ];

    #[test]
    fn acts_of_the_console_ask_who_has_not_signed_in_lately_unless_they_are_harmless() {
        for route in ROUTES {
            let act = route.path.starts_with("/admin") && route.method == POST;
            let harmless = HARMLESS.contains(&route.path);
            assert_eq!(route.sensitive, act && !harmless, "{} {}", route.method, route.path);
        }
        for path in HARMLESS {
            assert!(ROUTES.iter().any(|route| route.path == *path && route.method == POST), "{path}");
        }
    }

    #[test]
    fn nothing_of_the_console_is_open_to_who_has_no_power() {
        for route in ROUTES {
            let console = route.path.starts_with("/admin");
            let shut = matches!(route.access, Access::Can(_) | Access::CanEverywhere(_) | Access::Console);
            assert_eq!(shut, console, "{}", route.path);
            let own = route.path == "/" || route.path.starts_with("/me/");
            assert_eq!(route.access == Access::SignedIn, own, "{}", route.path);
        }
    }
}
