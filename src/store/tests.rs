use addrgate_filters::http::cache_policy::{freshness::Windows, reuse::Times};
use bytes::Bytes;
use pingora::{
    cache::{CacheMeta, HitHandler, MissHandler, Storage, key::CacheHashKey, trace::Span},
    http::ResponseHeader,
};

use super::*;
use crate::invalidation::{self, Name, Purge, Target};

const PATIENCE: Duration = Duration::from_secs(60);

fn store() -> &'static Store {
    sized(10 << 20)
}

fn sized(total: u64) -> &'static Store {
    let invalidation = Invalidation::new(&invalidation::Config::default(), None);
    Box::leak(Box::new(Store::new(Limits { total, entry: 1 << 20 }, invalidation, None)))
}

fn purge(store: &Store, soft: bool) {
    let target = Target::Names(vec![Name::key(&key("a"))]);
    store.invalidation.purge_soon(Purge { target, soft });
}

fn key(name: &str) -> Key {
    let mut digest = [0; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    Key(digest)
}

fn kept(store: &Store, lifetime: u64, fields: &[&'static str]) -> Kept {
    let now = SystemTime::now();
    Kept {
        times: Times { made: now, fresh_until: now + Duration::from_secs(lifetime) },
        windows: Windows { on_request: true, ..Windows::default() },
        stored: now,
        keep: Duration::from_secs(60),
        vary: (!fields.is_empty()).then(|| fields.iter().map(|name| HeaderName::from_static(name)).collect()),
        names: [Name::key(&key("a"))].into(),
        clock: store.invalidation.now(),
    }
}

/// As the cache phases make it.
fn meta(store: &Store, lifetime: u64, vary: Option<(&'static str, &str)>) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.append_header("X-One", "1").unwrap();
    header.append_header("x-one", "2").unwrap();
    let kept = kept(store, lifetime, vary.map(|(name, _)| name).as_slice());
    let mut meta = CacheMeta::new(kept.times.fresh_until, kept.stored, 0, 0, header);
    if let Some((name, value)) = vary {
        meta.set_variance(variance(name, value));
    }
    meta.extensions_mut().insert(kept);
    meta
}

fn variance(name: &'static str, value: &str) -> [u8; 16] {
    let fields = [httparse::Header { name, value: value.as_bytes() }];
    vary::variance(&[HeaderName::from_static(name)], Headers::Raw(&fields))
}

async fn begin(store: &'static Store, name: &str, meta: &CacheMeta) -> MissHandler {
    store.get_miss_handler(&cache_key(key(name)), meta, &Span::inactive().handle()).await.unwrap()
}

async fn put(store: &'static Store, name: &str, meta: &CacheMeta, body: &'static str) {
    let mut miss = begin(store, name, meta).await;
    miss.write_body(Bytes::from_static(body.as_bytes()), true).await.unwrap();
    miss.finish().await.unwrap();
}

async fn read(store: &'static Store, key: &pingora::cache::CacheKey) -> Option<Result<String, ()>> {
    let (_, mut hit) = store.lookup(key, &Span::inactive().handle()).await.unwrap()?;
    let mut text = String::new();
    loop {
        match hit.read_body().await {
            Ok(Some(piece)) => text.push_str(std::str::from_utf8(&piece).unwrap()),
            Ok(None) => return Some(Ok(text)),
            Err(_) => return Some(Err(())),
        }
    }
}

fn body(entry: Option<Arc<Entry>>) -> Option<String> {
    entry.map(|entry| String::from_utf8(entry.body().to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_written_is_found_by_both_paths() {
    let store = store();
    put(store, "a", &meta(store, 60, None), "hello").await;
    assert_eq!(read(store, &cache_key(key("a"))).await, Some(Ok("hello".to_owned())));
    assert_eq!(read(store, &cache_key(key("b"))).await, None);

    let entry = store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now()).unwrap();
    assert_eq!(entry.head(), &b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 5\r\n"[..]);
    let (found, _) = store.lookup(&cache_key(key("a")), &Span::inactive().handle()).await.unwrap().unwrap();
    let values: Vec<_> = found.headers().get_all("x-one").iter().collect();
    assert_eq!(values, ["1", "2"]);
}

#[tokio::test]
async fn who_remembers_what_was_found_hears_of_what_takes_its_place() {
    let store = store();
    let mut seen = store.changes(&key("a"));
    let mut has_changed = || std::mem::replace(&mut seen, store.changes(&key("a"))) != store.changes(&key("a"));
    put(store, "b", &meta(store, 60, None), "another").await;
    assert!(!has_changed());
    for vary in [None, Some(("foo", "1")), Some(("bar", "1")), None] {
        put(store, "a", &meta(store, 60, vary), "one").await;
        assert!(has_changed(), "{vary:?}");
        assert!(!has_changed());
    }
    let coming = begin(store, "a", &meta(store, 60, Some(("foo", "2")))).await;
    assert!(has_changed(), "a variant that is on its way shows that there are any");
    drop(coming);

    put(store, "a", &meta(store, 60, None), "one").await;
    let entry = store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now()).unwrap();
    assert!(store.is_fresh(&entry, SystemTime::now()));
    assert!(!store.is_fresh(&entry, SystemTime::now() + Duration::from_secs(60)));
    purge(store, false);
    assert!(!store.is_fresh(&entry, SystemTime::now()), "a purge is not a change, and seen all the same");
}

#[tokio::test]
async fn ranges_of_a_whole_body() {
    let store = store();
    put(store, "a", &meta(store, 60, None), "0123456789").await;
    let (_, mut hit) = store.lookup(&cache_key(key("a")), &Span::inactive().handle()).await.unwrap().unwrap();
    assert!(hit.can_seek());
    hit.seek(2, Some(5)).unwrap();
    assert_eq!(hit.read_body().await.unwrap().as_deref(), Some(&b"234"[..]));
    assert_eq!(hit.read_body().await.unwrap(), None);
    hit.seek(8, Some(100)).unwrap();
    assert_eq!(hit.read_body().await.unwrap().as_deref(), Some(&b"89"[..]));
    assert!(hit.seek(10, None).is_err());
}

/// A fetch for all, and what it brings.
async fn fetch(store: &'static Store, name: &str, meta: &CacheMeta) -> (MissHandler, Arc<Fill>) {
    let request = Request { for_all: true, ..request(store.find(&key(name), Headers::Raw(&[]))) };
    let mut cache_key = cache_key(key(name));
    let brought = Arc::clone(&request.brought);
    cache_key.extensions.insert(request);
    let miss = store.get_miss_handler(&cache_key, meta, &Span::inactive().handle()).await.unwrap();
    let Some(Brought::Fill(fill)) = brought.lock().unwrap().take() else { panic!("nothing") };
    (miss, fill)
}

fn request(held: Held) -> Request {
    Request {
        last: None,
        held,
        headers: None,
        given: None,
        brought: Arc::default(),
        for_all: false,
        looked: false,
        lease: Arc::default(),
        until: tokio::time::Instant::now(),
        contended: Arc::default(),
        stale_will_do: true,
        second: false,
        wanted: None,
    }
}

/// A request that waited for it.
async fn join(store: &'static Store, fill: &Arc<Fill>) -> HitHandler {
    let mut key = cache_key(key("a"));
    let request = request(store.find(&self::key("a"), Headers::Raw(&[])));
    key.extensions.insert(Request { given: Some(Given::Fill(Arc::clone(fill))), ..request });
    store.lookup(&key, &Span::inactive().handle()).await.unwrap().unwrap().1
}

#[tokio::test]
async fn waiters_read_along_and_learn_of_a_broken_fetch() {
    let store = store();
    for broken in [false, true] {
        let (mut miss, fill) = fetch(store, "b", &meta(store, 60, None)).await;
        miss.write_body(Bytes::from_static(b"one "), false).await.unwrap();
        let mut joined = join(store, &fill).await;
        assert_eq!(joined.read_body().await.unwrap().unwrap(), "one ");
        assert_eq!((store.size().filling, read(store, &cache_key(key("b"))).await.is_some()), (1, broken));
        miss.write_body(Bytes::from_static(b"two"), true).await.unwrap();
        if broken {
            drop(miss);
        } else {
            miss.finish().await.unwrap();
        }
        assert_eq!(joined.read_body().await.unwrap().unwrap(), "two");
        assert_eq!(joined.read_body().await.is_err(), broken, "what there is is not taken for the whole");
        assert_eq!(fill.settled(1 << 20, PATIENCE).await, Some(if broken { Filled::Broken } else { Filled::Complete }));
        assert_eq!(read(store, &cache_key(key("b"))).await, Some(Ok("one two".to_owned())));
        assert_eq!(store.size().filling, 0);
    }
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_not_kept() {
    let store = store();
    let mut meta = meta(store, 60, None);
    meta.response_header_mut().insert_header("content-length", "9").unwrap();
    let mut miss = begin(store, "a", &meta).await;
    miss.write_body(Bytes::from_static(b"short"), true).await.unwrap();
    assert!(miss.finish().await.is_err());
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())), None);
}

#[tokio::test(start_paused = true)]
async fn too_large_streams_through_but_is_not_kept() {
    let store = store();
    let (mut miss, fill) = fetch(store, "a", &meta(store, 60, None)).await;
    let mut readers = [join(store, &fill).await, join(store, &fill).await];
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut got = [0; 2];
    for n in 0..100 {
        miss.write_body(piece.clone(), n == 99).await.unwrap();
        for (reader, got) in readers.iter_mut().zip(&mut got) {
            *got += reader.read_body().await.unwrap().unwrap().len();
        }
    }
    miss.finish().await.unwrap();
    assert_eq!(got, [100 << 20; 2]);
    assert_eq!(readers[0].read_body().await.unwrap(), None);
    assert!(super::filling::Reader::new(Arc::clone(&fill)).is_none(), "the beginning is there no more");
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())), None);

    // Of a request that fetches for itself nobody reads along.
    let mut miss = begin(store, "a", &meta(store, 60, None)).await;
    for n in 0..100 {
        miss.write_body(piece.clone(), n == 99).await.unwrap();
    }
    miss.finish().await.unwrap();
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())), None);
}

