//! DEBUG PROTOCOL: a sample of each type of reply, for authors of clients.

use pinyon_engine::CommandError;
use pinyon_resp::{Proto, Writer};

use crate::commands::{Call, Result};
use crate::core::{Core, Io};

const UNKNOWN: CommandError = CommandError::text(
    "ERR Wrong protocol type name. Please use one of the following: \
     string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
);

pub(super) fn protocol(core: &mut Core, io: &mut Io, call: &Call<'_>) -> Result {
    let proto = core.sessions.get(call.conn).map_or(Proto::Resp2, |session| session.proto);
    let name = call.args.get(2).to_ascii_lowercase();
    if name == b"push" && proto == Proto::Resp2 {
        return Err(CommandError::text("ERR RESP2 is not supported by this command"));
    }
    let write = sample(&name).ok_or(UNKNOWN)?;
    core.reply(io, call.conn, write);
    Ok(())
}

type Sample = fn(&mut Writer<'_>);

// The double is Redis's sample, not an approximation of anything.
#[allow(clippy::approx_constant)]
fn sample(name: &[u8]) -> Option<Sample> {
    Some(match name {
        b"string" => |out| out.bulk(b"Hello World"),
        b"integer" => |out| out.int(12345),
        b"double" => |out| out.double(3.141),
        b"bignum" => |out| out.big_number(b"1234567999999999999999999999999999999"),
        b"null" => |out| out.null(),
        b"array" => |out| {
            out.array(3);
            (0..3).for_each(|n| out.int(n));
        },
        b"set" => |out| {
            out.set(3);
            (0..3).for_each(|n| out.int(n));
        },
        b"map" => |out| {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.bool(n == 1);
            }
        },
        b"attrib" => |out| {
            if out.proto == Proto::Resp3 {
                out.raw(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        },
        b"push" => |out| {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            // Not part of the message: the reply to the command.
            out.bulk(b"Some real reply following the push reply");
        },
        b"verbatim" => |out| out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => |out| out.bool(true),
        b"false" => |out| out.bool(false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use pinyon_resp::Output;

    use super::*;

    fn shown(name: &str, proto: Proto) -> String {
        let mut out = Output::default();
        sample(name.as_bytes()).unwrap()(&mut Writer { out: &mut out, proto });
        String::from_utf8(out.pieces().collect::<Vec<_>>().concat()).unwrap()
    }

    /// Asked of redis-server 7.0.15.
    #[test]
    fn samples() {
        for (name, resp2, resp3) in [
            ("string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"),
            ("integer", ":12345\r\n", ":12345\r\n"),
            ("double", "$5\r\n3.141\r\n", ",3.141\r\n"),
            ("null", "$-1\r\n", "_\r\n"),
            ("array", "*3\r\n:0\r\n:1\r\n:2\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n"),
            ("set", "*3\r\n:0\r\n:1\r\n:2\r\n", "~3\r\n:0\r\n:1\r\n:2\r\n"),
            ("map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
            (
                "attrib",
                "$39\r\nSome real reply following the attribute\r\n",
                "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
            ),
            ("verbatim", "$25\r\nThis is a verbatim\nstring\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n"),
            ("true", ":1\r\n", "#t\r\n"),
            ("false", ":0\r\n", "#f\r\n"),
        ] {
            assert_eq!(
                (shown(name, Proto::Resp2).as_str(), shown(name, Proto::Resp3).as_str()),
                (resp2, resp3),
                "{name}"
            );
        }
        let push = ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n";
        assert_eq!(shown("push", Proto::Resp3), push);
        assert!(sample(b"foo").is_none());
    }
}
