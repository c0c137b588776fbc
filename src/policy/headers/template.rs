//! Text with variables in braces, filled in for each person.

use std::fmt;
use std::str::FromStr;

use crate::model::role::words;

words!(
    /// What a template can name.
    Variable {
        /// Stable identifier.
        UserId = "user.id",
        /// Username.
        UserLogin = "user.login",
        /// Verified address.
        UserEmail = "user.email",
        /// Name to show.
        UserName = "user.name",
        /// Roles held.
        Roles = "roles",
        /// Teams that count.
        Teams = "teams",
        /// Permissions of this application.
        Permissions = "permissions",
        /// The team that gives this application, if it is one.
        Team = "team",
        /// The client's address.
        Ip = "ip",
        /// The application's name.
        App = "app",
        /// The session's identifier.
        Sid = "sid",
    }
);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePiece {
    /// As it stands.
    Text(String),
    /// Filled in.
    Variable(Variable),
}

/// Text with variables in braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub(super) Vec<TemplatePiece>);

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A variable that does not exist.
    #[error("there is no variable `{{{name}}}`")]
    Unknown {
        /// As written.
        name: String,
    },
    /// A `{` without its `}`, or the other way round.
    #[error("`{{` and `}}` enclose the name of a variable")]
    Unbalanced,
    /// Something that no header value may hold.
    #[error("a header value is visible ASCII and blanks")]
    Characters,
}

impl Template {
    /// The variables it names.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            TemplatePiece::Variable(variable) => Some(*variable),
            TemplatePiece::Text(_) => None,
        })
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            pieces.push(TemplatePiece::Text(before.to_owned()));
            let (name, after) = after.split_once('}').ok_or(InvalidTemplate::Unbalanced)?;
            let variable = name.parse().map_err(|_| InvalidTemplate::Unknown { name: name.to_owned() })?;
            pieces.push(TemplatePiece::Variable(variable));
            rest = after;
        }
        pieces.push(TemplatePiece::Text(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, TemplatePiece::Text(text) if text.is_empty()));
        for piece in &pieces {
            if let TemplatePiece::Text(text) = piece {
                if text.contains('}') {
                    return Err(InvalidTemplate::Unbalanced);
                }
                if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                    return Err(InvalidTemplate::Characters);
                }
            }
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                TemplatePiece::Text(text) => f.write_str(text)?,
                TemplatePiece::Variable(variable) => write!(f, "{{{variable}}}")?,
            }
        }
        Ok(())
    }
}
