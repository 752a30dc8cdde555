//! Servers for tests of checkers: well-behaved and hostile ones, on loopback.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::connect::Connect;

/// Runs a test with a runtime of its own; `limit` is far more than anything in here takes.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime, limited)
        .expect("the right verdict in the right time")
}

/// Serves every connection with `serve`.
pub(super) async fn tcp<F, R>(serve: F) -> Connect
where
    F: Fn(TcpStream) -> R + 'static,
    R: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("it is bound");
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    Connect::to(addr)
}

/// Answers every datagram with what `answer` makes of it.
pub(super) async fn udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Connect {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let addr: SocketAddr = socket.local_addr().expect("it is bound");
    tokio::task::spawn_local(async move {
        let mut some = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut some).await {
            for reply in answer(&some[..n]) {
                let _ = socket.send_to(&reply, from).await;
            }
        }
    });
    Connect::to(addr)
}

/// Reads until an empty line, and returns what came.
pub(super) async fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut one = [0];
    while !all.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut one).await, Ok(1)) {
        all.push(one[0]);
    }
    all
}

/// Reads a request and sends `reply`, then closes.
pub(super) async fn says(mut stream: TcpStream, reply: Vec<u8>) {
    request(&mut stream).await;
    let _ = stream.write_all(&reply).await;
}

/// Closes with a reset.
pub(super) fn reset(stream: TcpStream) {
    let stream = stream.into_std().expect("of tokio");
    let socket = socket2::Socket::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}
