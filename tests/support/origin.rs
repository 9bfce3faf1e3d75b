//! A scripted upstream that speaks raw bytes, so that it can misbehave, and that remembers what it was asked.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// The very bytes of the head.
    pub head: String,
    /// Which request this is, from 1.
    pub number: usize,
}

/// What the origin does with a request.
pub enum Answer {
    /// A well-formed answer.
    Plain { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// These bytes, and then the connection is closed.
    Raw(Vec<u8>),
    /// The same in pieces, each after so many milliseconds.
    Pieces(Vec<(u64, Vec<u8>)>),
    /// Nothing: the connection is closed.
    HangUp,
}

impl Answer {
    /// 200 with JSON that is fresh for a minute.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::ok(body).with("content-type", "application/json").with("cache-control", "max-age=60")
    }

    /// 200 without any field.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Plain { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// Another status.
    pub fn status(mut self, code: u16) -> Self {
        if let Self::Plain { status, .. } = &mut self {
            *status = code;
        }
        self
    }

    /// One more field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Plain { headers, .. } = &mut self {
            headers.retain(|(known, _)| known != name);
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

type Handler = dyn Fn(Asked) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// A running origin; gone when the value is.
pub struct Origin {
    /// `host:port`
    pub place: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    running: JoinHandle<()>,
}

impl Origin {
    /// Answers every request by `handler`.
    pub async fn start<F>(handler: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), handler)
    }

    /// The same where `listener` listens.
    pub fn on<F>(listener: TcpListener, handler: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let place = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(move |asked| Box::pin(handler(asked)));
        let log = Arc::clone(&asked);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&handler)));
            }
        });
        Self { place, asked, running }
    }

    /// Everything asked so far; health checks left out.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a target was asked for.
    pub fn count(&self, target: &str) -> usize {
        self.asked().iter().filter(|asked| asked.target == target).count()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Asked>>>, handler: Arc<Handler>) {
    let mut buffer = Vec::new();
    loop {
        let Some(mut asked) = read(&mut stream, &mut buffer).await else { return };
        {
            let mut log = log.lock().unwrap();
            asked.number = log.len() + 1;
            log.push(asked.clone());
        }
        match handler(asked.clone()).await {
            Answer::HangUp => return,
            Answer::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Answer::Pieces(pieces) => {
                for (after, bytes) in pieces {
                    pause(after).await;
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Answer::Plain { status, headers, body } => {
                let mut out = format!("HTTP/1.1 {status} Scripted\r\n").into_bytes();
                for (name, value) in &headers {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                if !matches!(status, 204 | 304) && !headers.iter().any(|(name, _)| name == "content-length") {
                    out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
                }
                out.extend_from_slice(b"\r\n");
                if asked.method != "HEAD" && !matches!(status, 204 | 304) {
                    out.extend_from_slice(&body);
                }
                if stream.write_all(&out).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The next request with its whole body; `None` at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length").and_then(|length| length.parse::<usize>().ok()) {
        while buffer.len() < length {
            more(stream, buffer).await?;
        }
        body.extend(buffer.drain(..length));
    } else if headers.contains_key("transfer-encoding") {
        // Enough for tests: the last chunk ends the buffer.
        while !buffer.ends_with(b"0\r\n\r\n") {
            more(stream, buffer).await?;
        }
        body.append(buffer);
    }
    Some(Asked { method, target, headers, body, head, number: 0 })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece).await {
        Ok(n @ 1..) => {
            buffer.extend_from_slice(&piece[..n]);
            Some(())
        }
        _ => None,
    }
}

/// A pause, for handlers.
pub async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
