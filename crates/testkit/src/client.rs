//! A blocking client for tests: one request at a time, pipelines, and raw bytes for what no client would send.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use pinyon_base::split_args;

use crate::Value;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// A port of this machine.
    pub fn local(port: u16) -> Address {
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// How long a reply may take before a test gives up on it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Bytes received and not yet decoded, from `at` on.
    buffer: Vec<u8>,
    at: usize,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}

impl Client {
    pub fn connect(address: &Address) -> io::Result<Client> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.set_timeout(TIMEOUT)?;
        Ok(Client { stream, buffer: Vec::new(), at: 0 })
    }

    /// How long to wait for bytes before `TimedOut` or `WouldBlock`; 20 s at first.
    pub fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_timeout(timeout)
    }

    /// Sends one command and returns its reply. An error reply is a value too.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args)?;
        self.receive()
    }

    /// [`Client::call`] with a command as typed into redis-cli.
    pub fn line(&mut self, line: &str) -> io::Result<Value> {
        let args = split_args(line.as_bytes())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("unbalanced quotes: {line}")))?;
        self.call(&args)
    }

    /// Sends commands, all at once, and returns their replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> io::Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for args in commands {
            encode(args, &mut bytes);
        }
        self.send_raw(&bytes)?;
        commands.iter().map(|_| self.receive()).collect()
    }

    /// Switches to RESP3.
    pub fn hello3(&mut self) -> io::Result<Value> {
        self.call(&["HELLO", "3"])
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(args, &mut bytes);
        self.send_raw(&bytes)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply or push message.
    pub fn receive(&mut self) -> io::Result<Value> {
        self.receive_with_bytes().map(|(value, _)| value)
    }

    /// The next reply, and the bytes that it came in.
    pub fn receive_with_bytes(&mut self) -> io::Result<(Value, Vec<u8>)> {
        loop {
            let pending = &self.buffer[self.at..];
            match Value::decode(pending) {
                Ok(Some((value, length))) => {
                    let bytes = pending[..length].to_vec();
                    self.consume(length);
                    return Ok((value, bytes));
                }
                Ok(None) => self.fill()?,
                Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
            }
        }
    }

    /// Exactly `length` bytes, whatever they mean.
    pub fn receive_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() - self.at < length {
            self.fill()?;
        }
        let bytes = self.buffer[self.at..self.at + length].to_vec();
        self.consume(length);
        Ok(bytes)
    }

    /// All bytes until the server closes the connection (a reset ends them, too).
    pub fn receive_to_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                    let at = std::mem::take(&mut self.at);
                    return Ok(std::mem::take(&mut self.buffer).split_off(at));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What arrives within `wait` when nothing may arrive at all: None when nothing did.
    pub fn receive_within(&mut self, wait: Duration) -> io::Result<Option<Value>> {
        self.set_timeout(wait)?;
        let received = self.receive();
        self.set_timeout(TIMEOUT)?;
        match received {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says that nothing more will be sent; replies may still come.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
    }

    /// Reads at least one byte more.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            length => {
                self.buffer.extend_from_slice(&chunk[..length]);
                Ok(())
            }
        }
    }
}

/// Appends a command as clients send it.
pub(crate) fn encode<A: AsRef<[u8]>>(args: &[A], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
}
