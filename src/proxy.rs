//! THE request path: every Pingora phase is one function here, in the order in which they run, and reads as a list.
//!
//! A request that the door could not serve comes with its verdict. Then the cache, and only for what it does not have the
//! upstream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use addrgate_filters::reply::{Cause, Code};
use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, header};
use pingora::cache::key::HashBinary;
use pingora::cache::{CacheKey, CacheMeta, ForcedFreshness, HitHandler, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::modules::http::compression::ResponseCompressionBuilder;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session, range_header_filter};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use crate::context::{Context, Handed};
use crate::edit::edit;
use crate::shared::Shared;
use crate::store::Filled;
use crate::telemetry::CacheOutcome;
use crate::upstream::{Shadow, answer, location, request, single};

mod body;
mod brought;
mod cache;
mod compression;
mod downstream;
mod forward;
mod head;
mod meta;
mod own;
mod respond;
mod status;
mod wait;

pub(crate) use compression::{best, is_small};
use forward::{Denied, REFUSED, TURNED};
pub(crate) use head::head;
use head::head_of;
pub(crate) use respond::{Own, fields as common_fields};

/// Bytes a second below which a body counts as stuck once the route's time is over. Who reads more slowly holds the
/// upstream up, and large bodies take their time.
const SLOWEST: u64 = 32 << 10;

/// Who asks for more parts in one request gets the whole.
const MAX_PARTS: usize = 200;

