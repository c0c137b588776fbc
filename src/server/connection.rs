//! One client connection, from accept to its end: a place among all, TLS where it is spoken, then HTTP/1 or HTTP/2.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::config::Settings;
use crate::gateway::facts::Connection;

use super::acme::challenges;
use super::listener::Worker;
use super::proxy_protocol::Said;
use super::socket::ClientSocket;
use super::{http1, http2, proxy_protocol};

impl Worker {
    /// Serves one connection. Its task lives as long as the client stays, so it is kept small: what is needed only for a while is boxed.
    pub(super) async fn connection(self: Arc<Self>, mut socket: ClientSocket, peer: Option<IpAddr>, tls: Option<Arc<ServerConfig>>) {
        let accepted = Instant::now();
        let settings = Arc::clone(&self.house.app.live().settings);
        let balanced = peer.is_some_and(|peer| settings.listen.proxy_protocol.contains(peer));
        let Some(mut place) = self.places.take(&settings.limits) else {
            return;
        };
        let said = if balanced {
            match tokio::time::timeout(settings.limits.head_time, Box::pin(proxy_protocol::read(&mut socket))).await {
                Ok(Ok(said)) => said,
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(peer = ?peer, "a balancer of `listen.proxy_protocol` sent no header of the PROXY protocol");
                    return;
                }
            }
        } else {
            Said::Own
        };
        let peer = match said {
            Said::For(address) => Some(address),
            Said::Own => peer,
        };
        // Everybody behind a proxy comes from its address, so that is not counted.
        let own = balanced && said == Said::Own;
        let counted = peer.filter(|peer| !own && !settings.trusted_proxies.contains(*peer));
        if counted.is_some_and(|address| !place.come_from(address, &settings.limits)) {
            return;
        }
        let _counted = self.house.app.metrics.connection();
        let connection = Connection {
            peer,
            secure: tls.is_some(),
        };
        match tls {
            None => http1::serve(&self, socket, connection, &settings.limits, accepted).await,
            Some(config) => Box::pin(self.secure(socket, config, connection, settings, accepted)).await,
        }
    }

    async fn secure(
        &self,
        socket: ClientSocket,
        config: Arc<ServerConfig>,
        connection: Connection,
        settings: Arc<Settings>,
        accepted: Instant,
    ) {
        let limits = &settings.limits;
        let handshake = tokio::time::timeout(limits.head_time, TlsAcceptor::from(config).accept(socket));
        // Strangers' handshakes fail all the time; it is theirs to know why.
        let Ok(Ok(socket)) = Box::pin(handshake).await else {
            return;
        };
        match socket.get_ref().1.alpn_protocol() {
            Some(b"h2") => Box::pin(http2::serve(self, socket, connection, limits, accepted)).await,
            // An authority has seen what it wanted in the handshake; nothing is served.
            Some(challenges::PROTOCOL) => {}
            _ => http1::serve(self, Box::new(socket), connection, limits, accepted).await,
        }
    }
}
