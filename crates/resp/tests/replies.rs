//! The bytes of replies in both protocols, and outputs with shared values among them. Compared with redis-server 7.0.15's
//! DEBUG PROTOCOL and with its commands' replies.

use std::sync::Arc;

use pinyon_resp::{Output, Proto, ProtocolError, Writer};
use proptest::prelude::*;

fn written(proto: Proto, write: impl Fn(&mut Writer<'_>)) -> String {
    let mut out = Output::default();
    write(&mut Writer { out: &mut out, proto });
    let bytes: Vec<u8> = out.pieces().flatten().copied().collect();
    assert_eq!(bytes.len(), out.len());
    bytes.escape_ascii().to_string()
}

/// Asserts the reply in RESP2 and RESP3.
fn check(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
    let text = |s: &str| s.as_bytes().escape_ascii().to_string();
    assert_eq!(written(Proto::Resp2, &write), text(resp2));
    assert_eq!(written(Proto::Resp3, &write), text(resp3));
}

fn check_same(write: impl Fn(&mut Writer<'_>), reply: &str) {
    check(write, reply, reply);
}

#[test]
fn replies_that_both_protocols_share() {
    check_same(|w| w.ok(), "+OK\r\n");
    check_same(|w| w.simple("PONG"), "+PONG\r\n");
    check_same(|w| w.int(7), ":7\r\n");
    check_same(|w| w.int(-7), ":-7\r\n");
    check_same(|w| w.int(i64::MIN), ":-9223372036854775808\r\n");
    check_same(|w| w.bulk(b""), "$0\r\n\r\n");
    check_same(|w| w.bulk(&[b'x'; 9]), "$9\r\nxxxxxxxxx\r\n");
    check_same(|w| w.bulk(&[b'x'; 10]), "$10\r\nxxxxxxxxxx\r\n");
    check_same(|w| w.bulk(&[b'x'; 100]), &format!("$100\r\n{}\r\n", "x".repeat(100)));
    check_same(|w| w.bulk_str("a\r\nb"), "$4\r\na\r\nb\r\n");
    check_same(|w| w.bulk_int(0), "$1\r\n0\r\n");
    check_same(|w| w.bulk_int(-123456789), "$10\r\n-123456789\r\n");
    check_same(|w| w.bulk_int(i64::MAX), "$19\r\n9223372036854775807\r\n");
    check_same(|w| w.array(0), "*0\r\n");
    check_same(|w| w.array(12), "*12\r\n");
    check_same(|w| w.raw(b"*1\r\n:1\r\n"), "*1\r\n:1\r\n");
}

#[test]
fn replies_that_the_protocols_spell_differently() {
    check(|w| w.null(), "$-1\r\n", "_\r\n");
    check(|w| w.null_array(), "*-1\r\n", "_\r\n");
    check(|w| w.map(3), "*6\r\n", "%3\r\n");
    check(|w| w.map(7), "*14\r\n", "%7\r\n");
    check(|w| w.set(3), "*3\r\n", "~3\r\n");
    check(|w| w.push(2), "*2\r\n", ">2\r\n");
    check(|w| w.bool(true), ":1\r\n", "#t\r\n");
    check(|w| w.bool(false), ":0\r\n", "#f\r\n");
    check(|w| w.double(2.5), "$3\r\n2.5\r\n", ",2.5\r\n");
    check(|w| w.double(3.0), "$1\r\n3\r\n", ",3\r\n");
    check(|w| w.double(-0.0), "$2\r\n-0\r\n", ",-0\r\n");
    check(|w| w.double(1e15), "$16\r\n1000000000000000\r\n", ",1000000000000000\r\n");
    check(|w| w.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n");
    check(|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    check(|w| w.verbatim("txt", b"abc"), "$3\r\nabc\r\n", "=7\r\ntxt:abc\r\n");
    check(|w| w.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n");
}

#[test]
fn errors_stay_on_one_line() {
    check_same(|w| w.error("ERR syntax error"), "-ERR syntax error\r\n");
    check_same(|w| w.error("ERR got 'a\r\nb'\r\n"), "-ERR got 'a  b'\r\n");
    check_same(
        |w| w.protocol_error(&ProtocolError::ExpectedBulk(b'f')),
        "-ERR Protocol error: expected '$', got 'f'\r\n",
    );
    check_same(
        |w| w.protocol_error(&ProtocolError::ExpectedBulk(b'\r')),
        "-ERR Protocol error: expected '$', got ' '\r\n",
    );
    assert_eq!(
        written(Proto::Resp2, |w| w.protocol_error(&ProtocolError::ExpectedBulk(0xff))),
        "-ERR Protocol error: expected \\'$\\', got \\'\\xff\\'\\r\\n"
    );
}

#[test]
fn an_empty_output_owns_no_memory() {
    let mut out = Output::default();
    assert_eq!((out.capacity(), out.len(), out.pieces().count()), (0, 0, 0));
    out.bytes_mut().extend_from_slice(&[0; 100]);
    out.clear();
    assert!(out.is_empty() && out.capacity() >= 100);
    out.shrink_to(0);
    assert_eq!(out.capacity(), 0);
}

#[test]
fn shared_values_are_sent_in_place_and_not_copied() {
    let blob = Arc::new(vec![b'v'; 10_000]);
    let mut out = Output::default();
    let mut writer = Writer { out: &mut out, proto: Proto::Resp2 };
    writer.ok();
    writer.bulk_blob(&blob);
    writer.bulk_blob(&blob);
    writer.int(1);
    let pieces: Vec<&[u8]> = out.pieces().collect();
    assert_eq!(pieces.len(), 5);
    assert_eq!(pieces[1].as_ptr(), blob.as_ptr());
    assert_eq!(pieces[2], b"\r\n$10000\r\n");
    assert!(out.has_blobs() && out.capacity() < 1000);
    assert_eq!(Arc::strong_count(&blob), 3);
    out.clear();
    assert_eq!(Arc::strong_count(&blob), 1);
}

/// Bytes and shared values in any order.
fn parts() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..8)), 0..8)
}

fn filled(parts: &[(bool, Vec<u8>)]) -> Output {
    let mut out = Output::default();
    for (shared, bytes) in parts {
        if *shared {
            out.push_blob(Arc::new(bytes.clone()));
        } else {
            out.bytes_mut().extend_from_slice(bytes);
        }
    }
    out
}

proptest! {
    #[test]
    fn appended_outputs_keep_their_order(a in parts(), b in parts(), skip in 0usize..40) {
        let expected: Vec<u8> = a.iter().chain(&b).flat_map(|(_, bytes)| bytes.clone()).collect();
        let (mut out, mut rest) = (filled(&a), filled(&b));
        out.append(&mut rest);
        prop_assert!(rest.is_empty() && !rest.has_blobs());
        prop_assert_eq!(out.len(), expected.len());
        prop_assert_eq!(&out.pieces().flatten().copied().collect::<Vec<u8>>(), &expected);
        prop_assert!(out.pieces().all(|piece| !piece.is_empty()));
        let unsent: Vec<u8> = out.pieces_from(skip).flatten().copied().collect();
        prop_assert_eq!(&unsent[..], &expected[skip.min(expected.len())..]);
    }

    #[test]
    fn what_is_copied_stays(a in parts(), b in parts()) {
        let expected: Vec<u8> = a.iter().chain(&b).flat_map(|(_, bytes)| bytes.clone()).collect();
        let (mut out, other) = (filled(&a), filled(&b));
        out.extend(&other);
        prop_assert_eq!(out.len(), expected.len());
        prop_assert_eq!(&out.pieces().flatten().copied().collect::<Vec<u8>>(), &expected);
        let kept: Vec<u8> = b.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        prop_assert_eq!(&other.pieces().flatten().copied().collect::<Vec<u8>>(), &kept);
    }
}
