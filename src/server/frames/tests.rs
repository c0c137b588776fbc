use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::base::grammar::Rate;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x87];
const BEGUN_HEADERS: &[u8] = &[0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x84, 0x87];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const HALF_DATA: &[u8] = &[0, 0, 8, 0, 0, 0, 0, 0, 1, b'h', b'a'];

const DEADLINES: Deadlines = Deadlines {
    head: Duration::from_millis(200),
    stall: Duration::from_millis(300),
};

fn frames(room: usize) -> (DuplexStream, Frames<DuplexStream>, Arc<Watch>) {
    let (client, server) = tokio::io::duplex(room);
    let per = Duration::from_secs(60);
    let allowance = Allowance {
        control_frames: Rate { count: 10, per },
        resets: Rate { count: 2, per },
        block_bytes: 1000,
    };
    let (frames, watch) = Frames::new(server, &allowance, DEADLINES, Instant::now());
    (client, frames, watch)
}

/// Reads to the end; gives what came and how it ended.
async fn drive(mut frames: Frames<DuplexStream>) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let mut space = [0; 64];
    loop {
        match frames.read(&mut space).await {
            Ok(0) => return (bytes, Ok(())),
            Ok(count) => bytes.extend_from_slice(&space[..count]),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

fn goaway(last_stream: u8, reason: u8) -> Vec<u8> {
    vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last_stream, 0, 0, 0, reason]
}

#[tokio::test]
async fn what_keeps_to_its_budget_passes_unchanged() {
    let (mut client, frames, watch) = frames(4096);
    let said = [PREFACE, SETTINGS, HEADERS, PING, PING].concat();
    client.write_all(&said).await.unwrap();
    drop(client);
    let (read, end) = drive(frames).await;
    assert_eq!(read, said);
    assert!(end.is_ok());
    assert_eq!(watch.cut(), None);
}

#[tokio::test]
async fn a_flood_is_answered_with_calm_down_and_closed() {
    let (mut client, frames, watch) = frames(4096);
    client.write_all(&[PREFACE, SETTINGS, HEADERS].concat()).await.unwrap();
    client.write_all(&PING.repeat(50)).await.unwrap();
    let client = async {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        drop(client);
        heard
    };
    let ((_, end), heard) = tokio::join!(drive(frames), client);
    assert_eq!(heard, goaway(1, 0xb));
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(watch.cut(), Some(Cut::Excess(Excess::ControlFrames)));
}

#[tokio::test]
async fn nothing_is_put_into_a_frame_of_ours() {
    let (mut client, mut frames, watch) = frames(4096);
    client.write_all(&[PREFACE, SETTINGS, HEADERS].concat()).await.unwrap();
    frames.write_all(HALF_DATA).await.unwrap();
    client.write_all(&PING.repeat(50)).await.unwrap();
    let client = async {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        drop(client);
        heard
    };
    let (_, heard) = tokio::join!(drive(frames), client);
    assert_eq!(heard, HALF_DATA);
    assert!(watch.cut().is_some());
}

#[tokio::test]
async fn resets_that_were_provoked_end_the_connection_too() {
    let (mut client, mut frames, watch) = frames(4096);
    client.write_all(&[PREFACE, SETTINGS, HEADERS].concat()).await.unwrap();
    let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    for _ in 0..3 {
        frames.write_all(&reset).await.unwrap();
    }
    frames.write_all(SETTINGS).await.unwrap();
    let client = async {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        drop(client);
        heard
    };
    let (_, heard) = tokio::join!(drive(frames), client);
    // Of the requests nothing was read yet, and what was written after the end is not sent.
    assert_eq!(heard, [reset.repeat(3), goaway(0, 0xb)].concat());
    assert_eq!(watch.cut(), Some(Cut::Excess(Excess::Resets)));
}

#[tokio::test]
async fn what_was_begun_must_be_ended_in_time() {
    for (name, said, awaited, least) in [
        ("nothing", &[][..], Awaited::Head, 200),
        ("half a preface", b"PRI * HTTP", Awaited::Head, 200),
        ("no request", &[PREFACE, SETTINGS].concat(), Awaited::Head, 200),
        (
            "half a header block",
            &[PREFACE, SETTINGS, BEGUN_HEADERS].concat(),
            Awaited::Head,
            200,
        ),
        (
            "half a frame",
            &[PREFACE, SETTINGS, HEADERS, HALF_DATA].concat(),
            Awaited::Frame,
            300,
        ),
    ] {
        let (mut client, frames, watch) = frames(4096);
        let began = Instant::now();
        client.write_all(said).await.unwrap();
        let client = async {
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            drop(client);
        };
        let ((read, end), ()) = tokio::join!(drive(frames), client);
        assert_eq!(read, said, "{name}");
        assert!(end.is_err(), "{name}");
        assert_eq!(watch.cut(), Some(Cut::Late(awaited)), "{name}");
        assert!(began.elapsed() >= Duration::from_millis(least), "{name}");
    }
}

#[tokio::test]
async fn bytes_that_come_one_by_one_do_not_stretch_a_head() {
    let (mut client, frames, watch) = frames(4096);
    let drip = async {
        client.write_all(PREFACE).await.unwrap();
        for byte in SETTINGS.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if client.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let began = Instant::now();
    tokio::select! {
        _ = drive(frames) => {}
        () = drip => {}
    }
    assert_eq!(watch.cut(), Some(Cut::Late(Awaited::Head)));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_idle_connection_that_has_asked_has_no_deadline_here() {
    let (mut client, frames, watch) = frames(4096);
    client.write_all(&[PREFACE, SETTINGS, HEADERS].concat()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(700), drive(frames)).await;
    assert!(waited.is_err());
    assert_eq!(watch.cut(), None);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let (_client, mut frames, watch) = frames(64);
    let error = frames.write_all(&PING.repeat(50)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(watch.cut(), Some(Cut::Unread));
}

#[tokio::test]
async fn data_that_was_sent_is_counted() {
    let (_client, mut frames, watch) = frames(4096);
    frames.write_all(HALF_DATA).await.unwrap();
    frames.write_all(&[0; 6]).await.unwrap();
    frames.write_all(HALF_DATA).await.unwrap();
    assert_eq!(watch.data_sent(), 2);
}
