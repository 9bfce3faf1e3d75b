//! The smallest server there can be: one thread, one epoll, one read and one write per request.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Conn {
    stream: TcpStream,
    /// A head that is not complete.
    head: Vec<u8>,
    /// What could not be sent yet.
    out: Vec<u8>,
}

/// Answers each request head with what `answer` gives, for ever.
pub(crate) fn serve(listener: TcpListener, answer: impl Fn(&[u8]) -> &'static [u8]) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut conns: HashMap<Token, Conn> = HashMap::new();
    let mut number = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    number += 1;
                    poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
                    conns.insert(Token(number), Conn { stream, head: Vec::new(), out: Vec::new() });
                }
            } else if let Some(conn) = conns.get_mut(&event.token())
                && !conn.turn(&mut piece, &answer)
            {
                conns.remove(&event.token());
            }
        }
    }
}

impl Conn {
    /// Whether the connection goes on. What comes after this has an event of its own, so one read is enough.
    fn turn(&mut self, piece: &mut [u8], answer: &impl Fn(&[u8]) -> &'static [u8]) -> bool {
        if !self.out.is_empty() {
            let rest = std::mem::take(&mut self.out);
            if !self.send(&rest) {
                return false;
            }
        }
        let read = match self.stream.read(piece) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let mut rest = &piece[..read];
        let kept;
        if !self.head.is_empty() {
            self.head.extend_from_slice(rest);
            kept = std::mem::take(&mut self.head);
            rest = &kept;
        }
        while let Some(at) = memchr::memmem::find(rest, b"\r\n\r\n") {
            let (head, after) = rest.split_at(at + 4);
            if !self.send(answer(head)) {
                return false;
            }
            rest = after;
        }
        self.head.extend_from_slice(rest);
        true
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = match self.stream.write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.out.extend_from_slice(&bytes[sent..]);
        true
    }
}
