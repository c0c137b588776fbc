//! The OpenAPI document, written from the table.

use serde_json::{Map, Value, json};

use http::Method;

use super::super::routes::Access;
use super::super::view::BASE;
use super::problem::PROBLEM;
use super::rows::{API, Row};
use super::shape::NAME;
use super::{BELOW, VERSION};

/// The document (OpenAPI 3.1).
#[must_use]
pub fn document() -> Value {
    let mut named = Map::new();
    PROBLEM.reference(&mut named);
    let mut paths: Map<String, Value> = Map::new();
    for row in API {
        let operation = operation(row, &mut named);
        let place = paths.entry(row.path.to_owned()).or_insert_with(|| json!({}));
        if let Some(place) = place.as_object_mut() {
            place.insert(row.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "portcullis",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the console does, by machine. Every refusal is a problem detail (RFC 9457) with a stable `code`.",
        },
        "servers": [{ "url": format!("{BASE}{BELOW}{VERSION}") }],
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-portcullis", "description": "A session; with `csrf`" },
                "csrf": { "type": "apiKey", "in": "header", "name": "X-Portcullis-Csrf", "description": "The value that the forms of the session hold" },
            },
        },
        "security": [{ "session": [], "csrf": [] }],
    })
}

fn operation(row: &Row, named: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = row
        .params()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": NAME.schema(named) }))
        .collect();
    parameters.extend(row.query().map(|field| {
        json!({
            "name": field.name,
            "in": "query",
            "required": field.needed,
            "schema": field.shape.schema(named),
            "description": field.says,
        })
    }));
    let header = |name: &str, required: bool, says: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": required,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            "description": says,
        })
    };
    if row.repeatable {
        let says = "The same key with the same body is answered the same for 24 hours, and nothing is made twice";
        parameters.push(header("Idempotency-Key", false, says));
    }
    if row.matched {
        parameters.push(header("If-Match", true, "The ETag that it was read with"));
    }
    let mut operation = json!({
        "operationId": row.id,
        "summary": row.says,
        "description": format!("{}{}", asked_of(row.access), lately(row)),
        "parameters": parameters,
        "responses": responses(row, named),
    });
    if let (Some(takes), Some(parts)) = (row.takes, operation.as_object_mut()) {
        let schema = takes.reference(named);
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        parts.insert("requestBody".to_owned(), body);
    }
    operation
}

fn lately(row: &Row) -> &'static str {
    if row.method == Method::GET || row.harmless {
        ""
    } else {
        " A person must have signed in lately (`signin.fresh_for`)."
    }
}

fn asked_of(access: Access) -> String {
    match access {
        Access::Public => "Anybody may ask.".to_owned(),
        Access::SignedIn => "Whoever is known may ask.".to_owned(),
        Access::Console => "Asks for any power.".to_owned(),
        Access::Can(power) => format!("Asks for the power `{power}`, in the whole instance or in a team."),
        Access::CanEverywhere(power) => format!("Asks for the power `{power}` in the whole instance."),
    }
}

fn responses(row: &Row, named: &mut Map<String, Value>) -> Value {
    let mut responses = Map::new();
    let done = match row.gives.shape {
        Some(shape) => json!({ "description": "Done", "content": { "application/json": { "schema": shape.reference(named) } } }),
        None => json!({ "description": "Done" }),
    };
    responses.insert(row.gives.status.to_string(), done);
    for (status, codes) in refusals(row) {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let refusal = json!({
            "description": codes.join(", "),
            "content": { "application/problem+json": { "schema": PROBLEM.reference(named) } },
        });
        responses.insert(status.to_string(), refusal);
    }
    responses.into()
}

/// How a row may be refused: the statuses, with the codes that stand in them.
#[must_use]
pub fn refusals(row: &Row) -> Vec<(u16, Vec<&'static str>)> {
    let mut all: Vec<(u16, Vec<&'static str>)> = Vec::new();
    let mut add = |status: u16, codes: &[&'static str]| match all.iter_mut().find(|(known, _)| *known == status) {
        Some((_, known)) => known.extend_from_slice(codes),
        None => all.push((status, codes.to_vec())),
    };
    add(400, &["bad_query"]);
    add(401, &["no-session", "session-too-old", "mfa-needed", "method"]);
    add(403, &["csrf", "role-missing", "mfa-needed", "ip-user", "account"]);
    if row.params().next().is_some() {
        add(404, &["not_found"]);
    }
    add(
        422,
        &[
            "unknown_field",
            "wrong_type",
            "missing",
            "too_long",
            "unknown_word",
            "invalid_characters",
        ],
    );
    if row.method != Method::GET {
        add(403, &["origin"]);
        add(429, &["rate_limited"]);
    }
    if row.takes.is_some() {
        add(400, &["bad_json", "body_broken"]);
        add(413, &["body_too_large"]);
        add(415, &["media_type"]);
    }
    if row.repeatable {
        add(400, &["bad_key"]);
        add(409, &["key_in_use"]);
        add(422, &["key_reused"]);
        add(429, &["too_many_keys"]);
    }
    if row.matched {
        add(412, &["changed_meanwhile"]);
        add(428, &["if_match_missing"]);
    }
    for fails in row.fails {
        add(fails.status, fails.codes);
    }
    add(503, &["unavailable"]);
    all.sort_by_key(|(status, _)| *status);
    all
}
