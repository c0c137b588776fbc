//! Rows 1 to 3: how long a request is.

use crate::support::Case;

const HEAD: &str = "POST /public/up HTTP/1.1\r\nHost: eln.localhost\r\n";
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: eln.localhost\r\n\r\n";

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, fields) in [("a length, then chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n")] {
        all.push(Case::refused(1, name, format!("{HEAD}{fields}\r\n0\r\n\r\n{SMUGGLED}"), &[400]));
    }
    all.push(Case::passed(
        1,
        "chunks alone",
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        &["/public/up"],
    ));
    all
}
