//! The shape of what the API takes and gives: what comes in is checked by it, and the OpenAPI document is written from it.

use serde_json::{Map, Value, json};

/// How deep a body may nest: an invitation's permissions are three levels down.
pub const DEPTH: usize = 8;

/// The shape of a JSON value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text of so many characters at least and at most, with the format that OpenAPI knows for it, or none.
    Text {
        /// At least so many characters.
        least: usize,
        /// At most so many characters.
        most: usize,
        /// `email`, `date-time`, …; may be empty. It is told, and read by whoever takes the value.
        format: &'static str,
    },
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A whole number.
    Whole {
        /// At least.
        least: u64,
        /// At most.
        most: u64,
    },
    /// True or false.
    Flag,
    /// So many of these at most, in their order.
    List(&'static Shape, usize),
    /// So many of these at most, by name.
    Names(&'static Shape, usize),
    /// Named parts.
    Object(&'static Object),
    /// This, or null.
    Or(&'static Shape),
}

/// An object with a name of its own in the document.
#[derive(Debug)]
pub struct Object {
    /// Its name in the document.
    pub name: &'static str,
    /// Its parts. There are no others.
    pub fields: &'static [Field],
}

/// A part of an object, or of a query.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// Whether it has to be there.
    pub needed: bool,
    /// What it means.
    pub says: &'static str,
}

/// A part that has to be there.
#[must_use]
pub const fn need(name: &'static str, shape: Shape, says: &'static str) -> Field {
    Field {
        name,
        shape,
        needed: true,
        says,
    }
}

/// A part that may be left out.
#[must_use]
pub const fn may(name: &'static str, shape: Shape, says: &'static str) -> Field {
    Field {
        needed: false,
        ..need(name, shape, says)
    }
}

/// Any text that we write.
pub const TEXT: Shape = Shape::Text {
    least: 0,
    most: 1_000_000,
    format: "",
};
/// A name or identifier: of policy, of a record.
pub const NAME: Shape = Shape::Text {
    least: 1,
    most: 64,
    format: "",
};
/// What is typed in one line.
pub const LINE: Shape = Shape::Text {
    least: 0,
    most: 256,
    format: "",
};
/// An e-mail address.
pub const EMAIL: Shape = Shape::Text {
    least: 1,
    most: 254,
    format: "email",
};
/// A moment, RFC 3339.
pub const MOMENT: Shape = Shape::Text {
    least: 1,
    most: 64,
    format: "date-time",
};
/// An address of the internet protocol, either version.
pub const ADDRESS: Shape = Shape::Text {
    least: 1,
    most: 64,
    format: "",
};
/// How many.
pub const COUNT: Shape = Shape::Whole {
    least: 0,
    most: 9_007_199_254_740_991,
};

/// Something wrong with what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which part: names with dots between them; empty for the whole.
    pub field: String,
    /// The stable code.
    pub code: &'static str,
    /// In a sentence.
    pub detail: String,
}

impl Flaw {
    /// One flaw.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            code,
            detail: detail.into(),
        }
    }
}

impl Shape {
    /// Notes everything in a value that is not of this shape.
    pub fn check(&self, value: &Value, at: &str, flaws: &mut Vec<Flaw>) {
        let mut wrong = |detail: String| flaws.push(Flaw::new(at, "wrong_type", detail));
        match (self, value) {
            (Self::Or(_), Value::Null) => {}
            (Self::Or(shape), value) => shape.check(value, at, flaws),
            (Self::Text { least, most, .. }, Value::String(text)) => check_length(text, *least, *most, at, flaws),
            (Self::Text { .. }, _) => wrong("This has to be a text".to_owned()),
            (Self::Word(words), Value::String(text)) if words().contains(&text.as_str()) => {}
            (Self::Word(words), _) => flaws.push(Flaw::new(at, "unknown_word", format!("Use one of {}", words().join(", ")))),
            (Self::Whole { least, most }, Value::Number(number)) if number.as_u64().is_some_and(|one| (*least..=*most).contains(&one)) => {}
            (Self::Whole { least, most }, _) => wrong(format!("This has to be a whole number from {least} to {most}")),
            (Self::Flag, Value::Bool(_)) => {}
            (Self::Flag, _) => wrong("This has to be true or false".to_owned()),
            (Self::List(_, most), Value::Array(items)) if items.len() > *most => wrong(format!("There may be {most} at most")),
            (Self::List(shape, _), Value::Array(items)) => {
                for (place, item) in items.iter().enumerate() {
                    shape.check(item, &within(at, &place.to_string()), flaws);
                }
            }
            (Self::List(..), _) => wrong("This has to be a list".to_owned()),
            (Self::Names(_, most), Value::Object(parts)) if parts.len() > *most => wrong(format!("There may be {most} at most")),
            (Self::Names(shape, _), Value::Object(parts)) => {
                for (name, part) in parts {
                    check_length(name, 1, 64, at, flaws);
                    shape.check(part, &within(at, name), flaws);
                }
            }
            (Self::Object(object), Value::Object(parts)) => object.check(parts, at, flaws),
            (Self::Names(..) | Self::Object(_), _) => wrong("This has to be an object".to_owned()),
        }
    }

