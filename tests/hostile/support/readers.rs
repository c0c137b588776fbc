//! The oracle for framing: differently lenient readers of one row of bytes, who must see the same requests.

use super::reply::find;

/// A request as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
    /// Names as written, values without the blanks around them. Not compared between readers.
    pub(crate) fields: Vec<(String, String)>,
}

impl Message {
    /// Every value of fields with this name, in any case.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.fields
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first of them.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// How a reader takes what the standards leave no choice about.
#[derive(Clone, Copy, Debug)]
struct Manner {
    name: &'static str,
    /// Bare line feeds end lines, lines are folded, blanks stand before colons and around sizes.
    lenient: bool,
    /// `Content-Length` wins over `Transfer-Encoding`, and the first of duplicates over the last.
    length_first: bool,
    /// `_` and `.` in names are `-`.
    folds_names: bool,
}

const MANNERS: [Manner; 5] = [
    Manner {
        name: "strict",
        lenient: false,
        length_first: false,
        folds_names: false,
    },
    Manner {
        name: "lenient",
        lenient: true,
        length_first: false,
        folds_names: false,
    },
    Manner {
        name: "length first",
        lenient: false,
        length_first: true,
        folds_names: false,
    },
    Manner {
        name: "lenient, length first",
        lenient: true,
        length_first: true,
        folds_names: false,
    },
    Manner {
        name: "like CGI",
        lenient: true,
        length_first: false,
        folds_names: true,
    },
];

/// What is at the front of a row of bytes, for a strict reader.
pub(crate) enum Next {
    /// A request of so many bytes.
    Whole(usize),
    /// A whole head, and a body that is not.
    Head,
    /// Not even that.
    Partial,
    /// No request.
    Unreadable,
}

/// What a strict reader sees at the front.
pub(crate) fn next(bytes: &[u8]) -> Next {
    match one(bytes, MANNERS[0]) {
        Ok(Some((_, taken))) => Next::Whole(taken),
        Ok(None) if find(bytes, b"\r\n\r\n").is_some() => Next::Head,
        Ok(None) => Next::Partial,
        Err(_) => Next::Unreadable,
    }
}

/// The requests in `bytes`, if every reader sees the same ones, down to the last byte.
pub(crate) fn agree(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let strict = all(bytes, MANNERS[0])?;
    for manner in &MANNERS[1..] {
        let seen = all(bytes, *manner)?;
        let same = seen.len() == strict.len()
            && seen
                .iter()
                .zip(&strict)
                .all(|(one, two)| (&one.method, &one.target, &one.body) == (&two.method, &two.target, &two.body));
        if !same {
            return Err(format!(
                "a strict reader sees {:?}, a reader that is {} sees {:?}",
                shown(&strict),
                manner.name,
                shown(&seen)
            ));
        }
    }
    Ok(strict)
}

/// The same over several connections.
pub(crate) fn agree_on(connections: &[Vec<u8>]) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    for bytes in connections {
        messages.extend(agree(bytes).map_err(|why| format!("{why} in {}", super::show(bytes)))?);
    }
    Ok(messages)
}

/// What each reader makes of bytes that may stop anywhere: the whole requests it sees until it cannot go on.
fn so_far(bytes: &[u8]) -> impl Iterator<Item = Vec<Message>> + '_ {
    MANNERS.iter().map(move |manner| {
        let mut messages = Vec::new();
        let mut rest = bytes;
        while let Ok(Some((message, taken))) = one(rest, *manner) {
            messages.push(message);
            rest = &rest[taken..];
        }
        messages
    })
}

/// At most one request, and that to `target`, whoever reads.
pub(crate) fn prefix_only(bytes: &[u8], target: &str) -> bool {
    so_far(bytes).all(|seen| seen.len() <= 1 && seen.iter().all(|message| message.target == target))
}

/// No reader sees a request to `target`.
pub(crate) fn never(bytes: &[u8], target: &str) -> bool {
    so_far(bytes).all(|seen| seen.iter().all(|message| message.target != target))
}

/// How many requests to `target` every reader sees; none where they differ.
pub(crate) fn count(bytes: &[u8], target: &str) -> usize {
    let mut counts = so_far(bytes).map(|seen| seen.iter().filter(|message| message.target == target).count());
    let first = counts.next().unwrap_or(0);
    if counts.all(|count| count == first) { first } else { 0 }
}

fn shown(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| format!("{} {} +{}", message.method, message.target, message.body.len()))
        .collect()
}

fn all(bytes: &[u8], manner: Manner) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match one(rest, manner)? {
            Some((message, taken)) => {
                messages.push(message);
                rest = &rest[taken..];
            }
            None => {
                return Err(format!(
                    "a reader that is {} waits for more after {:?}",
                    manner.name,
                    shown(&messages)
                ));
            }
        }
    }
    Ok(messages)
}

/// A line and how long it is with its end.
fn line(bytes: &[u8], manner: Manner) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = &bytes[..end];
    match text.strip_suffix(b"\r") {
        Some(text) => Some((text, end + 1)),
        None if manner.lenient => Some((text, end + 1)),
        // A strict reader goes on to the next real end.
        None => {
            let end = find(bytes, b"\r\n")?;
            Some((&bytes[..end], end + 2))
        }
    }
}

