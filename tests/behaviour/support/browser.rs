//! Somebody at a browser: cookies by host, forms, redirects followed when asked to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpSocket;
use url::Url;

/// A browser with a jar of cookies. All its connections go to one gateway, whatever the host.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    gateway: SocketAddr,
    from: IpAddr,
    /// Cookies by host, then by name.
    pub(crate) cookies: BTreeMap<String, BTreeMap<String, String>>,
    page: bool,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Where it came from, after all redirects.
    pub(crate) url: Url,
}

impl Browser {
    /// A browser on this machine that asks for pages.
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            cookies: BTreeMap::new(),
            page: true,
        }
    }

    /// The same, without cookies, connecting from another address of the loopback network.
    pub(crate) fn from_address(gateway: SocketAddr, from: &str) -> Self {
        Self {
            from: from.parse().unwrap(),
            ..Self::new(gateway)
        }
    }

    /// A script: asks for JSON.
    pub(crate) fn script(gateway: SocketAddr) -> Self {
        Self {
            page: false,
            ..Self::new(gateway)
        }
    }

    /// One GET, redirects not followed.
    pub(crate) async fn get(&mut self, url: &str) -> Reply {
        self.send(Method::GET, url, &[], None).await
    }

    /// One POST of a form, redirects not followed.
    pub(crate) async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(Method::POST, url, &[], Some(fields)).await
    }

    /// One request with headers of its own; these win over those a browser sends.
    pub(crate) async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], fields: Option<&[(&str, &str)]>) -> Reply {
        let form = fields.map(|fields| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish());
        self.send_body(method, url, headers, form.map(|form| ("application/x-www-form-urlencoded", form)))
            .await
    }

    /// One request with a body of JSON, as a script on our own pages sends it.
    pub(crate) async fn ask(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
        self.send_body(method, url, headers, body.map(|body| ("application/json", body.to_string())))
            .await
    }

    async fn send_body(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Option<(&'static str, String)>) -> Reply {
        let url: Url = url.parse().unwrap();
        let host = url.host_str().unwrap().to_owned();
        let (kind, body) = body.unzip();
        let mut request = Request::new(Full::new(Bytes::from(body.clone().unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = url[url::Position::BeforePath..url::Position::AfterQuery].parse().unwrap();
        let to = request.headers_mut();
        to.insert(header::HOST, authority(&url).parse().unwrap());
        if self.page {
            to.insert(
                header::ACCEPT,
                HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"),
            );
            to.insert("sec-fetch-mode", HeaderValue::from_static("navigate"));
            to.insert("sec-fetch-dest", HeaderValue::from_static("document"));
        } else {
            to.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        }
        if let Some(kind) = kind {
            to.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            to.insert(header::ORIGIN, url.origin().ascii_serialization().parse().unwrap());
            to.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        }
        let cookies: Vec<_> = self
            .cookies
            .get(&host)
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            to.insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in headers {
            to.insert(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let reply = self.exchange(request, url).await;
        self.keep_cookies(&host, &reply.headers);
        reply
    }

    /// GETs and follows redirects and pages that go on by themselves.
    pub(crate) async fn open(&mut self, url: &str) -> Reply {
        let reply = self.get(url).await;
        self.follow(reply).await
    }

    /// POSTs a form and follows.
    pub(crate) async fn submit(&mut self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.post(url, fields).await;
        self.follow(reply).await
    }

    /// Opens a page, fills the form that has all of `fields`, and follows what it answers.
    pub(crate) async fn fill(&mut self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let page = self.open(url).await;
        self.fill_in(&page, fields).await
    }

    /// Fills a form on a page that is open already.
    pub(crate) async fn fill_in(&mut self, page: &Reply, fields: &[(&str, &str)]) -> Reply {
        let form = page.form_with(fields.iter().map(|(name, _)| *name));
        let all: Vec<_> = form
            .hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(fields.iter().copied())
            .collect();
        let action = page.url.join(&form.action).unwrap();
        self.submit(action.as_str(), &all).await
    }

    async fn follow(&mut self, mut reply: Reply) -> Reply {
        for _ in 0..12 {
            let Some(next) = reply.goes_on_to() else { return reply };
            let url = reply.url.join(&next).unwrap();
            reply = self.get(url.as_str()).await;
        }
        panic!("the redirects do not end: {}", reply.url);
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, url: Url) -> Reply {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(self.from, 0)).unwrap();
        let stream = socket.connect(self.gateway).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driving = tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        drop(sender);
        let _ = driving.await;
        Reply {
            status: head.status,
            headers: head.headers,
            body,
            url,
        }
    }

    fn keep_cookies(&mut self, host: &str, headers: &HeaderMap) {
        for set in headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.cookies.entry(host.to_owned()).or_default();
            if attributes.to_ascii_lowercase().replace(' ', "").contains("max-age=0") {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A form on a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) hidden: Vec<(String, String)>,
    names: Vec<String>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The words of a page, without tags.
    pub(crate) fn words(&self) -> String {
        let text = self.text();
        let mut words = String::new();
        let mut inside = false;
        for letter in text.chars() {
            match letter {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => words.push(letter),
                _ => {}
            }
        }
        unescaped(&words).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn goes_on_to(&self) -> Option<String> {
        if self.status.is_redirection() {
            return self.header("location").map(str::to_owned);
        }
        let text = self.text();
        let refresh = text.split("http-equiv=\"refresh\"").nth(1)?.split('>').next()?.to_owned();
        let (_, address) = refresh.split_once("url=")?;
        address.split('"').next().map(unescaped)
    }

    pub(crate) fn form_with<'a>(&self, fields: impl Iterator<Item = &'a str>) -> Form {
        let fields: Vec<_> = fields.collect();
        let forms = self.forms();
        forms
            .iter()
            .find(|form| fields.iter().all(|field| form.names.iter().any(|name| name == field)))
            .unwrap_or_else(|| panic!("{} {} has no form with {fields:?}: {}", self.status, self.url, self.words()))
            .clone()
    }

    fn forms(&self) -> Vec<Form> {
        let text = self.text();
        let mut forms = Vec::new();
        for piece in text.split("<form").skip(1) {
            let piece = piece.split("</form>").next().unwrap();
            let head = piece.split('>').next().unwrap();
            let mut form = Form {
                action: attribute(head, "action").unwrap_or_else(|| self.url.to_string()),
                ..Form::default()
            };
            for kind in ["<input", "<button", "<select", "<textarea"] {
                for tag in piece.split(kind).skip(1).map(|tag| tag.split('>').next().unwrap()) {
                    let Some(name) = attribute(tag, "name") else { continue };
                    if kind == "<input" && attribute(tag, "type").as_deref() == Some("hidden") {
                        form.hidden.push((name.clone(), attribute(tag, "value").unwrap_or_default()));
                    }
                    form.names.push(name);
                }
            }
            forms.push(form);
        }
        forms
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(unescaped)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}
