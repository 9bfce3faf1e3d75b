//! The load: connections that each ask again as soon as they are answered (a closed loop), or at a rate, from one thread.
//! Every answer is looked at.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use tokio::time::Instant;

use crate::answer;
use crate::servers::Server;

/// What is to be done.
pub(crate) struct Load<'a> {
    pub(crate) place: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// From one request to the next, over all connections; zero: each asks as soon as it is answered.
    pub(crate) pace: Duration,
    /// What every head must hold.
    pub(crate) mark: &'a [u8],
    /// Writes the next request.
    pub(crate) request: &'a mut dyn FnMut(&mut Vec<u8>),
}

/// What came of it.
pub(crate) struct Seen {
    pub(crate) answers: u64,
    pub(crate) wrong: u64,
    pub(crate) wall: Duration,
    first_wrong: Vec<u8>,
    /// Nanoseconds from the request's last byte to the answer's.
    latency: Histogram<u64>,
}

impl Seen {
    /// The latency that so many of the answers kept within.
    pub(crate) fn milliseconds(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e6
    }

    /// The beginning of the first wrong answer.
    pub(crate) fn sample(&self) -> String {
        String::from_utf8_lossy(&self.first_wrong[..self.first_wrong.len().min(500)]).into_owned()
    }
}

impl<'a> Load<'a> {
    /// One connection that asks for what `request` writes.
    pub(crate) fn with(place: SocketAddr, time: Duration, request: &'a mut dyn FnMut(&mut Vec<u8>)) -> Self {
        Self { place, connections: 1, time, pace: Duration::ZERO, mark: b"", request }
    }

    /// Everyone asks for the same, and gets a hit.
    pub(crate) fn same(server: &'a Server, path: &str, connections: usize, time: Duration) -> Self {
        let mut bytes = Vec::new();
        answer::request(path, &mut bytes);
        // A few bytes per slice.
        let request = Box::leak(Box::new(move |out: &mut Vec<u8>| out.extend_from_slice(&bytes)));
        Self { connections, mark: server.mark, ..Self::with(server.place, time, request) }
    }
}

struct Conn {
    stream: TcpStream,
    asked: Instant,
    /// An answer that is not complete.
    part: Vec<u8>,
}

/// Does it.
pub(crate) fn run(load: Load<'_>) -> anyhow::Result<Seen> {
    let Load { place, connections, time, pace, mark, request } = load;
    let mark = memmem::Finder::new(mark);
    let mut poll = Poll::new()?;
    let mut conns = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = std::net::TcpStream::connect(place).with_context(|| format!("no connection to {place}"))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        conns.push(Conn { stream, asked: Instant::now(), part: Vec::new() });
    }
    let begun = Instant::now();
    let mut seen = Seen {
        answers: 0,
        wrong: 0,
        wall: Duration::ZERO,
        first_wrong: Vec::new(),
        latency: Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?,
    };
    let mut out = Vec::new();
    let mut idle: VecDeque<usize> = (0..connections).collect();
    let mut due = begun;
    let mut over = false;
    let mut events = Events::with_capacity(1024);
    let mut piece = vec![0; 64 << 10];
    while !over || idle.len() < connections {
        let now = Instant::now();
        over = now - begun >= time;
        let open = connections - idle.len();
        ensure!(now - begun < time + Duration::from_secs(10), "{open} of {connections} connections got no answer");
        while !over && (pace.is_zero() || due <= now) {
            let Some(next) = idle.pop_front() else { break };
            // Who asks late because nobody was free has waited, too.
            conns[next].ask(if pace.is_zero() { Instant::now() } else { due }, request, &mut out)?;
            due += pace;
        }
        // It never sleeps: waking it would be the server's work, and the slower a server, the more of it.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let conn = &mut conns[event.token().0];
            let read = match conn.stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                read => read?,
            };
            ensure!(read > 0, "{place} closed a connection");
            let whole = if conn.part.is_empty() {
                &piece[..read]
            } else {
                conn.part.extend_from_slice(&piece[..read]);
                &conn.part
            };
            let Some((end, good)) = judge(whole, &mark) else {
                if conn.part.is_empty() {
                    conn.part.extend_from_slice(&piece[..read]);
                }
                continue;
            };
            let now = Instant::now();
            seen.latency.saturating_record(u64::try_from((now - conn.asked).as_nanos())?);
            seen.answers += 1;
            if !good || end != whole.len() {
                seen.wrong += 1;
                if seen.first_wrong.is_empty() {
                    seen.first_wrong.extend_from_slice(whole);
                }
            }
            conn.part.clear();
            if !pace.is_zero() || over {
                idle.push_back(event.token().0);
            } else {
                conn.ask(now, request, &mut out)?;
            }
        }
    }
    seen.wall = begun.elapsed();
    Ok(seen)
}

impl Conn {
    fn ask(&mut self, since: Instant, request: &mut dyn FnMut(&mut Vec<u8>), out: &mut Vec<u8>) -> anyhow::Result<()> {
        out.clear();
        request(out);
        self.asked = since;
        let sent = self.stream.write(out)?;
        ensure!(sent == out.len(), "a request was sent in part");
        Ok(())
    }
}

/// Where the answer ends, and whether it is the right one; `None` where more is to come.
fn judge(bytes: &[u8], mark: &memmem::Finder<'_>) -> Option<(usize, bool)> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let ok = bytes.starts_with(b"HTTP/1.1 200") && mark.find(&bytes[..head]).is_some();
    match ok {
        true => (bytes.len() >= head + answer::LENGTH).then_some((head + answer::LENGTH, true)),
        // Its body may have any length, so nothing after it can be trusted.
        false => Some((bytes.len(), false)),
    }
}
