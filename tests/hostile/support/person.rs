//! People who sign in the way people do: cookies of each host kept, redirects followed, forms filled.

use std::collections::BTreeMap;

use super::case::World;
use super::{Asking, Reply};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "walnut orbit ledger 7";

/// A browser, as far as this suite needs one.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    /// Cookies by host and name.
    pub(crate) jar: BTreeMap<(String, String), String>,
}

impl Browser {
    /// The `Cookie` field for a host.
    pub(crate) fn cookies(&self, host: &str) -> String {
        let pairs: Vec<String> = self
            .jar
            .iter()
            .filter(|((of, _), _)| of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// One cookie's value.
    pub(crate) fn cookie(&self, host: &str, name: &str) -> String {
        self.jar.get(&(host.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }

    /// Sends one request with this host's cookies, and keeps those of the answer.
    pub(crate) fn send(&mut self, world: &World, asking: Asking) -> Reply {
        let host = asking.host.clone();
        let asking = asking.cookie(&self.cookies(&host)).browser();
        let reply = world.ask_clear(&asking);
        for cookie in reply.all("set-cookie") {
            let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let key = (host.clone(), name.trim().to_owned());
            if cookie.contains("Max-Age=0") {
                self.jar.remove(&key);
            } else {
                self.jar.insert(key, value.to_owned());
            }
        }
        reply
    }

    /// Goes to an address and on from there, over redirects and pages that go on by themselves.
    pub(crate) fn go(&mut self, world: &World, host: &str, target: &str) -> Reply {
        let reply = self.send(world, Asking::get(target).host(host));
        self.follow(world, host, reply)
    }

    /// Follows where an answer leads.
    pub(crate) fn follow(&mut self, world: &World, host: &str, mut reply: Reply) -> Reply {
        let mut host = host.to_owned();
        for _ in 0..12 {
            let Some(to) = leads_to(&reply) else {
                break;
            };
            let (next, target) = split(&to, &host);
            host = next;
            reply = self.send(world, Asking::get(&target).host(&host));
        }
        reply
    }

    /// Sends a form of a page, with its `csrf` value, and does not follow.
    pub(crate) fn submit(&mut self, world: &World, host: &str, page: &str, to: &str, fields: &[(&str, &str)]) -> Reply {
        let shown = self.send(world, Asking::get(page).host(host));
        let csrf = value_of(&shown.text(), "csrf");
        let mut pairs = vec![("csrf", csrf.as_str())];
        pairs.extend_from_slice(fields);
        self.send(world, Asking::form(to, &pairs).host(host))
    }

    /// Signs in on the portal.
    pub(crate) fn sign_in(&mut self, world: &World, username: &str, password: &str) -> Reply {
        let fields = [("username", username), ("password", password), ("realm", "local")];
        self.submit(world, super::case::PORTAL, "/.portcullis/sign-in", "/.portcullis/sign-in", &fields)
    }
}

/// Where an answer sends a browser by itself.
pub(crate) fn leads_to(reply: &Reply) -> Option<String> {
    if (300..400).contains(&reply.status) {
        return Some(reply.field("location").to_owned());
    }
    let text = reply.text();
    let refresh = text.split("http-equiv=\"refresh\"").nth(1)?;
    let content = refresh.split("content=\"").nth(1)?.split('"').next()?;
    let url = content.split("url=").nth(1)?;
    Some(unescape(url))
}

/// Host and target of an address, as seen from a host.
pub(crate) fn split(address: &str, from: &str) -> (String, String) {
    match address.split_once("://") {
        Some((_, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            (authority.split(':').next().unwrap_or("").to_owned(), format!("/{path}"))
        }
        None => (from.to_owned(), address.to_owned()),
    }
}

/// The value of a form's hidden field.
pub(crate) fn value_of(page: &str, name: &str) -> String {
    let marks = [format!("name=\"{name}\" value=\""), format!("name={name} value=\"")];
    marks
        .iter()
        .find_map(|mark| page.split(mark.as_str()).nth(1))
        .and_then(|rest| rest.split('"').next())
        .map(unescape)
        .unwrap_or_default()
}

/// Undoes what a template escapes.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
