//! COPY into a staging table: a thread reads and checks the file, this task hands its chunks to the server, so that both of
//! two cores work and memory stays at a few chunks.

use anyhow::Context;
use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Transaction};

const CHUNK: usize = 128 * 1024;
/// Chunks that may wait between the thread and the server.
const AHEAD: usize = 8;

/// Rows in COPY's text format, on their way.
pub(crate) struct Rows {
    buffer: BytesMut,
    first: bool,
    to: mpsc::Sender<Bytes>,
}

impl Rows {
    /// Appends a value; empty is NULL, as in the files.
    pub(crate) fn text(&mut self, value: &str) {
        self.separate();
        if value.is_empty() {
            self.buffer.put_slice(b"\\N");
            return;
        }
        self.raw(value);
    }

    /// Appends several texts as one value.
    pub(crate) fn joined<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) {
        self.separate();
        let start = self.buffer.len();
        for part in parts {
            self.raw(part);
        }
        if self.buffer.len() == start {
            self.buffer.put_slice(b"\\N");
        }
    }

    /// Appends a number.
    pub(crate) fn number(&mut self, value: u64) {
        use std::fmt::Write as _;
        self.separate();
        // Writing to a growing buffer can't fail.
        let _ = write!(self.buffer, "{value}");
    }

    /// Appends `t` or `f`.
    pub(crate) fn truth(&mut self, value: bool) {
        self.text(if value { "t" } else { "f" });
    }

    /// Ends the row.
    ///
    /// # Errors
    /// When the server has stopped listening; the other side knows why.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.buffer.put_u8(b'\n');
        self.first = true;
        if self.buffer.len() >= CHUNK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let chunk = self.buffer.split().freeze();
        self.buffer.reserve(CHUNK + 4096);
        self.to.blocking_send(chunk).ok().context("the database stopped taking rows")
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.buffer.put_u8(b'\t');
        }
    }

    fn raw(&mut self, value: &str) {
        for byte in value.bytes() {
            match byte {
                b'\\' => self.buffer.put_slice(b"\\\\"),
                b'\t' => self.buffer.put_slice(b"\\t"),
                b'\n' => self.buffer.put_slice(b"\\n"),
                b'\r' => self.buffer.put_slice(b"\\r"),
                _ => self.buffer.put_u8(byte),
            }
        }
    }
}

/// Fills a staging table in one transaction with what `produce` makes on a thread of its own.
///
/// # Errors
/// `produce`'s, or the server's; either way the transaction leaves nothing behind.
pub(crate) async fn fill<T: Send + 'static>(
    client: &mut Client,
    table: &str,
    produce: impl FnOnce(&mut Rows) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let transaction = client.transaction().await?;
    let made = stream(&transaction, table, produce).await?;
    transaction.commit().await?;
    Ok(made)
}

async fn stream<T: Send + 'static>(
    transaction: &Transaction<'_>,
    table: &str,
    produce: impl FnOnce(&mut Rows) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let sink = transaction.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await?;
    let mut sink = std::pin::pin!(sink);
    let (to, mut from) = mpsc::channel(AHEAD);
    let thread = tokio::task::spawn_blocking(move || {
        let mut rows = Rows { buffer: BytesMut::with_capacity(CHUNK + 4096), first: true, to };
        let made = produce(&mut rows)?;
        rows.send()?;
        anyhow::Ok(made)
    });
    while let Some(chunk) = from.recv().await {
        sink.send(chunk).await.with_context(|| format!("the database refused rows of {table}"))?;
    }
    // Dropping the sink before `finish` makes the server forget the rows.
    let made = thread.await.context("the reading thread failed")??;
    sink.finish().await.with_context(|| format!("the database refused rows of {table}"))?;
    Ok(made)
}
