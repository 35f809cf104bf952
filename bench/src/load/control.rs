//! A blocking connection for what comes before the load: who the server is, logging in, the nodes of a cluster.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use pinyon_base::{SLOT_COUNT, write_quoted};

use crate::load::settings::Settings;
use crate::load::wire::Address;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reply, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Error(String),
    Integer(i64),
    List(Vec<Reply>),
    Null,
}

impl Reply {
    fn text(&self) -> Option<&str> {
        if let Reply::Text(text) = self { Some(text) } else { None }
    }

    fn integer(&self) -> Option<i64> {
        if let Reply::Integer(number) = self { Some(*number) } else { None }
    }

    fn list(&self) -> Option<&[Reply]> {
        if let Reply::List(list) = self { Some(list) } else { None }
    }
}

/// A connection that waits for each reply.
#[derive(Debug)]
pub struct Control {
    /// TCP or unix: reading, writing and timeouts are the same for both.
    stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Control {
    /// # Errors
    /// Nobody listens, or the socket says something else.
    pub fn connect(address: &Address) -> io::Result<Control> {
        let stream = TcpStream::from(address.connect()?);
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Control { stream, buffer: Vec::new(), at: 0 })
    }

    /// The socket, with nothing unread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.stream.set_read_timeout(None)?;
        Ok(self.stream.into())
    }

    /// Sends one command of RESP and waits for its reply.
    ///
    /// # Errors
    /// The connection ended, or what came is no reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.stream.write_all(&bytes)?;
        self.reply()
    }

    /// The next reply.
    ///
    /// # Errors
    /// As for [`Control::call`].
    pub fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (first, text) = (line.chars().next().unwrap_or(' '), line.get(1..).unwrap_or(""));
        let count = || {
            let count = text.parse::<i64>().ok().filter(|count| (-1..=1 << 30).contains(count));
            count.ok_or_else(|| not_a_reply(&line))
        };
        Ok(match first {
            '+' | ',' | '(' | '#' => Reply::Text(text.to_owned()),
            '-' => Reply::Error(text.to_owned()),
            ':' => Reply::Integer(text.parse().map_err(|_| not_a_reply(&line))?),
            '_' => Reply::Null,
            '$' | '=' | '!' => match count()? {
                -1 => Reply::Null,
                length => {
                    let mut bytes = self.bytes(length as usize + 2)?;
                    bytes.truncate(length as usize);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if first == '!' { Reply::Error(text) } else { Reply::Text(text) }
                }
            },
            '*' | '~' | '>' | '%' => match count()? {
                -1 => Reply::Null,
                elements => {
                    let elements = if first == '%' { elements * 2 } else { elements };
                    Reply::List((0..elements).map(|_| self.reply()).collect::<io::Result<_>>()?)
                }
            },
            _ => return Err(not_a_reply(&line)),
        })
    }

    /// Sends a line of text as it is, and waits for one line.
    ///
    /// # Errors
    /// The connection ended.
    pub fn ask_line(&mut self, text: &str) -> io::Result<String> {
        self.stream.write_all(text.as_bytes())?;
        self.line()
    }

    /// Asks whether the server is there for us: it may have too many connections, or want a password.
    ///
    /// # Errors
    /// It is not; its words.
    pub fn check(&mut self, memcached: bool) -> io::Result<()> {
        if memcached {
            let line = self.ask_line("version\r\n")?;
            return if line.starts_with("VERSION ") { Ok(()) } else { Err(not_a_reply(&line)) };
        }
        match self.call(&["PING"])? {
            Reply::Error(text) => Err(refused(&text)),
            _ => Ok(()),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[self.at..]) {
                let line = &self.buffer[self.at..self.at + end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                self.at += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.at < length {
            self.fill()?;
        }
        let bytes = self.buffer[self.at..self.at + length].to_vec();
        self.at += length;
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            Ok(length) => {
                self.buffer.extend_from_slice(&chunk[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no reply came"))
            }
            Err(error) => Err(error),
        }
    }
}

fn refused(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("the server said: {text}"))
}

fn not_a_reply(line: &str) -> io::Error {
    let mut quoted = Vec::new();
    write_quoted(line.as_bytes(), &mut quoted);
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {}", String::from_utf8_lossy(&quoted)))
}

/// Appends a command in RESP.
pub fn encode<W: AsRef<[u8]>>(words: &[W], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// What a fresh connection says before the first request, and how many replies that brings.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    pub bytes: Vec<u8>,
    pub replies: u32,
}

impl Handshake {
    pub fn of(settings: &Settings) -> Handshake {
        let mut handshake = Handshake::default();
        if settings.memcached {
            return handshake;
        }
        let user = settings.user.as_deref().unwrap_or("default");
        match (&settings.password, settings.resp) {
            (Some(password), 3) => handshake.say(&["HELLO", "3", "AUTH", user, password]),
            (None, 3) => handshake.say(&["HELLO", "3"]),
            (Some(password), _) if settings.user.is_some() => handshake.say(&["AUTH", user, password]),
            (Some(password), _) => handshake.say(&["AUTH", password]),
            _ => {}
        }
        if settings.db != 0 {
            handshake.say(&["SELECT", &settings.db.to_string()]);
        }
        handshake
    }

    fn say(&mut self, words: &[&str]) {
        encode(words, &mut self.bytes);
        self.replies += 1;
    }

    /// Says it on a connection and waits for the replies.
    ///
    /// # Errors
    /// The connection ended, or the server refuses: its words.
    pub fn perform(&self, control: &mut Control) -> io::Result<()> {
        control.stream.write_all(&self.bytes)?;
        for _ in 0..self.replies {
            if let Reply::Error(text) = control.reply()? {
                return Err(refused(&text));
            }
        }
        Ok(())
    }
}

/// Who the server says it is ("valkey 9.1.2"); "unknown" where it does not tell.
pub fn version(control: &mut Control, memcached: bool) -> String {
    let version = if memcached {
        control
            .ask_line("version\r\n")
            .ok()
            .and_then(|line| Some(format!("memcached {}", line.strip_prefix("VERSION ")?)))
    } else {
        let info = control.call(&["INFO", "server"]);
        info.ok().and_then(|info| {
            let text = info.text()?.to_owned();
            ["pinyon", "dragonfly", "valkey", "redis"].iter().find_map(|name| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}_version:")))?;
                Some(format!("{name} {}", line.trim()))
            })
        })
    };
    version.unwrap_or_else(|| "unknown".to_owned())
}

