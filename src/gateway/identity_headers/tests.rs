use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn what_connection_names_goes_but_never_the_message_itself() {
    let mut headers = map(&[
        ("connection", "close, X-Hop, Host, Cookie, content-length, Authorization"),
        ("x-hop", "1"),
        ("host", "lab.example"),
        ("cookie", "a=b"),
        ("content-length", "3"),
        ("authorization", "Basic x"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAA"),
        ("keep-alive", "5"),
    ]);
    remove_hop_by_hop(&mut headers);
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["authorization", "content-length", "cookie", "host"]);
}

#[test]
fn what_is_passed_on_leaves_the_client_s_own_as_it_was() {
    let headers = map(&[
        ("host", "lab.example"),
        ("connection", "close, X-Hop, Host, content-length"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("keep-alive", "5"),
        ("expect", "100-continue"),
        ("content-length", "3"),
        ("authorization", "Bearer pcs_secret"),
        ("accept", "text/html"),
        ("accept", "*/*"),
        ("-_-", "folds to nothing"),
        ("content_length", "7"),
        ("cookie", "portcullis=secret; a=1"),
    ]);
    let before = headers.clone();
    let mut onward = HeaderMap::new();
    pass_on(&headers, &mut onward, &ProtectedNames::none());
    let mut left: Vec<(&str, &str)> = onward
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            ("accept", "*/*"),
            ("accept", "text/html"),
            ("cookie", "a=1"),
            ("host", "lab.example")
        ]
    );
    assert_eq!(headers, before);
}

