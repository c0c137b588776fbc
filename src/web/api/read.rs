//! A body as JSON with one meaning: no name twice in an object, nothing nested deeper than any row needs.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::shape::DEPTH;

/// Reads a body.
///
/// # Errors
/// What is wrong with it, in words that hold nothing of what was sent.
pub fn json(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(DEPTH).deserialize(&mut reader).map_err(|error| told(&error))?;
    reader.end().map_err(|error| told(&error))?;
    Ok(value)
}

fn told(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "a name stands twice in an object, or it is nested too deep",
        _ => "it is no JSON",
    };
    format!(
        "The body cannot be read at line {}, column {}: {what}.",
        error.line(),
        error.column()
    )
}

#[derive(Clone, Copy)]
struct Strict(usize);

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let within = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(within)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let within = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = parts.next_key::<String>()? {
            let part = parts.next_value_seed(within)?;
            if object.insert(name, part).is_some() {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_one_meaning() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, read) in [
            (r#"{"a": [1, -1, 1.5, "x", null, true], "b": {}}"#.to_owned(), true),
            (r#"{"a": 1, "a": 2}"#.to_owned(), false),
            (r#"{"a": {"b": 1, "b": 1}}"#.to_owned(), false),
            (r#"{"a": 1"#.to_owned(), false),
            ("{} {}".to_owned(), false),
            (String::new(), false),
            ("\"\\ud800\"".to_owned(), false),
            (deep(DEPTH), true),
            (deep(DEPTH + 1), false),
            (deep(20_000), false),
        ] {
            assert_eq!(json(text.as_bytes()).is_ok(), read, "{}", text.chars().take(40).collect::<String>());
        }
        assert!(json(b"\xff").is_err());
        let said = json(br#"{"password": "secret", "password": 1}"#).unwrap_err();
        assert!(!said.contains("secret") && !said.contains("password"), "{said}");
    }
}