/// The proxy.
pub(crate) struct Gateway(pub(crate) Arc<Shared>);

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed: Pingora's futures hold it several times over and move it.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Context::new(&self.0))
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        // Off until `response_filter` knows the client and the answer.
        modules.add_module(ResponseCompressionBuilder::enable(0));
    }

    /// An HTTP/1 connection that the door hands over brings the verdict.
    fn on_connection_reuse(&self, _: &mut Session, ctx: &mut Self::CTX, carried: Box<dyn std::any::Any + Send + Sync>) {
        if let Ok(carried) = carried.downcast() {
            ctx.begin(*carried);
        }
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        // A stream of HTTP/2 brings it in the request.
        let handed = session.req_header_mut().extensions_mut().remove::<Handed>();
        if let Some(carried) = handed.and_then(|handed| handed.lock().ok()?.take()) {
            ctx.begin(carried);
        }
        respond::connection_bounds(session, ctx);
        compression::prepare(session, &ctx.plan.file.compression);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        ctx.see(&head_of(session));
        if let Some(stop) = ctx.stop.take() {
            return respond::stop(session, ctx, stop).await.map(|()| true);
        }
        let Some(route) = ctx.verdict.route.clone() else {
            return respond::refuse(session, ctx, "route", answer::internal()).await.map(|()| true);
        };
        if let Some(kind) = route.config.answer {
            return respond::own(session, ctx, kind).await.map(|()| true);
        }
        if let Err(cause) = body::prepare(session, ctx, &route).await? {
            return respond::refuse(session, ctx, "door", cause).await.map(|()| true);
        }
        ctx.cache = CacheOutcome::Pass;
        if ctx.fetch.is_none() {
            ctx.begun = Instant::now();
        }
        match cache::prepare(session, ctx, &route).await? {
            Ok(()) => Ok(false),
            Err((by, cause)) => respond::refuse(session, ctx, by, cause).await.map(|()| true),
        }
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        cache::enable(session, ctx);
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, ctx: &mut Self::CTX) -> Result<CacheKey> {
        cache::key(session, ctx)
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut Self::CTX) {
        cache::missed(ctx);
        session.cache.cache_miss();
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        meta: &CacheMeta,
        _: &mut HitHandler,
        _is_fresh: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<ForcedFreshness>> {
        Ok(cache::found(session, meta, ctx))
    }

    fn cache_vary_filter(&self, meta: &CacheMeta, _: &mut Self::CTX, request: &RequestHeader) -> Option<HashBinary> {
        cache::variant(meta, request)
    }

    fn cache_not_modified_filter(&self, session: &Session, answer: &ResponseHeader, _: &mut Self::CTX) -> Result<bool> {
        Ok(cache::not_modified(session, answer))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> RangeType {
        match cache::may_cut(session, ctx) {
            true => range_header_filter(session.req_header(), answer, Some(MAX_PARTS)),
            false => RangeType::None,
        }
    }

    fn should_serve_stale(&self, session: &mut Session, ctx: &mut Self::CTX, error: Option<&Error>) -> bool {
        cache::stale(session, ctx, error)
    }

    /// Only here is the upstream really needed.
    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        if ctx.cached.wish.is_some_and(|wish| wish.only_if_cached) {
            let cause = Cause::new(
                Code::GatewayTimeout,
                "only_if_cached",
                "No stored response satisfies the request (only-if-cached).",
            );
            return respond::refuse(session, ctx, "cache", cause).await.map(|()| false);
        }
        // What a fetch brought is gone by now: this request is on its own.
        ctx.cached.facts = None;
        match forward::admit(session, ctx).await {
            Ok(()) => {
                wait::look_for_other(session, ctx);
                Ok(true)
            }
            Err(Denied::Gone(e)) => Err(e),
            // What is kept may go out instead: Pingora asks for that after a failure to reach the upstream.
            Err(Denied::Refused(by, cause)) if session.cache.can_serve_stale_error() => {
                drop(forward::refusal(ctx, by, cause));
                Ok(true)
            }
            Err(Denied::Refused(by, cause)) => respond::refuse(session, ctx, by, cause).await.map(|()| false),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        if ctx.refusal.is_some() {
            return Err(Error::new(REFUSED));
        }
        loop {
            // After the primary failed: the fallback has a breaker and a queue of its own.
            if ctx.tries > 0 && ctx.verdict.slot.is_none() {
                match forward::admit(session, ctx).await {
                    Ok(()) => {}
                    Err(Denied::Gone(e)) => return Err(e),
                    Err(Denied::Refused(by, cause)) => return Err(forward::refusal(ctx, by, cause)),
                }
            }
            match forward::peer(session, ctx) {
                // Nothing was tried, so Pingora would not ask again.
                Err(_unknown) if forward::to_fallback(session, ctx) => {}
                found => return found,
            }
        }
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        ctx.sent = true;
        let route = ctx.route()?;
        let plan = Arc::clone(&ctx.plan);
        let host = plan.pool_of(&ctx.verdict).map_or("", |pool| pool.host());
        let head = head_of(session);
        let origin = request::Origin {
            peer: ctx.verdict.address,
            tls: forward::is_over_tls(session, ctx),
            host: head.host().and_then(|h| std::str::from_utf8(h).ok()),
        };
        request::shape(upstream_request, &route, &ctx.verdict, host, &origin, forward::left(ctx))?;
        body::begin(session, ctx, upstream_request, &route)?;
        cache::ask_for_part(session, ctx, upstream_request)?;
        ctx.conditional = request::is_conditional(upstream_request);
        request::tell_effects(upstream_request, plan.filters.degrade.effects())?;
        let copied = ctx.verdict.shadow.as_deref().filter(|_| ctx.verdict.upstream.is_none());
        ctx.shadow = copied.and_then(|name| plan.pool_named(name)).map(|pool| {
            let body = ctx.verdict.body.clone().unwrap_or_default();
            Box::new(Shadow::new(pool, &route, upstream_request.clone(), body))
        });
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        body::forward(ctx, session.req_header().method.as_str(), body, end_of_stream)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        // 101 is final, and nothing of ours asks for another protocol.
        if upstream_response.status.is_informational() && upstream_response.status != StatusCode::SWITCHING_PROTOCOLS {
            return forward::interim(session, ctx, upstream_response).await;
        }
        let route = ctx.route()?;
        let unasked = upstream_response.status == StatusCode::NOT_MODIFIED && !ctx.conditional;
        let single = edit(upstream_response, single::make_single)?;
        let judged = match unasked {
            true => Err(answer::unasked()),
            false => single.and_then(|()| answer::judge(upstream_response, &route)),
        };
        let judged = judged.and_then(|()| forward::plain_body(session, ctx, upstream_response));
        forward::answered(ctx, upstream_response.status, judged.is_ok());
        if let Err(cause) = judged {
            return Err(forward::refusal(ctx, "upstream", cause).into_up());
        }
        if upstream_response.status.is_server_error() && forward::to_fallback(session, ctx) {
            return Err(Error::explain(TURNED, "the fallback is asked instead").into_up());
        }
        session.upstream_compression.adjust_level(0);
        // The version is the sender's own (RFC 9110 section 7.6).
        upstream_response.set_version(http::Version::HTTP_11);
        let is_validation = upstream_response.status == StatusCode::NOT_MODIFIED;
        let pool = ctx.plan.pool_of(&ctx.verdict).filter(|pool| pool.maps_location()).map(Arc::clone);
        let head = head_of(session);
        // What is stored for all must not depend on the name that one of them used.
        let names_host = !ctx.cached.on || request::keeps_host(&route);
        let asked = head.host().filter(|_| names_host).and_then(|host| std::str::from_utf8(host).ok());
        edit(upstream_response, |fields| {
            if let Some(pool) = &pool {
                location::map(fields, pool, asked);
            }
            // For those that are added here and in `response_filter`: the table grows once.
            fields.reserve(16);
            respond::strip(fields);
            respond::date(fields)?;
            respond::tag(fields, is_validation, &route)?;
            forward::mark(ctx, fields)
        })??;
        ctx.cached.upstream_status = Some(upstream_response.status.as_u16());
        if let Some(shadow) = &mut ctx.shadow {
            shadow.head(upstream_response);
        }
        if is_validation {
            ctx.cached.validated = Some(upstream_response.headers.clone());
        }
        cache::invalidate(session, upstream_response, ctx);
        Ok(())
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        answer: &ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<RespCacheable> {
        cache::store(session, answer, ctx)
    }

    /// The whole response has the route's time, and a large body more while it comes at no less than [`SLOWEST`].
    fn upstream_response_body_filter(
        &self,
        _: &mut Session,
        piece: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if let Some(decoder) = &mut ctx.decoder {
            let plain = decoder.piece(piece.as_deref().unwrap_or_default(), end)?;
            *piece = (!plain.is_empty()).then_some(plain);
        }
        if let Some(piece) = piece {
            ctx.received += piece.len() as u64;
            if let Some(shadow) = &mut ctx.shadow {
                shadow.piece(piece);
            }
        }
        if end {
            forward::completed(ctx);
        }
        let more = Duration::from_secs(ctx.received / SLOWEST);
        match ctx.verdict.deadline.is_none_or(|deadline| deadline + more <= Instant::now()) {
            true => Err(Error::explain(ErrorType::ReadTimedout, "the whole response took too long").into_up()),
            false => Ok(None),
        }
    }

    /// Hit or miss, right before the head is written.
    async fn response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if upstream_response.status.is_informational() {
            return Ok(());
        }
        if ctx.fetch.is_some() {
            return brought::tell(session, upstream_response, ctx);
        }
        respond::keep_or_close(session, ctx);
        if session.req_header().version == http::Version::HTTP_10 {
            // Such a client knows no chunks: the end of the connection ends the body (RFC 9112 section 6.1).
            upstream_response.remove_header(&header::TRANSFER_ENCODING);
        }
        downstream::tell(session, upstream_response, ctx)?;
        status::tell(session, upstream_response, ctx)?;
        meta::make_room(session, upstream_response, ctx)?;
        respond::dress(upstream_response, &ctx.verdict, ctx.started.elapsed())?;
        if let (Some(slot), Some(date)) = (&ctx.date, upstream_response.headers.get(header::DATE)) {
            slot.set(date.as_bytes());
        }
        compression::choose(session, upstream_response, &ctx.plan.file.compression)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if ctx.fetch.is_some() {
            brought::piece(ctx, body, end);
            return Ok(None);
        }
        if session.req_header().method == http::Method::HEAD {
            // On a cached route the upstream was asked with GET. Pingora would send the body on over HTTP/2.
            *body = None;
            return Ok(None);
        }
        if let Some(stamp) = &mut ctx.stamp
            && (end || body.is_some())
        {
            // Of a body that is being stored Pingora does not tell the end, but the store does.
            let end = end || ctx.cached.last.as_ref().is_some_and(|last| last.load(Ordering::Acquire));
            let piece = stamp.piece(body.take().unwrap_or_default(), end);
            // An empty piece would end the body.
            *body = (!piece.is_empty()).then_some(piece);
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Self::CTX,
        mut e: Box<Error>,
    ) -> Box<Error> {
        let again = forward::failed(session, ctx, &e, false, false);
        e.set_retry(again);
        e
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        ctx: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let mut e = e.more_context(format!("Peer: {peer}"));
        e.retry.decide_reuse(client_reused);
        let again = *e.etype() == TURNED || forward::failed(session, ctx, &e, true, client_reused);
        e.set_retry(again);
        e
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        let cause = ctx.refusal.take().or_else(|| answer::cause(e));
        let dead = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(cause) = cause.filter(|_| session.response_written().is_none()) else { return dead };
        let status = cause.status();
        if status == 500 {
            tracing::error!(request = ctx.verdict.request_id.as_str(), error = %e, "the gateway failed");
        }
        let by = ctx.refused.map_or("upstream", |(by, _)| by);
        // Pingora gives the connection up after a failure beyond the cache, so the client must hear that it ends.
        match respond::refuse(session, ctx, by, cause.closing()).await {
            Ok(()) => FailToProxy { error_code: status, can_reuse_downstream: false },
            Err(_gone) => dead,
        }
    }

    /// Failures are counted and in the access log; Pingora's own line per failure would be a log flood under attack.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Self::CTX) {
        if let Some(shadow) = ctx.shadow.take().filter(|_| e.is_none()) {
            shadow.send();
        }
        if e.is_none() {
            forward::completed(ctx);
            if let Some(relay) = ctx.relay.take() {
                relay.end(Filled::Complete);
            }
        }
        let status = session.response_written().map_or(0, |answer| answer.status.as_u16());
        ctx.finish(status, u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX));
    }
}