#[tokio::test(start_paused = true)]
async fn who_stalls_is_left_behind_and_what_nobody_reads_is_given_up() {
    let store = store();
    let (mut miss, fill) = fetch(store, "a", &meta(store, 60, None)).await;
    let (mut reader, mut stalled) = (join(store, &fill).await, join(store, &fill).await);
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let reads = tokio::spawn(async move { while reader.read_body().await.is_ok() {} });
    for _ in 0..40 {
        miss.write_body(piece.clone(), false).await.unwrap();
    }
    assert!(stalled.read_body().await.is_err(), "it does not take what it has for the whole");
    reads.abort();
    drop(reads.await);
    let begun = tokio::time::Instant::now();
    while miss.write_body(piece.clone(), false).await.is_ok() {}
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(miss);
    let (mut miss, _) = fetch(store, "a", &meta(store, 60, None)).await;
    let mut written = 0;
    while miss.write_body(piece.clone(), false).await.is_ok() {
        written += 1;
    }
    assert!((1..=17).contains(&written), "{written} MiB are held for those who may come");
}

#[tokio::test]
async fn variants_are_told_apart_and_capped() {
    let store = store();
    for value in ["0", "1", "2", "3", "4", "5", "6", "7", "8"] {
        put(store, "a", &meta(store, 60, Some(("foo", value))), value).await;
    }
    let found = |value: &str| {
        let fields = [httparse::Header { name: "Foo", value: value.as_bytes() }];
        body(store.fresh(&key("a"), Headers::Raw(&fields), SystemTime::now()))
    };
    assert_eq!(found("0"), None, "the oldest of nine gave way");
    assert_eq!(found("1").as_deref(), Some("1"));
    assert_eq!(found("8").as_deref(), Some("8"));
    assert_eq!(found("9"), None);
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())), None);

    // Pingora's way: with the variance in the key, or with the request's fields until it is known.
    let mut with_variance = cache_key(key("a"));
    with_variance.set_variance_key(variance("foo", "8"));
    let held =
        |value: &str| store.find(&key("a"), Headers::Raw(&[httparse::Header { name: "foo", value: value.as_bytes() }]));
    assert_eq!(with_variance.variance_bin(), held("8").id.variance);
    assert_eq!(read(store, &with_variance).await, Some(Ok("8".to_owned())));
    let mut with_fields = cache_key(key("a"));
    with_fields.extensions.insert(request(held("7")));
    assert_eq!(read(store, &with_fields).await, Some(Ok("7".to_owned())));

    // Another Vary takes over, and an answer without one after it.
    put(store, "a", &meta(store, 60, Some(("bar", "x"))), "bar").await;
    assert_eq!(found("8"), None);
    put(store, "a", &meta(store, 60, None), "plain").await;
    assert_eq!(found("8").as_deref(), Some("plain"));
}

