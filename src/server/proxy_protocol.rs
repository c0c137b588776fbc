//! The PROXY protocol: a balancer in front says, before the first byte of TLS or HTTP, whose connection it passes on.
//!
//! Read only from the peers that `listen.proxy_protocol` names, and there it must come: a listener that takes either would let a stranger
//! choose an address.
//!
//! Source: "The PROXY protocol, versions 1 & 2", haproxy.org, 2020-03-05.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::model::ip_pattern::fold_mapped;

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header of version 1: `PROXY UNKNOWN` and the line end. One of version 2 is longer, so this many can be read of any.
const SHORTEST: usize = 15;

/// The longest line of version 1 (section 2.1).
const LONGEST_LINE: usize = 107;

/// Address, port and what else may follow (TLVs) in version 2; more than this nobody sends.
const LONGEST_BLOCK: usize = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The connection is passed on for this address.
    For(IpAddr),
    /// It is the balancer's own, such as a check of health; or it does not know whose it is.
    Own,
}

/// What is to be done about the bytes of a header so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Exactly so many bytes more are needed before the next look. They are all the header's.
    Read(usize),
    /// The header is whole.
    Done(Said),
}

/// No header of the PROXY protocol, or one that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol")]
pub struct NoHeader;

/// Looks at the bytes of a header so far.
///
/// # Errors
/// [`NoHeader`] as soon as they can no longer become one.
pub fn look(bytes: &[u8]) -> Result<Step, NoHeader> {
    if bytes.len() < SHORTEST {
        return Ok(Step::Read(SHORTEST - bytes.len()));
    }
    if bytes.starts_with(SIGNATURE) {
        return version_2(bytes);
    }
    if !bytes.starts_with(b"PROXY ") {
        return Err(NoHeader);
    }
    match bytes.strip_suffix(b"\r\n") {
        Some(line) => version_1(line).map(Step::Done),
        None if bytes.len() < LONGEST_LINE => Ok(Step::Read(1)),
        None => Err(NoHeader),
    }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` (section 2.1).
fn version_1(line: &[u8]) -> Result<Said, NoHeader> {
    let text = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
        return Err(NoHeader);
    }
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // What follows is to be ignored.
        return Ok(Said::Own);
    }
    let (Some(source), Some(destination), Some(from), Some(to), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NoHeader);
    };
    if !is_port(from) || !is_port(to) {
        return Err(NoHeader);
    }
    let parse = |text: &str| -> Result<IpAddr, NoHeader> {
        match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().map(IpAddr::from).map_err(|_| NoHeader),
            Some("TCP6") => text.parse::<Ipv6Addr>().map(IpAddr::from).map_err(|_| NoHeader),
            _ => Err(NoHeader),
        }
    };
    parse(destination)?;
    Ok(Said::For(fold_mapped(parse(source)?)))
}

/// Digits without leading zeros, 0 to 65535.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port.to_string() == text)
}

/// Signature, version and command, family, length, addresses (section 2.2).
fn version_2(bytes: &[u8]) -> Result<Step, NoHeader> {
    let (Some(command), Some(family), Some(high), Some(low)) = (bytes.get(12), bytes.get(13), bytes.get(14), bytes.get(15)) else {
        return Ok(Step::Read(1));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let block = bytes.get(16..).unwrap_or_default();
    if length > LONGEST_BLOCK || block.len() > length {
        return Err(NoHeader);
    }
    if block.len() < length {
        return Ok(Step::Read(length - block.len()));
    }
    match (command, family) {
        (0x20, _) => Ok(Step::Done(Said::Own)),
        // TCP over IPv4 and IPv6. A datagram's or a Unix socket's peer did not open this connection to us.
        (0x21, 0x11) => source::<4>(block, 12).map(|octets| Step::Done(Said::For(Ipv4Addr::from(octets).into()))),
        (0x21, 0x21) => source::<16>(block, 36).map(|octets| Step::Done(Said::For(fold_mapped(Ipv6Addr::from(octets).into())))),
        (0x21, 0x00) => Ok(Step::Done(Said::Own)),
        _ => Err(NoHeader),
    }
}

/// The source's address at the front of a block of at least so many bytes.
fn source<const N: usize>(block: &[u8], least: usize) -> Result<[u8; N], NoHeader> {
    let octets = block.first_chunk::<N>().filter(|_| block.len() >= least);
    octets.copied().ok_or(NoHeader)
}

/// Reads a header off a connection, and not a byte more.
///
/// # Errors
/// [`NoHeader`], also where the connection ends before it is whole.
pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Said, NoHeader> {
    let mut bytes = Vec::with_capacity(LONGEST_LINE);
    loop {
        match look(&bytes)? {
            Step::Done(said) => return Ok(said),
            Step::Read(count) => {
                let before = bytes.len();
                bytes.resize(before + count, 0);
                let space = bytes.get_mut(before..).unwrap_or_default();
                socket.read_exact(space).await.map_err(|_| NoHeader)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend(block);
        bytes
    }

    /// Reads it as from a socket on which something follows.
    async fn said(header: &[u8]) -> Result<Said, NoHeader> {
        let whole = [header, b"GET / HTTP/1.1\r\n"].concat();
        let mut rest: &[u8] = &whole;
        let said = read(&mut rest).await;
        if said.is_ok() {
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "not a byte more was read");
        }
        said
    }

    #[tokio::test]
    async fn headers_say_whose_connection_it_is() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        let mut mapped = [0; 36];
        mapped[..16].copy_from_slice(&"::ffff:10.1.0.1".parse::<Ipv6Addr>().unwrap().octets());
        let with_more = [&v4[..], &[4, 0, 1, 0]].concat();
        let is = |text: &str| Ok(Said::For(text.parse().unwrap()));
        let own = Ok(Said::Own);
        for (name, header, expected) in [
            ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(), is("192.0.2.1")),
            (
                "v1, IPv6",
                b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n".to_vec(),
                is("2001:db8::7"),
            ),
            (
                "v1, mapped",
                b"PROXY TCP6 ::ffff:10.1.0.1 ::1 56324 443\r\n".to_vec(),
                is("10.1.0.1"),
            ),
            ("v1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), own),
            ("v1, unknown with words", b"PROXY UNKNOWN ffff::1 x y z\r\n".to_vec(), own),
            (
                "v1, another family",
                b"PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, families mixed",
                b"PROXY TCP4 2001:db8::7 198.51.100.1 56324 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, leading zero",
                b"PROXY TCP4 192.0.2.01 198.51.100.1 56324 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, port",
                b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, odd port",
                b"PROXY TCP4 192.0.2.1 198.51.100.1 0443 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, word missing",
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, word more",
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, two blanks",
                b"PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, line feed alone",
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n".to_vec(),
                Err(NoHeader),
            ),
            (
                "v1, small letters",
                b"proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
                Err(NoHeader),
            ),
            ("v1, endless", [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(), Err(NoHeader)),
            ("v2", v2(0x21, 0x11, &v4), is("192.0.2.1")),
            ("v2, IPv6", v2(0x21, 0x21, &v6), is("2001:db8::7")),
            ("v2, mapped", v2(0x21, 0x21, &mapped), is("10.1.0.1")),
            ("v2, with more", v2(0x21, 0x11, &with_more), is("192.0.2.1")),
            ("v2, local", v2(0x20, 0x00, &[]), own),
            ("v2, local with an address", v2(0x20, 0x11, &v4), own),
            ("v2, unspecified", v2(0x21, 0x00, &[1, 2, 3]), own),
            ("v2, datagrams", v2(0x21, 0x12, &v4), Err(NoHeader)),
            ("v2, Unix socket", v2(0x21, 0x31, &[0; 216]), Err(NoHeader)),
            ("v2, block too short", v2(0x21, 0x11, &v4[..11]), Err(NoHeader)),
            ("v2, another version", v2(0x11, 0x11, &v4), Err(NoHeader)),
            ("v2, another command", v2(0x22, 0x11, &v4), Err(NoHeader)),
            ("v2, endless", v2(0x21, 0x11, &[0; 5000]), Err(NoHeader)),
            ("none", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Err(NoHeader)),
            (
                "TLS",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaa".to_vec(),
                Err(NoHeader),
            ),
        ] {
            assert_eq!(said(&header).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_header_that_breaks_off_is_none() {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        for length in 0..header.len() {
            let mut bytes = &header[..length];
            assert_eq!(read(&mut bytes).await, Err(NoHeader), "{length}");
        }
    }
}
