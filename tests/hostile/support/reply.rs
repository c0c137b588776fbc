//! Answers as they came.

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Behind the body; of HTTP/2 only.
    pub(crate) trailers: Vec<(String, String)>,
    /// It ended as its framing says; `false` where it was cut off.
    pub(crate) whole: bool,
}

impl Reply {
    /// The first value of a field, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Every value of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.fields
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a cookie it sets; empty where it is taken back.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.all("set-cookie").find_map(|cookie| {
            let (known, value) = cookie.split(';').next()?.split_once('=')?;
            (known == name).then(|| value.to_owned())
        })
    }
}

/// The first answer in `bytes` and where it ends; nothing if its head is not whole. Interim answers (1xx but 101) are passed over.
pub(crate) fn read(bytes: &[u8], of_head: bool) -> Option<(Reply, usize)> {
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let end = find(rest, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap_or(0);
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if (100..200).contains(&status) && status != 101 {
            start += end;
            continue;
        }
        let mut reply = Reply {
            status,
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
            whole: true,
        };
        let body = &rest[end..];
        let taken = if of_head || matches!(status, 101 | 204 | 304) {
            0
        } else if reply.field("transfer-encoding").eq_ignore_ascii_case("chunked") {
            chunks(body, &mut reply)
        } else if let Ok(length) = reply.field("content-length").parse::<usize>() {
            let taken = length.min(body.len());
            reply.body = body[..taken].to_vec();
            reply.whole = taken == length;
            taken
        } else {
            reply.body = body.to_vec();
            reply.whole = false;
            body.len()
        };
        return Some((reply, start + end + taken));
    }
}

fn chunks(bytes: &[u8], reply: &mut Reply) -> usize {
    let mut at = 0;
    reply.whole = false;
    while let Some(end) = find(&bytes[at..], b"\r\n") {
        let line = String::from_utf8_lossy(&bytes[at..at + end]).into_owned();
        let Ok(size) = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16) else {
            break;
        };
        at += end + 2;
        if size == 0 {
            // Trailers, then an empty line.
            while let Some(end) = find(&bytes[at..], b"\r\n") {
                at += end + 2;
                if end == 0 {
                    reply.whole = true;
                    break;
                }
            }
            break;
        }
        if bytes.len() < at + size + 2 {
            reply.body.extend_from_slice(&bytes[at..]);
            return bytes.len();
        }
        reply.body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
    }
    at
}

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