    /// The JSON Schema of it. Objects are named, and gathered in `named`.
    pub fn schema(&self, named: &mut Map<String, Value>) -> Value {
        match self {
            Self::Text { least, most, format } => {
                let mut schema = json!({ "type": "string", "maxLength": most });
                if let Some(parts) = schema.as_object_mut() {
                    if *least > 0 {
                        parts.insert("minLength".to_owned(), (*least).into());
                    }
                    if !format.is_empty() {
                        parts.insert("format".to_owned(), (*format).into());
                    }
                }
                schema
            }
            Self::Word(words) => json!({ "type": "string", "enum": words() }),
            Self::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::List(shape, most) => json!({ "type": "array", "items": shape.schema(named), "maxItems": most }),
            Self::Names(shape, most) => json!({
                "type": "object",
                "propertyNames": { "minLength": 1, "maxLength": 64 },
                "additionalProperties": shape.schema(named),
                "maxProperties": most,
            }),
            Self::Object(object) => object.reference(named),
            Self::Or(shape) => json!({ "anyOf": [shape.schema(named), { "type": "null" }] }),
        }
    }
}

impl Object {
    /// Notes everything in an object's parts that is not as it has to be.
    pub fn check(&self, parts: &Map<String, Value>, at: &str, flaws: &mut Vec<Flaw>) {
        for field in self.fields {
            match parts.get(field.name) {
                Some(part) => field.shape.check(part, &within(at, field.name), flaws),
                None if field.needed => flaws.push(Flaw::new(within(at, field.name), "missing", "This has to be there")),
                None => {}
            }
        }
        for name in parts.keys() {
            if !self.fields.iter().any(|field| field.name == name) {
                let shown: String = name.chars().take(64).collect();
                flaws.push(Flaw::new(within(at, &shown), "unknown_field", "There is no field of this name"));
            }
        }
    }

    /// A reference to the schema of this object, which is put among the named ones.
    pub fn reference(&self, named: &mut Map<String, Value>) -> Value {
        if !named.contains_key(self.name) {
            // Its place is taken first, so that what it holds may name it.
            named.insert(self.name.to_owned(), Value::Null);
            let mut properties = Map::new();
            for field in self.fields {
                let mut schema = field.shape.schema(named);
                if let Some(parts) = schema.as_object_mut().filter(|_| !field.says.is_empty()) {
                    parts.insert("description".to_owned(), field.says.into());
                }
                properties.insert(field.name.to_owned(), schema);
            }
            let needed: Vec<&str> = self.fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
            let schema = json!({
                "type": "object",
                "properties": properties,
                "required": needed,
                "additionalProperties": false,
            });
            named.insert(self.name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{}", self.name) })
    }
}

fn check_length(text: &str, least: usize, most: usize, at: &str, flaws: &mut Vec<Flaw>) {
    let length = text.chars().count();
    if length > most {
        flaws.push(Flaw::new(at, "too_long", format!("This may have {most} characters at most")));
    } else if length < least {
        flaws.push(Flaw::new(at, "missing", "This may not be empty"));
    }
}

/// The name of a part within another.
#[must_use]
pub fn within(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Object = Object {
        name: "Inner",
        fields: &[need("count", Shape::Whole { least: 1, most: 3 }, "")],
    };
    const OUTER: Object = Object {
        name: "Outer",
        fields: &[
            need("name", NAME, "What it is called"),
            may("kind", Shape::Word(|| vec!["one", "two"]), ""),
            may("parts", Shape::List(&Shape::Object(&INNER), 2), ""),
            may("ticks", Shape::Names(&Shape::List(&NAME, 3), 2), ""),
            may("note", Shape::Or(&LINE), ""),
        ],
    };

    #[test]
    fn everything_wrong_is_named_at_its_place() {
        for (name, value, expected) in [
            (
                "all is well",
                json!({ "name": "a", "kind": "two", "parts": [{ "count": 3 }], "ticks": { "eln": ["dq"] }, "note": null }),
                vec![],
            ),
            ("no object", json!([]), vec![("", "wrong_type")]),
            (
                "missing and unknown",
                json!({ "nmae": 1 }),
                vec![("name", "missing"), ("nmae", "unknown_field")],
            ),
            (
                "wrong inside",
                json!({ "name": "", "kind": "three", "parts": [{ "count": 4 }, {}], "ticks": { "eln": [1] }, "note": 1 }),
                vec![
                    ("name", "missing"),
                    ("kind", "unknown_word"),
                    ("parts.0.count", "wrong_type"),
                    ("parts.1.count", "missing"),
                    ("ticks.eln.0", "wrong_type"),
                    ("note", "wrong_type"),
                ],
            ),
            (
                "too much",
                json!({ "name": "a".repeat(65), "parts": [{}, {}, {}], "ticks": { "a": [], "b": [], "c": [] } }),
                vec![("name", "too_long"), ("parts", "wrong_type"), ("ticks", "wrong_type")],
            ),
        ] {
            let mut flaws = Vec::new();
            Shape::Object(&OUTER).check(&value, "", &mut flaws);
            let found: Vec<(&str, &str)> = flaws.iter().map(|flaw| (flaw.field.as_str(), flaw.code)).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_document_refers_to_named_objects() {
        let mut named = Map::new();
        assert_eq!(
            Shape::Or(&Shape::Object(&OUTER)).schema(&mut named),
            json!({ "anyOf": [{ "$ref": "#/components/schemas/Outer" }, { "type": "null" }] })
        );
        assert_eq!(named["Outer"]["required"], json!(["name"]));
        assert_eq!(named["Outer"]["properties"]["name"]["description"], "What it is called");
        assert_eq!(named["Inner"]["additionalProperties"], false);
    }
}
