//! TLS with a certificate for each name, replaced while running; HTTP/2 in, HTTP/2 out for gRPC.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::upstream::Upstream;
use crate::support::{Client, Gate, request};

const HOST: &str = "eln.example";

/// Writes a certificate for a name and its key; gives what clients must believe.
fn certificate(folder: &Path, file: &str, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{file}.pem")), made.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

async fn connect(
    address: SocketAddr,
    name: &str,
    believed: &[CertificateDer<'static>],
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in believed {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name.to_owned()).unwrap(), socket)
        .await
}

struct Secure {
    gate: Gate,
    folder: tempfile::TempDir,
    believed: Vec<CertificateDer<'static>>,
}

async fn secure(upstream: &Upstream) -> Secure {
    let folder = tempfile::tempdir().unwrap();
    let believed = vec![
        certificate(folder.path(), "one", HOST),
        certificate(folder.path(), "two", "sso.example"),
    ];
    let at = |file: &str| folder.path().join(file).display().to_string();
    let settings = format!(
        "server.public_url = \"https://sso.example\"\ntls.cert_file = [\"{}\", \"{}\"]\ntls.key_file = [\"{}\", \"{}\"]\nlisten.https = \"127.0.0.1:0\"\n",
        at("one.pem"),
        at("two.pem"),
        at("one.key"),
        at("two.key"),
    );
    let policy = format!(
        "[app.eln]\ntitle = \"Notebook\"\nhost = \"{HOST}\"\nupstream = \"{}\"\nrequire = {{ signed_in = true }}\n",
        upstream.url()
    );
    Secure {
        gate: Gate::start(&settings, &policy).await,
        folder,
        believed,
    }
}

impl Secure {
    fn address(&self) -> SocketAddr {
        self.gate.https.unwrap()
    }
}

#[tokio::test]
async fn each_name_has_its_certificate_and_a_new_one_needs_no_restart() {
    let upstream = Upstream::echo().await;
    let mut secure = secure(&upstream).await;
    for name in [HOST, "sso.example"] {
        connect(secure.address(), name, &secure.believed, b"http/1.1").await.unwrap();
    }
    let first = secure.believed.remove(0);
    let other = certificate(secure.folder.path(), "one", HOST);
    let resolver = Arc::clone(secure.gate.resolver.as_ref().unwrap());
    let written = secure.gate.app.live().settings.tls.clone().unwrap();
    resolver.replace(&written).unwrap();
    connect(secure.address(), HOST, std::slice::from_ref(&other), b"http/1.1")
        .await
        .unwrap();
    assert!(
        connect(secure.address(), HOST, &[first], b"http/1.1").await.is_err(),
        "the old one is gone"
    );

    std::fs::write(secure.folder.path().join("one.pem"), "no certificate").unwrap();
    assert!(resolver.replace(&written).is_err());
    connect(secure.address(), HOST, &[other], b"http/1.1")
        .await
        .expect("what was in use stays");
    secure.gate.stop().await;
}

#[tokio::test]
async fn requests_over_tls_are_https_and_those_in_clear_go_there() {
    let upstream = Upstream::echo().await;
    let secure = secure(&upstream).await;
    let cookie = secure.gate.signed_in("ada", HOST).await;
    let socket = connect(secure.address(), HOST, &secure.believed, b"http/1.1").await.unwrap();
    let mut client = Client::new(socket);
    client.send(&request("GET", HOST, "/x", &[("Cookie", &cookie)])).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.received("x-forwarded-proto"), ["https"]);
    secure.gate.stop().await;
}

#[tokio::test]
async fn http2_in_is_judged_and_forwarded_like_any_other() {
    let upstream = Upstream::echo().await;
    let secure = secure(&upstream).await;
    let cookie = secure.gate.signed_in("ada", HOST).await;
    let socket = connect(secure.address(), HOST, &secure.believed, b"h2").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = |path: &str, fields: &[(&str, &str)]| {
        let mut builder = Request::post(format!("https://{HOST}{path}"));
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Full::<Bytes>::from("hello")).unwrap()
    };
    let answer = sender
        .send_request(ask(
            "/x",
            &[("cookie", "a=1"), ("cookie", &cookie), ("x_portcullis_user", "forged-value")],
        ))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().contains_key("x-request-id"));
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.starts_with("POST /x HTTP/1.1\n") && text.ends_with("hello"), "{text}");
    assert!(
        !text.contains("forged-value") && text.contains("x-portcullis-login: ada") && text.contains("cookie: a=1\n"),
        "{text}"
    );

    for (name, fields, status) in [
        ("nobody", &[][..], 401),
        (
            "two cookies",
            &[("cookie", cookie.as_str()), ("cookie", "__Host-portcullis=x")][..],
            400,
        ),
        ("another host", &[("host", "other.example")][..], 400),
    ] {
        let answer = sender.send_request(ask("/x", fields)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}");
    }
    drop(sender);
    secure.gate.stop().await;
}

#[tokio::test]
async fn grpc_goes_out_over_http2_with_its_trailers() {
    let upstream = Upstream::echo().await;
    let secure = secure(&upstream).await;
    let cookie = secure.gate.signed_in("ada", HOST).await;
    let socket = connect(secure.address(), HOST, &secure.believed, b"h2").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    for path in ["/lab.Notes/Get", "/trailers"] {
        let frames = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"ask")))]);
        let ask = Request::post(format!("https://{HOST}{path}"))
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .header("cookie", &cookie)
            .body(StreamBody::new(frames))
            .unwrap();
        let answer = sender.send_request(ask).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let collected = answer.into_body().collect().await.unwrap();
        if path == "/trailers" {
            assert_eq!(collected.trailers().unwrap().get("x-sum").unwrap(), "42");
        } else {
            let text = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
            assert!(
                text.contains("HTTP/2.0") && text.contains("te: trailers") && text.contains(HOST),
                "{text}"
            );
        }
    }
    drop(sender);
    secure.gate.stop().await;
}
