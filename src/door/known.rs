//! Heads that came before: what a head means is found once, and holds for each that equals it.
//!
//! What the filters find follows from the bytes of a head, from where it comes and from the plan; what is a request's own,
//! its name and what it takes from limits, is done for each ([`addrgate_filters::Filters::again`]), and so is all that
//! follows: whether something else is kept by now, freshness and purges are looked at. Only heads that were answered from
//! memory are remembered, the second time in a row that one comes into its slot, so that a crowd of heads that come once
//! costs next to nothing. Each thread has its own, so nothing is shared or waited for.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::verdict::Verdict;
use foldhash::fast::RandomState;
use http::Version;

use super::hit::{self, Hit, Last};
use super::parse::Request;
use crate::plan::Plan;
use crate::store::Store;

/// How many heads a thread remembers; a power of two.
const SLOTS: usize = 256;

/// Longer heads are not remembered, nor are those with more fields.
const LONGEST: usize = 2048;
const MOST_FIELDS: usize = 24;

/// Room for the fields of one.
pub(super) const FIELDS: [httparse::Header<'_>; MOST_FIELDS] = [httparse::EMPTY_HEADER; MOST_FIELDS];

thread_local! {
    static HEADS: RefCell<Heads> = RefCell::new(Heads::new());
}

/// With the heads of this thread.
pub(super) fn with<T>(work: impl FnOnce(&mut Heads) -> T) -> T {
    HEADS.with_borrow_mut(work)
}

/// See the module.
pub(super) struct Heads {
    /// By which all of them were judged; with another one all are forgotten.
    plan: Option<Arc<Plan>>,
    slots: Vec<Slot>,
    /// Seeded, so that nobody can choose a head that falls on another's hash.
    hasher: RandomState,
}

#[derive(Default)]
struct Slot {
    /// Of the head that came last.
    last: u64,
    known: Option<Box<Known>>,
}

/// One head, and what it means.
pub(super) struct Known {
    /// Compared before the text, so that how long that takes tells nobody of a kept key.
    hash: u64,
    peer: Option<IpAddr>,
    pub(super) words: Words,
    /// What the filters found.
    pub(super) verdict: Verdict,
    /// What it was answered with last.
    last: Option<Last>,
}

/// A head, taken apart.
pub(super) struct Words {
    text: Box<str>,
    version: Version,
    /// The length of the method.
    method: usize,
    target: Range<usize>,
    path: Box<str>,
    /// Names and values.
    fields: Box<[(Range<usize>, Range<usize>)]>,
}

impl Heads {
    fn new() -> Self {
        Self { plan: None, slots: (0..SLOTS).map(|_| Slot::default()).collect(), hasher: RandomState::default() }
    }

    pub(super) fn hash(&self, wire: &[u8], request: &Request<'_>) -> u64 {
        self.hasher.hash_one((wire, request.peer))
    }

    /// What a head of this hash means, if it is known.
    pub(super) fn find(&mut self, hash: u64, wire: &[u8], request: &Request<'_>) -> Option<&mut Known> {
        if !self.plan.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, request.plan)) {
            self.slots.fill_with(Slot::default);
            self.plan = Some(Arc::clone(request.plan));
        }
        let known = self.slots[slot(hash)].known.as_mut()?;
        let same = known.hash == hash && known.peer == request.peer && known.words.text.as_bytes() == wire;
        same.then_some(known)
    }

    /// What was known of a head of this hash, which is not answered from memory any more.
    pub(super) fn forget(&mut self, hash: u64) -> Verdict {
        self.slots[slot(hash)].known.take().map(|known| known.verdict).unwrap_or_default()
    }

    /// Remembers what the filters found about a head that [`Heads::find`] did not know, unless something of it holds for this
    /// request alone.
    pub(super) fn learn(
        &mut self,
        hash: u64,
        wire: &[u8],
        head: &Head<'_>,
        request: &Request<'_>,
        verdict: &mut Verdict,
    ) {
        let slot = &mut self.slots[slot(hash)];
        if std::mem::replace(&mut slot.last, hash) != hash || !verdict.is_lasting() {
            return;
        }
        let Some(words) = Words::of(wire, head) else { return };
        let verdict = std::mem::take(verdict);
        slot.known = Some(Box::new(Known { hash, peer: request.peer, words, verdict, last: None }));
    }
}

impl Known {
    /// The answer from memory, if there is still one that can go out as it is.
    pub(super) fn hit<'a>(&mut self, store: &'static Store, request: &Request<'a>) -> Option<Hit<'a>> {
        let Self { words, verdict, last, .. } = self;
        if let Some(hit) = last.as_ref().and_then(|last| last.again(store, request.plan, verdict, request.started)) {
            return Some(hit);
        }
        let mut fields = FIELDS;
        let hit = hit::find(store, &words.head(&mut fields, request), request.plan, verdict)?;
        *last = Some(hit.last());
        Some(hit)
    }
}

fn slot(hash: u64) -> usize {
    hash as usize % SLOTS
}

impl Words {
    /// `None` where the head is not plain text, or too long.
    fn of(wire: &[u8], head: &Head<'_>) -> Option<Self> {
        let Headers::Raw(fields) = head.headers else { return None };
        if wire.len() > LONGEST || fields.len() > MOST_FIELDS {
            return None;
        }
        let text = std::str::from_utf8(wire).ok().filter(|text| text.is_ascii())?;
        let method = head.method.len();
        let target = method + 1..method + 1 + text.strip_prefix(head.method)?.strip_prefix(' ')?.find(' ')?;
        let place = |part: &[u8]| {
            let begin = part.as_ptr().addr().checked_sub(wire.as_ptr().addr())?;
            Some(begin..begin + part.len()).filter(|place| place.end <= wire.len())
        };
        let fields = fields.iter().map(|field| Some((place(field.name.as_bytes())?, place(field.value)?)));
        let fields = fields.collect::<Option<_>>()?;
        Some(Self { text: text.into(), version: head.version, method, target, path: head.path.into(), fields })
    }

