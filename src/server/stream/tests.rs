use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::gateway::conversation::Owed;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 20,
    target_bytes: 100,
};

const DEADLINES: Deadlines = Deadlines {
    head: Duration::from_millis(200),
    stall: Duration::from_millis(300),
    idle: Duration::from_millis(750),
};

fn stream() -> (DuplexStream, Stream<DuplexStream>, Arc<Conversation>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let conversation = Arc::new(Conversation::default());
    let stream = Stream::new(server, Arc::clone(&conversation), LIMITS, DEADLINES, Instant::now());
    (client, stream, conversation)
}

async fn all_of(stream: &mut Stream<DuplexStream>) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads until nothing more comes for a while.
async fn so_far(stream: &mut Stream<DuplexStream>) -> String {
    let mut bytes = Vec::new();
    let mut space = [0; 512];
    while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut space)).await {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&space[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn requests_pass_unchanged_however_they_are_cut() {
    let text = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n\
                GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    for piece in [1, 2, 7, 50, 1000] {
        let (mut client, mut stream, conversation) = stream();
        let writer = async {
            for part in text.as_bytes().chunks(piece) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let (read, ()) = tokio::join!(all_of(&mut stream), writer);
        assert_eq!(read, text, "{piece}");
        for _ in 0..3 {
            assert!(matches!(conversation.next_head(), Some(Ok(_))), "{piece}");
        }
        assert_eq!(conversation.next_head(), None, "{piece}");
    }
}

#[tokio::test]
async fn a_refused_head_never_comes_through_and_nothing_behind_it() {
    for (name, text, before) in [
        (
            "alone",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            "",
        ),
        (
            "bare line feeds",
            "GET / HTTP/1.1\nHost: a\n\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            "",
        ),
        (
            "behind a good one",
            "GET /x HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil",
            "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "smuggled length",
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /evil HTTP/1.1\r\nHost: a\r\n x\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        ),
    ] {
        let (mut client, mut stream, conversation) = stream();
        client.write_all(text.as_bytes()).await.unwrap();
        let expected = format!("{before}{}", String::from_utf8_lossy(STAND_IN));
        assert_eq!(so_far(&mut stream).await, expected, "{name}");
        let mut last = None;
        while let Some(judged) = conversation.next_head() {
            last = Some(judged);
        }
        assert!(matches!(last, Some(Err(_))), "{name}");
    }
}

#[tokio::test]
async fn a_head_has_its_time_and_a_silent_client_is_let_go() {
    let (client, mut stream, conversation) = stream();
    let started = Instant::now();
    let mut space = [0; 100];
    assert_eq!(stream.read(&mut space).await.unwrap(), 0, "silence from the start");
    assert!(started.elapsed() >= DEADLINES.head && started.elapsed() < DEADLINES.idle);
    drop(client);
    assert_eq!(conversation.next_head(), None);

    let (mut client, mut stream, conversation) = self::stream();
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let started = Instant::now();
    assert!(stream.read(&mut space).await.unwrap() > 0, "the stand-in");
    assert!(started.elapsed() >= DEADLINES.head && started.elapsed() < DEADLINES.idle);
    assert_eq!(conversation.next_head(), Some(Err(Flaw::Late)));
}

#[tokio::test]
async fn an_idle_connection_lasts_longer_and_one_that_waits_for_us_for_ever() {
    let (mut client, mut stream, conversation) = stream();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut space = [0; 100];
    assert!(stream.read(&mut space).await.unwrap() > 0);
    let waiting = tokio::time::timeout(2 * DEADLINES.idle, stream.read(&mut space)).await;
    assert!(waiting.is_err(), "it is our turn");
    drop(Owed::new(Arc::clone(&conversation)));
    let started = Instant::now();
    assert_eq!(stream.read(&mut space).await.unwrap(), 0);
    assert!(started.elapsed() >= DEADLINES.idle);
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let (mut client, mut stream, conversation) = stream();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        .await
        .unwrap();
    let started = Instant::now();
    let mut space = [0; 200];
    let error = loop {
        match stream.read(&mut space).await {
            Ok(count) => assert!(count > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= DEADLINES.stall);
    assert!(conversation.is_stalled());
}

#[tokio::test]
async fn what_follows_an_upgrade_waits_for_the_answer() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    for upgraded in [true, false] {
        let (mut client, mut stream, conversation) = stream();
        client.write_all(format!("{text}\x01\x02").as_bytes()).await.unwrap();
        assert_eq!(so_far(&mut stream).await, text);
        if upgraded {
            conversation.upgrade();
            assert_eq!(so_far(&mut stream).await, "\x01\x02");
        } else {
            drop(Owed::new(Arc::clone(&conversation)));
            assert_eq!(so_far(&mut stream).await, String::from_utf8_lossy(STAND_IN), "no HTTP");
        }
    }
}
