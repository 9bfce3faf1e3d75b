//! One round trip to Redis, for comparison: a `GET` at a time, as plain as it can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

/// The median of asking for a value of so many bytes, in milliseconds.
pub(crate) fn round_trip(place: SocketAddr, length: usize, time: Duration) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(place)?;
    stream.set_nodelay(true)?;
    write!(stream, "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n${length}\r\n{}\r\n", "x".repeat(length))?;
    let mut answer = vec![0; 5];
    stream.read_exact(&mut answer)?;
    ensure!(answer == b"+OK\r\n", "Redis does not keep a value");
    let mut answer = vec![0; format!("${length}\r\n").len() + length + 2];
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let asked = Instant::now();
        stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nbench\r\n")?;
        stream.read_exact(&mut answer)?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1000.0)
}