/// The nodes of a cluster and who owns which slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    pub addresses: Vec<(String, u16)>,
    /// The number of the owner of each slot; `NOBODY` for a slot that is not served.
    pub owners: Vec<u16>,
}

/// No node.
pub const NOBODY: u16 = u16::MAX;

/// Asks a node for all of them. `host` stands in where they do not know their own name.
///
/// # Errors
/// The connection ended, or the server has no cluster to tell of.
pub fn nodes(control: &mut Control, host: &str) -> io::Result<Nodes> {
    let reply = control.call(&["CLUSTER", "SLOTS"])?;
    match &reply {
        Reply::Error(text) => Err(io::Error::other(format!("CLUSTER SLOTS: the server said: {text}"))),
        _ => read_nodes(&reply, host).ok_or_else(|| io::Error::other("CLUSTER SLOTS: not understood")),
    }
}

fn read_nodes(reply: &Reply, host: &str) -> Option<Nodes> {
    let mut nodes = Nodes { addresses: Vec::new(), owners: vec![NOBODY; usize::from(SLOT_COUNT)] };
    for range in reply.list()? {
        let [first, last, primary, ..] = range.list()? else { return None };
        let [name, port, ..] = primary.list()? else { return None };
        let name = name.text().filter(|name| !name.is_empty() && *name != "?").unwrap_or(host);
        let address = (name.to_owned(), u16::try_from(port.integer()?).ok()?);
        let node = match nodes.addresses.iter().position(|known| *known == address) {
            Some(node) => node,
            None => {
                nodes.addresses.push(address);
                nodes.addresses.len() - 1
            }
        };
        let (first, last) = (usize::try_from(first.integer()?).ok()?, usize::try_from(last.integer()?).ok()?);
        nodes.owners.get_mut(first..=last)?.fill(node as u16);
    }
    if nodes.addresses.is_empty() { None } else { Some(nodes) }
}

/// The slot and the new owner of a `MOVED 3999 127.0.0.1:6381`.
pub fn read_moved(text: &[u8]) -> Option<(usize, &str)> {
    let mut words = std::str::from_utf8(text).ok()?.strip_prefix("MOVED ")?.split(' ');
    let slot = words.next()?.parse().ok().filter(|slot| *slot < usize::from(SLOT_COUNT))?;
    Some((slot, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that says `bytes` and then closes.
    fn said(bytes: &'static [u8]) -> Control {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let control = Control::connect(&address).unwrap();
        listener.accept().unwrap().0.write_all(bytes).unwrap();
        control
    }

    #[test]
    fn nodes_are_read_with_their_slots() {
        let mut control = said(b"*3\r\n*3\r\n:0\r\n:99\r\n*3\r\n$9\r\n127.0.0.1\r\n:7001\r\n$1\r\na\r\n*4\r\n:100\r\n:16383\r\n*4\r\n$0\r\n\r\n:7002\r\n$1\r\nb\r\n*0\r\n*2\r\n$1\r\nx\r\n:1\r\n*3\r\n:5\r\n:5\r\n*2\r\n_\r\n:7002\r\n");
        let nodes = read_nodes(&control.reply().unwrap(), "here").unwrap();
        assert_eq!(nodes.addresses, [("127.0.0.1".to_owned(), 7001), ("here".to_owned(), 7002)]);
        let slots = [0, 4, 5, 6, 99, 100, 16383].map(|slot: usize| nodes.owners[slot]);
        assert_eq!(slots, [0, 0, 1, 0, 0, 1, 1]);
        assert_eq!(control.reply().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read_nodes(&Reply::List(Vec::new()), "here"), None);
        assert_eq!(read_nodes(&Reply::Null, "here"), None);
    }

    #[test]
    fn moved_names_slot_and_node() {
        assert_eq!(read_moved(b"MOVED 3999 127.0.0.1:6381"), Some((3999, "127.0.0.1:6381")));
        for text in ["MOVED", "MOVED x y", "MOVED 16384 a:1", "ERR no", "MOVED 1"] {
            assert_eq!(read_moved(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [&b"hello\r\n"[..], b"$x\r\n", b"*9999999999\r\n", b":x\r\n", b"$5\r\nab"] {
            assert!(said(bytes).reply().is_err());
        }
    }

    #[test]
    fn handshakes_say_what_is_needed() {
        let text = |options: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (name, value) in options {
                settings.set(name, value).unwrap();
            }
            let handshake = Handshake::of(&settings);
            (String::from_utf8(handshake.bytes).unwrap(), handshake.replies)
        };
        assert_eq!(text(&[]), (String::new(), 0));
        assert_eq!(
            text(&[("resp", "3"), ("db", "2")]),
            ("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n".to_owned(), 2)
        );
        assert_eq!(text(&[("password", "p")]), ("*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n".to_owned(), 1));
        assert_eq!(text(&[("password", "p"), ("user", "u"), ("resp", "3")]).0.matches("AUTH").count(), 1);
        assert_eq!(text(&[("memcached", "yes")]).1, 0);
    }
}
