//! HTTP/2 as both ends set it up.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    client::conn::http2::{self as client, SendRequest},
    server::conn::http2 as server,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// An idle connection is asked for a sign of life so often; any frame is one.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Without one, it has failed after this.
const PING_LIMIT: Duration = Duration::from_secs(10);
/// Receive window of a stream: 4 MiB carry 300 Mbit/s at 100 ms.
const STREAM_WINDOW: u32 = 4 << 20;
/// Receive window of a connection.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// What one stream may have waiting to be sent.
const SEND_BUFFER: usize = 1 << 20;
const FRAME: u32 = 64 * 1024;
const HEADERS: u32 = 64 * 1024;
/// Streams at once.
const STREAMS: u32 = 1024;

/// A byte stream that HTTP/2 can run on.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

/// The asking end, and the future that drives the connection until it ends.
pub(crate) async fn ask(
    stream: impl Wire,
) -> hyper::Result<(SendRequest<Body>, impl Future<Output = hyper::Result<()>> + Send)> {
    client::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
}

/// The answering end, until the connection ends.
pub(crate) async fn answer(stream: impl Wire, router: Router) -> hyper::Result<()> {
    builder().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await
}

/// The answering end with a function instead of routes: for what has no path.
pub(crate) async fn answer_by<F, R>(stream: impl Wire, answer: Arc<F>) -> hyper::Result<()>
where
    F: Fn(hyper::Request<hyper::body::Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = hyper::Response<Body>> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, std::convert::Infallible>(answered.await) }
    });
    builder().serve_connection(TokioIo::new(stream), service).await
}

fn builder() -> server::Builder<TokioExecutor> {
    let mut builder = server::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT);
    builder
}
