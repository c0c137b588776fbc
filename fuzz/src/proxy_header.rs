//! The PROXY header: it ends where it says, not a byte behind it is read, and it names one address.
//!
//! Input: the first bytes of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis::model::ip_pattern::fold_mapped;
use portcullis::server::proxy_protocol::{Said, Step, look};

/// Reads the header piece by piece, as asked for, and at once.
pub fn check(data: &[u8]) {
    let mut taken = 0;
    let found = loop {
        match look(&data[..taken]) {
            Err(_) => break None,
            Ok(Step::Done(said)) => break Some((taken, said)),
            Ok(Step::Read(count)) => {
                assert!(count > 0 && taken + count <= 16 + 4096, "{count} more after {taken}");
                taken += count;
                if taken > data.len() {
                    break None;
                }
            }
        }
    };
    let expected = if data.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        version_2(data)
    } else {
        version_1(data)
    };
    assert_eq!(found, expected, "{:?}", data.escape_ascii().to_string());
    if let Some((_, Said::For(address))) = found {
        assert_eq!(address, fold_mapped(address), "mapped addresses are IPv4");
    }
}

/// The whole line at once, up to the first line end.
fn version_1(data: &[u8]) -> Option<(usize, Said)> {
    let end = data.windows(2).position(|two| two == b"\r\n").filter(|end| *end + 2 <= 107)?;
    let line = std::str::from_utf8(&data[..end]).ok()?;
    if !line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    let said = match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["PROXY", "UNKNOWN", ..] => Said::Own,
        ["PROXY", "TCP4", source, destination, from, to] if port(from) && port(to) => {
            destination.parse::<Ipv4Addr>().ok()?;
            Said::For(source.parse::<Ipv4Addr>().ok()?.into())
        }
        ["PROXY", "TCP6", source, destination, from, to] if port(from) && port(to) => {
            destination.parse::<Ipv6Addr>().ok()?;
            Said::For(fold_mapped(source.parse::<Ipv6Addr>().ok()?.into()))
        }
        _ => return None,
    };
    Some((end + 2, said))
}

fn version_2(data: &[u8]) -> Option<(usize, Said)> {
    let length = usize::from(u16::from_be_bytes([*data.get(14)?, *data.get(15)?]));
    let block = data.get(16..16 + length).filter(|_| length <= 4096)?;
    let said = match (data[12], data[13], length) {
        (0x20, ..) | (0x21, 0, _) => Said::Own,
        (0x21, 0x11, 12..) => Said::For(IpAddr::from([block[0], block[1], block[2], block[3]])),
        (0x21, 0x21, 36..) => Said::For(fold_mapped(IpAddr::from(*block.first_chunk::<16>()?))),
        _ => return None,
    };
    Some((16 + length, said))
}
