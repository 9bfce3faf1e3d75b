//! One stream of HTTP/2, as Pingora's proxy reads and answers it: the request that the door has judged, with the body that it
//! has read.
//!
//! Pingora's own session can't be made from a stream that the door has accepted, refuses requests without a response that
//! clients understand, and puts the gateway's `Date` in place of the origin's.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::write_body;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::{Digest, SocketDigest};
use pingora::{Error, ErrorType, OrErr, Result};
use tokio::time::timeout;

/// Fields that HTTP/2 must not carry (RFC 9113 section 8.2.2).
const FORBIDDEN: [HeaderName; 5] = [
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A request that came by a stream, and the response on its way.
pub(super) struct StreamSession {
    pub(super) request: RequestHeader,
    /// What is left of the request on the wire.
    pub(super) rest: RecvStream,
    /// The body that the door has read.
    body: Option<Bytes>,
    respond: SendResponse<Bytes>,
    writer: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    ended: bool,
    sent: usize,
    pub(super) write_time: Option<Duration>,
    drain_time: Option<Duration>,
    digest: Arc<Digest>,
}

impl StreamSession {
    pub(super) fn new(request: http::Request<RecvStream>, respond: SendResponse<Bytes>, digest: &Arc<Digest>) -> Self {
        let (request, rest) = request.into_parts();
        Self {
            request: request.into(),
            rest,
            body: None,
            respond,
            writer: None,
            written: None,
            ended: false,
            sent: 0,
            write_time: None,
            drain_time: None,
            digest: Arc::clone(digest),
        }
    }

    /// Whether nothing of the request is left on the wire.
    pub(super) fn has_ended(&self) -> bool {
        self.rest.is_end_stream()
    }

    /// Has Pingora send this body.
    pub(super) fn put_body(&mut self, body: Bytes) {
        self.body = Some(body).filter(|body| !body.is_empty());
    }

    /// Gives the stream up, without a response.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Sends a whole response.
    pub(super) async fn send(&mut self, response: Response<Bytes>) -> Result<()> {
        let (head, body) = response.into_parts();
        let end = body.is_empty();
        let response = Response::from_parts(head, ());
        let mut writer = self.respond.send_response(response, end).or_err(ErrorType::WriteError, "sending a head")?;
        if end {
            return Ok(());
        }
        write_body(&mut writer, body, true, self.write_time).await
    }
}

/// The next piece that comes; `None` at the end.
pub(super) async fn piece(rest: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(piece) = rest.data().await.transpose()? else { return Ok(None) };
    // What fails is the connection's, and heard with the next piece.
    let _gone = rest.flow_control().release_capacity(piece.len());
    Ok(Some(piece))
}

#[async_trait]
impl Session for StreamSession {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        piece(&mut self.rest).await.or_err(ErrorType::ReadError, "reading a body").map_err(Error::into_down)
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let time = self.drain_time;
        let drained = async {
            while self.read_body_bytes().await?.is_some() {}
            Ok(())
        };
        match time {
            Some(time) => timeout(time, drained).await.unwrap_or_else(|_elapsed| {
                Err(Error::explain(ErrorType::ReadTimedout, "the rest of the body came too slowly").into_down())
            }),
            None => drained.await,
        }
    }

    async fn write_response_header(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        FORBIDDEN.iter().for_each(|name| drop(head.remove_header(name)));
        if head.status.is_informational() {
            let interim = Response::from_parts(head.as_owned_parts(), ());
            return self.respond.send_informational(interim).or_err(ErrorType::WriteError, "sending an interim head");
        }
        if !head.headers.contains_key(header::DATE) {
            let now = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()));
            head.insert_header(header::DATE, now.or_err(ErrorType::InternalError, "a date")?)?;
        }
        let response = Response::from_parts(head.as_owned_parts(), ());
        let writer = self.respond.send_response(response, end).or_err(ErrorType::WriteError, "sending a head")?;
        (self.writer, self.written, self.ended) = (Some(writer), Some(head), end);
        Ok(())
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, piece: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let length = piece.len();
        let Some(writer) = &mut self.writer else {
            return Err(Error::explain(ErrorType::H2Error, "a body without a head"));
        };
        write_body(writer, piece, end, self.write_time).await.map_err(Error::into_down)?;
        self.sent += length;
        self.ended = end;
        Ok(())
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) {
            writer.send_trailers(trailers).or_err(ErrorType::WriteError, "sending trailers")?;
            self.ended = true;
        }
        Ok(())
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            end |= match task {
                HttpTask::Header(head, end) => {
                    self.write_response_header(head, end).await.map_err(Error::into_down)?;
                    end
                }
                HttpTask::Body(piece, end) => {
                    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                        self.write_body(piece, end).await?;
                    }
                    end
                }
                HttpTask::Trailer(Some(trailers)) => {
                    self.write_trailers(*trailers).await.map_err(Error::into_down)?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::UpgradedBody(..) => {
                    return Err(Error::explain(ErrorType::InternalError, "another protocol over HTTP/2"));
                }
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if end {
            self.finish().await.map_err(Error::into_down)?;
        }
        Ok(end)
    }

    /// Reading is bounded where the door reads.
    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, time: Option<Duration>) {
        self.write_time = time;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_time
    }

    fn set_total_drain_timeout(&mut self, time: Option<Duration>) {
        self.drain_time = time;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_time
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri.path())
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        if !self.ended {
            self.reset(Reason::INTERNAL_ERROR);
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.has_ended()
    }

    async fn finish(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.as_mut().filter(|_| !self.ended) {
            writer.send_data(Bytes::new(), true).or_err(ErrorType::WriteError, "ending a body")?;
            self.ended = true;
        }
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        self.body.is_none() && self.has_ended()
    }

    /// Once the body is read: pending until the client gives the stream up.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_body_done() {
            return self.read_body_bytes().await;
        }
        let reason = match &mut self.writer {
            Some(writer) => poll_fn(|cx| writer.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        let reason = reason.or_err(ErrorType::H2Error, "waiting for the client")?;
        Err(Error::explain(ErrorType::H2Error, format!("the client has given the stream up: {reason}")))
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_deref().and_then(SocketDigest::peer_addr)
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_deref().and_then(SocketDigest::local_addr)
    }

    /// For subrequests, of which the gateway makes none.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    /// The whole body is held, and sent from here with each try.
    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.body.clone()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
