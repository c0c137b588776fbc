//! pingora as its guide shows it: one upstream, the forwarded fields set, nobody asked who they are. `pingora DIR LISTEN UPSTREAM SCHEME THREADS …`

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::prelude::{HttpPeer, Server, http_proxy_service};
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::configuration::ServerConf;

struct Gateway {
    upstream: String,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream.as_str(), false, String::new())))
    }

    async fn upstream_request_filter(&self, session: &mut Session, request: &mut RequestHeader, (): &mut ()) -> pingora::Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "http")?;
        Ok(())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(2);
    let listen = arguments.next().expect("no address to listen on");
    let upstream = arguments.next().expect("no upstream");
    let threads = arguments.nth(1).and_then(|threads| threads.parse().ok()).unwrap_or(1);
    let settings = ServerConf {
        threads,
        work_stealing: false,
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Gateway { upstream });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