fn one(bytes: &[u8], manner: Manner) -> Result<Option<(Message, usize)>, String> {
    let mut at = 0;
    let Some((first, length)) = line(bytes, manner) else {
        return Ok(None);
    };
    at += length;
    let text = String::from_utf8_lossy(first).into_owned();
    let parts: Vec<&str> = if manner.lenient {
        text.split_whitespace().collect()
    } else {
        text.split(' ').collect()
    };
    let (Some(method), Some(target)) = (parts.first(), parts.get(1)) else {
        return Err(format!("no request line: {text:?}"));
    };
    if !manner.lenient && (parts.len() != 3 || !parts[2].starts_with("HTTP/1.")) {
        return Err(format!("no request line: {text:?}"));
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    loop {
        let Some((text, length)) = line(&bytes[at..], manner) else {
            return Ok(None);
        };
        at += length;
        if text.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(text).into_owned();
        if manner.lenient && text.starts_with([' ', '\t']) {
            if let Some(last) = fields.last_mut() {
                last.1.push(' ');
                last.1.push_str(text.trim());
            }
            continue;
        }
        let Some((name, value)) = text.split_once(':') else {
            if manner.lenient {
                continue;
            }
            return Err(format!("no field: {text:?}"));
        };
        if !manner.lenient && (name.is_empty() || name.contains([' ', '\t'])) {
            return Err(format!("no field name: {name:?}"));
        }
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let message = Message {
        method: (*method).to_owned(),
        target: (*target).to_owned(),
        body: Vec::new(),
        fields,
    };
    body(bytes, at, message, manner)
}

fn body(bytes: &[u8], at: usize, mut message: Message, manner: Manner) -> Result<Option<(Message, usize)>, String> {
    let named = |wanted: &str| -> Vec<String> {
        message
            .fields
            .iter()
            .filter(|(name, _)| {
                let name = if manner.folds_names {
                    name.replace(['_', '.'], "-")
                } else {
                    name.clone()
                };
                name.eq_ignore_ascii_case(wanted)
            })
            .map(|(_, value)| value.clone())
            .collect()
    };
    let codings = named("transfer-encoding");
    let lengths = named("content-length");
    let length = if manner.length_first { lengths.first() } else { lengths.last() };
    let chunked = match codings.last() {
        None => false,
        Some(last) if manner.lenient => last.to_ascii_lowercase().contains("chunked"),
        Some(last) if last.eq_ignore_ascii_case("chunked") && codings.len() == 1 => true,
        Some(last) => return Err(format!("a coding nobody knows: {last:?}")),
    };
    if !manner.lenient && !manner.length_first && chunked && length.is_some() {
        return Err("it says in two ways how long it is".to_owned());
    }
    if chunked && !(manner.length_first && length.is_some()) {
        return Ok(chunks(bytes, at, manner)?.map(|(body, end)| {
            message.body = body;
            (message, end)
        }));
    }
    let length = match length {
        None => 0,
        Some(text) => {
            let digits: String = text.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
            if !manner.lenient && digits != *text {
                return Err(format!("no length: {text:?}"));
            }
            digits.parse::<usize>().unwrap_or(0)
        }
    };
    if bytes.len() < at + length {
        return Ok(None);
    }
    message.body = bytes[at..at + length].to_vec();
    Ok(Some((message, at + length)))
}

type Body = (Vec<u8>, usize);

fn chunks(bytes: &[u8], mut at: usize, manner: Manner) -> Result<Option<Body>, String> {
    let mut body = Vec::new();
    loop {
        let Some((text, length)) = line(&bytes[at..], manner) else {
            return Ok(None);
        };
        at += length;
        let text = String::from_utf8_lossy(text).into_owned();
        let digits = text.split(';').next().unwrap_or("");
        let digits = if manner.lenient {
            digits.trim().trim_start_matches("0x")
        } else {
            digits
        };
        let size = usize::from_str_radix(digits, 16).map_err(|_| format!("no chunk size: {text:?}"))?;
        if size == 0 {
            break;
        }
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size;
        let Some((rest, length)) = line(&bytes[at..], manner) else {
            return Ok(None);
        };
        if !rest.is_empty() {
            return Err("a chunk is longer than it says".to_owned());
        }
        at += length;
    }
    loop {
        let Some((text, length)) = line(&bytes[at..], manner) else {
            return Ok(None);
        };
        at += length;
        if text.is_empty() {
            return Ok(Some((body, at)));
        }
    }
}

#[test]
fn readers_differ_where_proxies_have_differed() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let smuggled = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, head) in [
        ("both lengths", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ),
        ("blank before colon", "Content-Length : 5\r\n\r\n"),
        ("folded", "X: y\r\n Content-Length: 5\r\n\r\n"),
        ("an underscore", "Content_Length: 5\r\n\r\n"),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 27\r\n\r\n"),
        ("a bare line feed", "X: y\nContent-Length: 27\r\n\r\n"),
    ] {
        let bytes = format!("{post}{head}{smuggled}");
        let seen: Vec<_> = MANNERS
            .iter()
            .map(|manner| all(bytes.as_bytes(), *manner).map(|all| shown(&all)))
            .collect();
        let alone = name == "folded";
        assert!(
            alone || seen.iter().any(|one| *one != seen[0]) || seen[0].is_err(),
            "{name}: {seen:?}"
        );
        assert!(alone || agree(bytes.as_bytes()).is_err(), "{name}");
    }
    let two = format!("{post}Content-Length: 3\r\n\r\nabc{smuggled}");
    let seen = agree(two.as_bytes()).unwrap();
    assert_eq!(shown(&seen), ["POST / +3", "GET /x +0"]);
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}");
    assert_eq!(shown(&agree(chunked.as_bytes()).unwrap()), ["POST / +3", "GET /x +0"]);
}
