//! Attacks before the first message.

use std::io::Write;
use std::os::unix::net::UnixStream;

use mitogen_service::{ConnectKind, Error, Router, testing};

use super::peer::{FEATURE_CANCEL, MARKER, Stranger, hello, hello_with, pack};
use super::{Everyone, alone};

/// What whoever wanted to connect is told about a child that begins with these bytes and closes then.
fn refusal(router: &Router, bytes: &[u8]) -> String {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    match testing::join(router, "stranger", ours) {
        Err(Error::Connect { context, kind: ConnectKind::Protocol { what }, .. }) => {
            assert_eq!(context, "stranger");
            what
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_that_is_none_is_an_error_that_says_why() {
    alone("hello::a_hello_that_is_none_is_an_error_that_says_why", || {
        let everyone = Everyone::new();
        let good = hello(FEATURE_CANCEL);
        let with = |body: &[u8]| hello_with(1, 0, body);
        let announced = [b"MGSV\0\x01\0\0\0\0\0\0", &[0xff; 4][..]].concat();
        let just_too_large = [b"MGSV\0\x01\0\0\0\0\0\0", &65_537_u32.to_be_bytes()[..]].concat();
        let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
            ("nothing", vec![], &["has closed before it said hello"]),
            ("half a head", good[..9].to_vec(), &["has closed before it said hello"]),
            ("half a body", good[..good.len() - 1].to_vec(), &["has closed before it said hello"]),
            (
                "a banner",
                b"Welcome to Debian GNU/Linux!\n".to_vec(),
                &["does not speak the protocol", "Welcome to Debia"],
            ),
            ("terminal codes", b"\x1b[2J\x07\0\0\0\0\0\0\0\0\0\0".to_vec(), &["does not speak the protocol", "\\x1b"]),
            ("version 2", hello_with(2, 0, &[]), &["protocol versions differ", "speaks version 1", "end version 2"]),
            ("version 65535", hello_with(65_535, 0, &[]), &["protocol versions differ", "version 65535"]),
            ("4 GiB announced", announced, &["a hello of 4294967295 bytes", "65536"]),
            ("one byte too many", just_too_large, &["a hello of 65537 bytes", "65536"]),
            ("an empty body", with(&[]), &["cannot be read"]),
            ("a body of noise", with(&[0xc1; 64]), &["cannot be read"]),
            ("a body that is an array", with(&pack(&[1, 2])), &["cannot be read"]),
            ("a map of 2^32", with(b"\xdf\xff\xff\xff\xff"), &["cannot be read"]),
            ("a body too deep", with(&[0x91; 300]), &["cannot be read"]),
            ("no pid", with(b"\x81\xa9encodings\x91\xcd\x4d\x50"), &["cannot be read"]),
            ("no encodings", with(b"\x81\xa3pid\x01"), &["cannot be read"]),
            ("only pickles", with(b"\x82\xa9encodings\x91\xcd\x4d\x4a\xa3pid\x01"), &["no common encoding", "4d50"]),
            ("a text in front", [MARKER.as_bytes(), &good].concat(), &["does not speak the protocol"]),
        ];
        for (name, bytes, texts) in cases {
            let what = refusal(everyone.router(), &bytes);
            assert!(texts.iter().all(|text| what.contains(text)), "{name}: {what}");
            assert!(!what.contains('\x1b'), "{name}: {what:?} would act on a terminal");
        }
        assert_eq!(everyone.router().children().len(), 2, "nobody has joined");
        // What follows the hello at once is the first message, and does not get lost.
        Stranger::join(everyone.router(), "honest").assert_unanswered();
        everyone.finish();
    });
}

/// Unknown keys, features and encodings are for later versions; a child may say all of them.
#[test]
fn a_hello_with_much_that_is_unknown_is_taken() {
    alone("hello::a_hello_with_much_that_is_unknown_is_taken", || {
        let router = Router::builder().build().unwrap();
        let mut body = b"\x84\xa9encodings\x93\xcd\x4d\x50\xcd\xff\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
        body.extend_from_slice(b"\xa3pid\x01\xa7unknown\x92\x01\x80\xaacontext_id\xc0");
        // A child that says an id without the rest is not understood.
        assert!(refusal(&router, &hello_with(1, u32::MAX, &body)).contains("cannot be read"));
        body[0] = 0x83;
        body.truncate(body.len() - 12);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&hello_with(1, u32::MAX, &body)).unwrap();
        assert!(testing::join(&router, "later", ours).unwrap().is_connected());
    });
}
