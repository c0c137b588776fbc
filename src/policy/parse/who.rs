//! Who and where: roles, teams, IP patterns, windows, limits and services.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::base::diagnostic::Diagnostic;
use crate::base::document::{At, Value};
use crate::base::grammar::{Flaw, rate, time_of_day};
use crate::base::reader::{Reader, word};
use crate::base::time::{DAY, MINUTE, Timestamp};
use crate::model::ip_pattern::AddressSet;
use crate::model::name::RoleName;
use crate::model::role::Power;

use super::super::definitions::{CredentialKind, IpPattern, Limit, LimitKey, Role, Scope as RoleScope, Service, Team, Window};
use super::condition::values;
use super::scope::{Kind, Scope, addresses, between, domain, line, listed};

impl Scope<'_> {
    pub(super) fn role(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Role> {
        let name: RoleName = self.own_name(written)?;
        if name == RoleName::admin() {
            self.problems.push(
                Diagnostic::error("E122", "the role `admin` is built in and policy cannot change it")
                    .at(written.span.clone())
                    .help("define a role of your own and give it `admin = [...]` powers"),
            );
        }
        let title = reader.parsed("title", line);
        let includes = self.names(&mut reader, "includes", Kind::Role);
        let permissions = self.permissions(&mut reader, "permissions", None).unwrap_or_default();
        let scope = reader.word("scope", listed!(RoleScope));
        let admin: BTreeSet<Power> = values(reader.list("admin", |text| word(text, listed!(Power))))
            .into_iter()
            .collect();
        let grantable_by = self.names(&mut reader, "grantable_by", Kind::Role);
        let require = self.condition(&mut reader, "require", None);
        let formerly = self.formerly(&mut reader);
        let _ = reader.boolean("sealed");
        reader.finish();
        if name == RoleName::user()
            && let Some(scope) = &scope
            && scope.value != RoleScope::Global
        {
            self.problem(
                "E122",
                "the role `user` is held by every active person: its scope is global",
                &scope.span,
            );
        }
        let built_in = if name == RoleName::user() {
            Role::user()
        } else {
            Role::plain(name)
        };
        Some(Role {
            at: self.place(&written.span),
            formerly,
            title: title.map_or(built_in.title, |title| title.value),
            includes,
            permissions,
            scope: scope.map_or(RoleScope::Global, |scope| scope.value),
            admin,
            grantable_by,
            require,
            name: built_in.name,
        })
    }

    pub(super) fn team(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Team> {
        let team = Team {
            at: self.place(&written.span),
            ..Team::plain(self.own_name(written)?)
        };
        let title = reader.parsed("title", line).map_or(team.title, |title| title.value);
        let team = Team {
            title,
            apps: self.names(&mut reader, "apps", Kind::Application),
            roles: self.names(&mut reader, "roles", Kind::Role),
            idps: self.names(&mut reader, "idps", Kind::Provider),
            email_domains: values(reader.list("email_domains", domain)),
            ip_pattern: self.names(&mut reader, "ip_pattern", Kind::IpPattern),
            max_users: reader
                .integer("max_users", 0..=10_000_000)
                .and_then(|seats| u32::try_from(seats.value).ok())
                .filter(|seats| *seats > 0),
            copy_from: reader.boolean("copy_from").is_none_or(|yes| yes.value),
            formerly: self.formerly(&mut reader),
            ..team
        };
        let _ = reader.boolean("sealed");
        reader.finish();
        Some(team)
    }

    /// An IP pattern as written; what its names stand for is put together once all are known.
    pub(super) fn ip_pattern(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<IpPattern> {
        let name = self.own_name(written)?;
        reader.need(
            "include",
            "list what is inside, such as [\"10.1.2.0/24\", \"10.2.*.*\", \"@other\"]",
        );
        let entry = |text: &str| match text.strip_prefix('@') {
            Some(other) => super::scope::name::<crate::model::name::IpPatternName>(other).map(|_| text.to_owned()),
            None => addresses(text).map(|_| text.to_owned()),
        };
        let mut list = |key| {
            let entries = reader.list(key, entry).map_or_else(Vec::new, |list| list.value);
            for one in &entries {
                if let Some(other) = one.value.strip_prefix('@') {
                    self.refers(Kind::IpPattern, other, &one.span);
                }
            }
            entries.into_iter().map(|one| one.value).collect::<Vec<_>>()
        };
        let include = list("include");
        let exclude = list("exclude");
        let pattern = IpPattern {
            at: self.place(&written.span),
            include,
            exclude,
            allow_all: reader.boolean("allow_all").is_some_and(|yes| yes.value),
            formerly: self.formerly(&mut reader),
            ..IpPattern::plain(name, AddressSet::default())
        };
        let title = reader.parsed("title", line).map_or(pattern.title, |title| title.value);
        let _ = reader.boolean("sealed");
        reader.finish();
        Some(IpPattern { title, ..pattern })
    }

    /// A window; whatever is wrong with its days, times, dates or zone is `E150`.
    pub(super) fn window(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Window> {
        let name = self.own_name(written)?;
        let days = values(reader.list("days", weekday));
        let (from_minute, from_span) = self.minute(&mut reader, "from", 0);
        let (to_minute, to_span) = self.minute(&mut reader, "to", 24 * 60);
        let timezone = reader.parsed("timezone", |text| {
            TimeZone::get(text).map_err(|_| {
                Flaw::new("E150", format!("\"{text}\" is no time zone of the IANA data base")).help("such as Europe/Zurich or UTC")
            })
        });
        let dates = values(reader.list("dates", dates));
        if from_minute == to_minute || from_minute == 24 * 60 || to_minute == 0 && to_span.is_some() && from_minute == 0 {
            let span = to_span.or(from_span).unwrap_or_else(|| written.span.clone());
            self.problem("E150", "the window is empty: it begins when it ends", &span);
        }
        // Ending at 00:00 is ending at the end of the day.
        let to_minute = if to_minute == 0 { 24 * 60 } else { to_minute };
        let window = Window {
            name,
            at: self.place(&written.span),
            formerly: self.formerly(&mut reader),
            days,
            from_minute: from_minute.min(24 * 60 - 1),
            to_minute,
            timezone: timezone.map_or(TimeZone::UTC, |zone| zone.value),
            dates,
        };
        let _ = reader.boolean("sealed");
        reader.finish();
        Some(window)
    }

    fn minute(&self, reader: &mut Reader<'_>, key: &'static str, default: u16) -> (u16, Option<crate::base::diagnostic::Span>) {
        let Some(entry) = reader.entry(key) else {
            return (default, None);
        };
        let span = entry.node.span.clone();
        if let Value::Datetime(at) = &entry.node.value
            && let (None, Some(time), None) = (at.date, at.time, at.offset)
        {
            return (u16::from(time.hour) * 60 + u16::from(time.minute), Some(span));
        }
        let minute = reader.parsed(key, |text| time_of_day(text).map_err(|flaw| Flaw { code: "E150", ..flaw }));
        (minute.map_or(default, |minute| minute.value), Some(span))
    }

    pub(super) fn limit(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Limit> {
        let name = self.own_name(written)?;
        reader.need("rate", "such as \"120/1m\"");
        let rate = reader.parsed("rate", rate);
        let burst = reader
            .integer("burst", 1..=1_000_000_000)
            .and_then(|burst| u32::try_from(burst.value).ok());
        let key = reader.word("key", listed!(LimitKey)).map_or(LimitKey::User, |key| key.value);
        let formerly = self.formerly(&mut reader);
        let _ = reader.boolean("sealed");
        reader.finish();
        let rate = rate?.value;
        Some(Limit {
            name,
            at: self.place(&written.span),
            formerly,
            count: rate.count,
            per: rate.per,
            burst: burst.unwrap_or(rate.count),
            key,
        })
    }

    pub(super) fn service(&self, written: &At<String>, mut reader: Reader<'_>) -> Option<Service> {
        let service = Service {
            at: self.place(&written.span),
            ..Service::plain(self.own_name(written)?)
        };
        reader.need("ip_pattern", "a service must say from where it comes: name at least one IP pattern");
        if let Some(entry) = reader.entry("ip_pattern")
            && matches!(&entry.node.value, Value::List(items) if items.is_empty())
        {
            self.problem("E123", "a service that may come from nowhere is no use", &entry.node.span);
        }
        let title = reader.parsed("title", line).map_or(service.title, |title| title.value);
        let service = Service {
            title,
            owner: reader.parsed("owner", line).map_or_else(String::new, |owner| owner.value),
            roles: self.names(&mut reader, "roles", Kind::Role),
            permissions: self.permissions(&mut reader, "permissions", None).unwrap_or_default(),
            apps: self.names(&mut reader, "apps", Kind::Application),
            ip_pattern: self.names(&mut reader, "ip_pattern", Kind::IpPattern),
            credentials: reader
                .word("credentials", listed!(CredentialKind))
                .map_or(CredentialKind::Token, |kind| kind.value),
            max_ttl: reader
                .parsed("max_ttl", between("max_ttl", MINUTE, 3650 * DAY))
                .map_or(service.max_ttl, |ttl| ttl.value),
            expires: self.moment(&mut reader, "expires"),
            formerly: self.formerly(&mut reader),
            ..service
        };
        let _ = reader.boolean("sealed");
        reader.finish();
        Some(service)
    }

    /// A date (its first moment in UTC) or an instant, bare or in quotes.
    pub(super) fn moment(&self, reader: &mut Reader<'_>, key: &'static str) -> Option<Timestamp> {
        let entry = reader.entry(key)?;
        let text = match &entry.node.value {
            Value::Datetime(at) => at.to_string(),
            Value::Text(text) => text.clone(),
            _ => {
                reader.wrong_type(key, &entry.node, "a date or an instant");
                return None;
            }
        };
        let midnight = text.parse::<civil::Date>().ok().filter(|_| text.len() == 10);
        let moment = match midnight {
            Some(date) => TimeZone::UTC
                .to_timestamp(date.to_datetime(civil::Time::midnight()))
                .ok()
                .map(|at| Timestamp::from_millis(at.as_millisecond())),
            None => Timestamp::parse_rfc3339(&text).ok(),
        };
        if moment.is_none() {
            self.problems.push(
                Diagnostic::error("E103", format!("`{key}` is neither a date nor an instant with an offset"))
                    .at(entry.node.span.clone())
                    .help("write 2028-01-01 or 2028-01-01T12:00:00Z"),
            );
        }
        moment
    }
}

fn weekday(text: &str) -> Result<civil::Weekday, Flaw> {
    use civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    word(
        text,
        &[
            ("mon", Monday),
            ("tue", Tuesday),
            ("wed", Wednesday),
            ("thu", Thursday),
            ("fri", Friday),
            ("sat", Saturday),
            ("sun", Sunday),
        ],
    )
    .map_err(|flaw| Flaw { code: "E150", ..flaw })
}

fn dates(text: &str) -> Result<(civil::Date, civil::Date), Flaw> {
    let wrong = || Flaw::new("E150", format!("\"{text}\" is no stretch of dates")).help("write 2026-12-24..2026-12-26, or one date");
    let read = |part: &str| part.parse::<civil::Date>().ok().filter(|_| part.len() == 10).ok_or_else(wrong);
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (read(first)?, read(last)?);
    if last < first {
        return Err(wrong());
    }
    Ok((first, last))
}

/// Bounds of durations that have none of their own.
pub(super) const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