#[test]
fn what_connection_names_beside_bytes_that_are_no_name_goes_too() {
    let mut headers = map(&[("x-hop", "1"), ("accept", "*/*")]);
    headers.append(CONNECTION, HeaderValue::from_bytes(b"x-hop, \xff").unwrap());
    let mut onward = HeaderMap::new();
    pass_on(&headers, &mut onward, &ProtectedNames::none());
    assert_eq!(onward.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
}

#[test]
fn a_service_s_credential_stays_here_however_it_is_spaced() {
    for (value, stays) in [
        ("Bearer pcs_secret", true),
        ("bearer\t pcs_secret", true),
        ("Bearer  pcs_secret", true),
        ("Bearer other", false),
        ("Basic pcs_", false),
        ("Bearerpcs_secret", false),
    ] {
        let mut onward = HeaderMap::new();
        pass_on(&map(&[("authorization", value)]), &mut onward, &ProtectedNames::none());
        assert_eq!(onward.is_empty(), stays, "{value}");
    }
}

#[test]
fn nothing_of_a_client_takes_the_place_of_ours_or_comes_beside_it() {
    let headers = map(&[
        ("x-login", "root"),
        ("x-login", "admin"),
        ("accept", "text/html"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("x-login-too", "me"),
    ]);
    let mut onward = map(&[("x-login", "ada"), ("cookie", "ours=1")]);
    // Should a name ever be missing among those that are protected.
    pass_on(&headers, &mut onward, &ProtectedNames::none());
    assert_eq!(all(&onward, "x-login"), ["ada"]);
    assert_eq!(all(&onward, "cookie"), ["ours=1"]);
    assert_eq!(all(&onward, "accept"), ["text/html", "*/*"]);
    assert_eq!(all(&onward, "x-login-too"), ["me"]);
}

#[test]
fn forwarded_fields_are_kept_for_one_host_and_scheme_without_hops_in_front() {
    let direct = Client {
        address: Some("192.0.2.7".parse().unwrap()),
        chain: Vec::new(),
        through_proxy: false,
    };
    let through = Client {
        chain: vec!["198.51.100.1".parse().unwrap()],
        ..direct
    };
    let kept = Mutex::default();
    for (client, scheme, host, expected) in [
        (&direct, Scheme::Https, "a.example", "for=192.0.2.7;host=\"a.example\";proto=https"),
        (&direct, Scheme::Https, "a.example", "for=192.0.2.7;host=\"a.example\";proto=https"),
        (&direct, Scheme::Https, "b.example", "for=192.0.2.7;host=\"b.example\";proto=https"),
        (&direct, Scheme::Http, "b.example", "for=192.0.2.7;host=\"b.example\";proto=http"),
        (
            &through,
            Scheme::Http,
            "b.example",
            "for=198.51.100.1;host=\"b.example\";proto=http, for=192.0.2.7",
        ),
        (&direct, Scheme::Http, "b.example", "for=192.0.2.7;host=\"b.example\";proto=http"),
    ] {
        let origin = Origin {
            client,
            peer: direct.address,
            scheme,
            host,
        };
        let mut headers = HeaderMap::new();
        set_origin(&mut headers, &origin, RequestId::from_number(1), &kept);
        assert_eq!(all(&headers, "forwarded"), [expected]);
        assert_eq!(all(&headers, "x-forwarded-host"), [host]);
    }
}

#[test]
fn our_cookies_stay_with_us_and_the_others_go_on() {
    for (name, sent, expected) in [
        ("ours alone", vec!["__Host-portcullis=secret"], vec![]),
        ("ours in the middle", vec!["a=1; portcullis=secret; b=2"], vec!["a=1; b=2"]),
        ("in two fields", vec!["a=1; __Host-portcullis-login=x", "b=2"], vec!["a=1; b=2"]),
        ("in another case", vec!["__host-PORTCULLIS=x; a=1"], vec!["a=1"]),
        ("nameless", vec!["=portcullis=x; a=1"], vec!["a=1"]),
        ("nameless twice over", vec!["= =portcullis=x; a=1"], vec!["a=1"]),
        (
            "a name that only begins like ours",
            vec!["portcullis-app=1"],
            vec!["portcullis-app=1"],
        ),
        ("nothing of ours", vec!["a=1;b=2"], vec!["a=1;b=2"]),
    ] {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
        }
        let mut onward = HeaderMap::new();
        pass_on(&headers, &mut onward, &ProtectedNames::none());
        assert_eq!(all(&onward, "cookie"), expected, "{name}");
    }
}

#[test]
fn an_application_cannot_set_our_cookies() {
    let mut headers = map(&[
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "__Host-portcullis=evil; Path=/; Secure"),
        ("set-cookie", "=portcullis=evil"),
        ("set-cookie", "==portcullis=evil"),
        ("set-cookie", " Portcullis-Login =evil"),
        ("set-cookie", "b=portcullis"),
    ]);
    keep_our_cookies(&mut headers);
    assert_eq!(all(&headers, "set-cookie"), ["a=1; Path=/", "b=portcullis"]);
}

#[test]
fn trailers_frame_nothing_and_set_nothing() {
    let mut headers = map(&[
        ("grpc-status", "0"),
        ("set-cookie", "a=1"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
    ]);
    clean_trailers(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
}

#[test]
fn forwarded_fields_name_the_believed_chain_and_the_peer() {
    let client = Client {
        address: Some("192.0.2.7".parse().unwrap()),
        chain: vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        through_proxy: true,
    };
    let origin = Origin {
        client: &client,
        peer: Some("10.0.0.1".parse().unwrap()),
        scheme: Scheme::Https,
        host: "lab.example:8443",
    };
    let mut headers = HeaderMap::new();
    let kept = Mutex::default();
    set_origin(&mut headers, &origin, RequestId::from_number(1), &kept);
    assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7, 2001:db8::1, 10.0.0.1"]);
    assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["lab.example:8443"]);
    assert_eq!(
        all(&headers, "forwarded"),
        ["for=192.0.2.7;host=\"lab.example:8443\";proto=https, for=\"[2001:db8::1]\", for=10.0.0.1"]
    );
    assert_eq!(all(&headers, "x-request-id"), ["r-00000000000000000000000001"]);
}
