//! The floor: bytes carried both ways by one thread, with nothing read and nothing decided. `splice DIR LISTEN UPSTREAM …`

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(2);
    let listen: SocketAddr = arguments.next().ok_or("no address to listen on")?.parse()?;
    let upstream: SocketAddr = arguments.next().ok_or("no upstream")?.parse()?;
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(upstream).await else {
                return;
            };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