    /// The method and the path.
    pub(super) fn names(&self) -> (&str, &str) {
        (&self.text[..self.method], &self.path)
    }

    /// The view of it that the filters judge, as of `request`.
    pub(super) fn head<'a>(
        &'a self,
        fields: &'a mut [httparse::Header<'a>; MOST_FIELDS],
        request: &Request<'_>,
    ) -> Head<'a> {
        let text = &*self.text;
        for (field, (name, value)) in fields.iter_mut().zip(&self.fields) {
            *field = httparse::Header { name: &text[name.clone()], value: text[value.clone()].as_bytes() };
        }
        let fields = &fields[..self.fields.len()];
        let head = Head::new(&text[..self.method], &text[self.target.clone()], Headers::Raw(fields));
        Head { version: self.version, peer: request.peer, at: Some(request.started), ..head }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use addrgate_filters::http::head::Moment;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::parse::{self, parse};
    use super::*;

    const HEAD: &str = "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX-API-Key: key\r\n\r\n";

    fn plan() -> Arc<Plan> {
        let text =
            "version: 1\nserver: { listen: [\"127.0.0.1:1\"] }\nupstreams: { api: { addresses: [\"127.0.0.1:2\"] } }\n";
        Arc::new(crate::plan::parse(text, Path::new("config.yaml"), &|_: &str| None).unwrap())
    }

    fn request(plan: &Arc<Plan>, peer: u8) -> Request<'_> {
        Request { peer: Some([10, 0, 0, peer].into()), last: false, plan, started: Moment::now() }
    }

    /// A head that is answered from memory; whether it was known.
    fn hit(heads: &mut Heads, wire: &[u8], request: &Request<'_>, mut verdict: Verdict) -> bool {
        let hash = heads.hash(wire, request);
        if heads.find(hash, wire, request).is_some() {
            return true;
        }
        let mut fields = parse::FIELDS;
        let head = parse(wire, &mut fields, request).unwrap();
        heads.learn(hash, wire, &head, request, &mut verdict);
        false
    }

    fn known(heads: &mut Heads, text: &str, request: &Request<'_>) -> bool {
        hit(heads, text.as_bytes(), request, Verdict::default())
    }

    #[test]
    fn a_head_that_came_twice_is_known_as_long_as_plan_and_peer_stay() {
        let (mut heads, plan, reloaded) = (Heads::new(), plan(), plan());
        let (here, there) = (request(&plan, 1), request(&plan, 2));
        assert_eq!([(); 3].map(|()| known(&mut heads, HEAD, &here)), [false, false, true]);
        assert_eq!([(); 3].map(|()| known(&mut heads, HEAD, &there)), [false, false, true]);
        assert!(!known(&mut heads, &HEAD.replace("key", "kez"), &here), "another key");
        let after = request(&reloaded, 1);
        assert_eq!([(); 3].map(|()| known(&mut heads, HEAD, &after)), [false, false, true]);
        assert!(!known(&mut heads, HEAD, &here), "by the old plan");
    }

    #[test]
    fn what_is_not_answered_from_memory_any_more_is_forgotten_and_its_verdict_given_back() {
        let (mut heads, plan) = (Heads::new(), plan());
        let request = request(&plan, 1);
        for _ in 0..2 {
            let verdict = Verdict { target: "/a?b=c".to_owned(), ..Verdict::default() };
            hit(&mut heads, HEAD.as_bytes(), &request, verdict);
        }
        assert_eq!(heads.forget(heads.hash(HEAD.as_bytes(), &request)).target, "/a?b=c");
        assert!(!known(&mut heads, HEAD, &request));
    }

    #[rstest]
    #[case::a_token_or_a_draw(HEAD.to_owned(), || Verdict { once: true, ..Verdict::default() })]
    #[case::an_observed_refusal(HEAD.to_owned(), || Verdict { observed: vec![("client", "x")], ..Verdict::default() })]
    #[case::long(HEAD.replace("key", &"k".repeat(LONGEST)), Verdict::default)]
    #[case::many(HEAD.replace("Host: a", &"Host: a\r\nX: y".repeat(MOST_FIELDS)), Verdict::default)]
    #[case::no_text(HEAD.replace("key", "ü"), Verdict::default)]
    fn what_is_never_known(#[case] head: String, #[case] verdict: fn() -> Verdict) {
        let (mut heads, plan) = (Heads::new(), plan());
        let request = request(&plan, 1);
        for _ in 0..5 {
            assert!(!hit(&mut heads, head.as_bytes(), &request, verdict()));
        }
    }

    proptest! {
        /// Taken apart and put together again, a head says the same.
        #[test]
        fn words_are_what_was_parsed(
            method in "[A-Z]{1,9}", target in "(/|http://h|\\*)[ -~&&[^ ]]{0,20}",
            fields in proptest::collection::vec(("[!#A-Za-z0-9-]{1,9}", "[ -~]{0,12}"), 0..6), version in 0..2,
        ) {
            let plan = plan();
            let asked = request(&plan, 1);
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let wire = format!("{method} {target} HTTP/1.{version}\r\n{fields}\r\n");
            let mut room = parse::FIELDS;
            let Ok(head) = parse(wire.as_bytes(), &mut room, &asked) else { return Ok(()) };
            let Some(words) = Words::of(wire.as_bytes(), &head) else { return Err(TestCaseError::fail("not known")) };
            let mut room = FIELDS;
            prop_assert_eq!(format!("{:?}", words.head(&mut room, &asked)), format!("{head:?}"));
        }
    }
}