#[tokio::test]
async fn invalidation_removes_every_variant_and_reaches_fetches_under_way() {
    let store = store();
    put(store, "a", &meta(store, 60, Some(("foo", "1"))), "one").await;
    let mut miss = begin(store, "a", &meta(store, 60, Some(("foo", "2")))).await;
    let begun_before = meta(store, 60, None);
    purge(store, false);
    let fields = [httparse::Header { name: "foo", value: b"1" }];
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&fields), SystemTime::now())), None);

    miss.write_body(Bytes::from_static(b"two"), true).await.unwrap();
    miss.finish().await.unwrap();
    put(store, "a", &begun_before, "old").await;
    assert_eq!(read(store, &cache_key(key("a"))).await, None);

    put(store, "a", &meta(store, 60, None), "new").await;
    assert_eq!(read(store, &cache_key(key("a"))).await, Some(Ok("new".to_owned())));
}

#[tokio::test]
async fn a_304_changes_the_head_and_keeps_the_body() {
    let store = store();
    let span = Span::inactive();
    put(store, "a", &meta(store, 0, None), "body").await;
    let (stale, _) = store.lookup(&cache_key(key("a")), &span.handle()).await.unwrap().unwrap();
    let mut fresh = meta(store, 60, None);
    fresh.response_header_mut().insert_header("x-one", "new").unwrap();
    fresh.extensions_mut().extend(stale.extensions().clone());
    fresh.extensions_mut().insert(kept(store, 60, &[]));
    assert!(store.update_meta(&cache_key(key("a")), &fresh, &span.handle()).await.unwrap());
    let entry = store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now()).unwrap();
    assert!(entry.kept.times.is_fresh(SystemTime::now()));
    assert!(String::from_utf8_lossy(&entry.head()).contains("x-one: new\r\n"));
    assert_eq!(entry.body(), "body");
}

