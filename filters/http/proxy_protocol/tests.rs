use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// A version 2 head of this command, family and block.
fn binary_head(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, block].concat()
}

const V4: [u8; 12] = [198, 51, 100, 1, 192, 0, 2, 1, 0x11, 0xd7, 0x01, 0xbb];

fn sockets(source: &str, target: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((source.parse().unwrap(), target.parse().unwrap()))
}

#[rstest]
#[case("PROXY TCP4 198.51.100.1 192.0.2.1 4567 443\r\n", sockets("198.51.100.1:4567", "192.0.2.1:443"))]
#[case("PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", sockets("255.255.255.255:65535", "255.255.255.255:0"))]
#[case("PROXY TCP6 2001:db8::1 ::1 4567 443\r\n", sockets("[2001:db8::1]:4567", "[::1]:443"))]
#[case("PROXY UNKNOWN\r\n", None)]
#[case("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None)]
fn lines(#[case] head: &str, #[case] addresses: Option<(SocketAddr, SocketAddr)>) {
    let bytes = [head.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&bytes), Ok(Some(Preamble { addresses, length: head.len() })));
    for cut in 0..head.len() {
        assert_eq!(read(&bytes[..cut]), Ok(None), "after {cut} bytes");
    }
}

#[rstest]
#[case("GET / HTTP/1.1\r\n", Wrong::Signature)]
#[case("PRI * HTTP/2.0\r\n", Wrong::Signature)]
#[case("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Wrong::Signature)]
#[case("\r\nGET / HTTP/1.1\r\n", Wrong::Signature)]
#[case("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Wrong::Kind)]
#[case("PROXY \r\n", Wrong::Kind)]
#[case("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Wrong::Kind)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2  2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 ::1 ::2 1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", Wrong::Addresses)]
#[case("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n\r\n", Wrong::Addresses)]
fn wrong_lines(#[case] head: &str, #[case] wrong: Wrong) {
    assert_eq!(read(head.as_bytes()), Err(wrong));
}

#[test]
fn a_line_without_an_end_is_given_up_at_its_bound() {
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(600));
    assert_eq!(read(&endless.as_bytes()[..106]), Ok(None));
    assert_eq!(read(&endless.as_bytes()[..107]), Err(Wrong::Length));
    assert_eq!(read(format!("{}\r\n", &endless[..106]).as_bytes()), Err(Wrong::Length));
    assert!(read(format!("{}\r\n", &endless[..105]).as_bytes()).unwrap().is_some());
}

#[rstest]
#[case(0x21, 0x11, V4.to_vec(), sockets("198.51.100.1:4567", "192.0.2.1:443"))]
#[case(0x21, 0x11, [&V4[..], b"\x04\0\x02ab"].concat(), sockets("198.51.100.1:4567", "192.0.2.1:443"))]
#[case(0x21, 0x21, [&[0; 15][..], &[1], &[0; 15], &[2], &V4[8..]].concat(), sockets("[::1]:4567", "[::2]:443"))]
#[case(0x21, 0x31, vec![b'/'; 216], None)]
#[case(0x21, 0x00, vec![], None)]
#[case(0x20, 0x00, vec![], None)]
#[case(0x20, 0x11, V4.to_vec(), None)]
#[case(0x20, 0xff, vec![7; 520], None)]
#[case(0x20, 0xff, vec![7; 4096], None)]
fn binary_heads(
    #[case] command: u8,
    #[case] family: u8,
    #[case] block: Vec<u8>,
    #[case] addresses: Option<(SocketAddr, SocketAddr)>,
) {
    let head = binary_head(command, family, &block);
    let bytes = [&head[..], b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&bytes), Ok(Some(Preamble { addresses, length: head.len() })));
    for cut in 0..head.len() {
        assert_eq!(read(&bytes[..cut]), Ok(None), "after {cut} bytes");
    }
}

#[rstest]
#[case(0x11, 0x11, V4.to_vec(), Wrong::Kind)]
#[case(0x22, 0x11, V4.to_vec(), Wrong::Kind)]
#[case(0x21, 0x12, V4.to_vec(), Wrong::Kind)]
#[case(0x21, 0x41, V4.to_vec(), Wrong::Kind)]
#[case(0x21, 0x11, V4[..11].to_vec(), Wrong::Addresses)]
#[case(0x21, 0x21, V4.to_vec(), Wrong::Addresses)]
#[case(0x21, 0x31, vec![0; 215], Wrong::Addresses)]
#[case(0x21, 0x11, vec![0; 4097], Wrong::Length)]
#[case(0x20, 0x00, vec![0; 4097], Wrong::Length)]
fn wrong_binary_heads(#[case] command: u8, #[case] family: u8, #[case] block: Vec<u8>, #[case] wrong: Wrong) {
    let head = binary_head(command, family, &block);
    assert_eq!(read(&head), Err(wrong));
    assert_eq!(read(&head[..FIXED]), Err(wrong), "before its block has come");
}

proptest! {
    /// Whatever comes: no panic, never a wish for more than the bound, and once decided it stays so.
    #[test]
    fn hostile_bytes(begin in 0usize..4, tail in proptest::collection::vec(any::<u8>(), 0..600)) {
        let starts: [&[u8]; 4] = [b"", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"];
        let bytes = [starts[begin], &tail[..]].concat();
        let mut decided = None;
        for cut in 0..=bytes.len() {
            let now = read(&bytes[..cut]);
            match (&decided, &now) {
                (None, Ok(None)) => prop_assert!(cut < LONGEST),
                (None, _) => decided = Some(now),
                (Some(before), after) => prop_assert_eq!(before, after),
            }
        }
        if let Some(Ok(Some(preamble))) = decided {
            prop_assert!(preamble.length <= LONGEST && preamble.length <= bytes.len());
        }
    }

    #[test]
    fn what_balancers_write_is_read(source: [u8; 4], target: [u8; 4], from: u16, to: u16, tail: [u8; 9]) {
        let (source, target) = (Ipv4Addr::from(source), Ipv4Addr::from(target));
        let addresses = Some((SocketAddr::new(source.into(), from), SocketAddr::new(target.into(), to)));
        let line = format!("PROXY TCP4 {source} {target} {from} {to}\r\n");
        let block = [&source.octets()[..], &target.octets(), &from.to_be_bytes(), &to.to_be_bytes()].concat();
        for head in [line.into_bytes(), binary_head(0x21, 0x11, &block)] {
            let bytes = [&head[..], &tail].concat();
            prop_assert_eq!(read(&bytes), Ok(Some(Preamble { addresses, length: head.len() })));
        }
    }
}