#[tokio::test]
async fn what_is_newer_in_memory_is_not_replaced_by_what_the_second_tier_has() {
    let store = store();
    let entry = |stored: SystemTime, body: &'static str| {
        let meta = Meta::of(key("a"), &meta(store, 60, None)).unwrap();
        let kept = Kept { stored, ..meta.kept };
        Arc::new(Entry::new(&Meta { kept, ..meta }, &[Bytes::from_static(body.as_bytes())]))
    };
    let found = || body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now()));
    let now = SystemTime::now();
    store.promote(entry(now, "second"));
    assert_eq!(found().as_deref(), Some("second"));
    store.insert(entry(now + Duration::from_secs(2), "first"));
    store.promote(entry(now + Duration::from_secs(1), "older"));
    assert_eq!(found().as_deref(), Some("first"));
    store.promote(entry(now + Duration::from_secs(3), "newer"));
    assert_eq!(found().as_deref(), Some("newer"));
}

#[tokio::test]
async fn the_total_is_bounded() {
    let store = sized(100_000);
    for number in 0..1000 {
        let body: &'static str = Box::leak("x".repeat(300).into_boxed_str());
        put(store, &number.to_string(), &meta(store, 60, None), body).await;
    }
    store.memory.run_pending_tasks();
    let size = store.size();
    assert!(size.bytes <= 100_000 && size.entries > 50, "{size:?}");
}

#[tokio::test]
async fn what_is_purged_softly_is_served_stale_while_it_is_refreshed() {
    let store = store();
    put(store, "a", &meta(store, 60, None), "old").await;
    let entry = store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now()).unwrap();
    purge(store, true);
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())), None);
    let view = store.view(&entry.kept).unwrap();
    assert!(view.is_servable_stale(SystemTime::now()));
    // What must not be served stale is validated first.
    let mut kept = entry.kept.clone();
    kept.windows.on_request = false;
    assert!(!store.view(&kept).unwrap().is_servable_stale(SystemTime::now()));
    put(store, "a", &meta(store, 60, None), "new").await;
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())).as_deref(), Some("new"));
}

#[tokio::test]
async fn a_smaller_share_keeps_what_is_used_most_and_lets_nothing_more_in() {
    let store = sized(100_000);
    for number in 0..50 {
        put(store, &number.to_string(), &meta(store, 60, None), "body").await;
    }
    let found = |name: &str| body(store.fresh(&key(name), Headers::Raw(&[]), SystemTime::now())).is_some();
    for _ in 0..4 {
        let entry = store.fresh(&key("7"), Headers::Raw(&[]), SystemTime::now()).unwrap();
        entry.used();
    }
    let before = store.size().bytes;
    let left = store.shrink(0.1);
    assert!(left <= 10_000 && left > 0 && before > 30_000, "{before} {left}");
    assert!(found("7"));
    for number in 0..50 {
        put(store, &number.to_string(), &meta(store, 60, None), "body").await;
        store.memory.run_pending_tasks();
    }
    assert!(store.size().bytes <= 10_000);
    assert_eq!(store.shrink(0.0), 0);
    put(store, "7", &meta(store, 60, None), "body").await;
    assert!(!found("7"));
    store.shrink(1.0);
    put(store, "7", &meta(store, 60, None), "body").await;
    assert!(found("7"));
}

#[tokio::test]
async fn what_was_found_gone_does_not_take_its_successor_along() {
    let store = store();
    put(store, "a", &meta(store, 60, None), "old").await;
    let old = store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now());
    purge(store, false);
    put(store, "a", &meta(store, 60, None), "new").await;
    assert!(store.judge(old).is_none());
    assert_eq!(body(store.fresh(&key("a"), Headers::Raw(&[]), SystemTime::now())).as_deref(), Some("new"));
}
