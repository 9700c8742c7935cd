//! The head and the body of an HTTP answer, as a stream.

use std::io::{self, BufRead, ErrorKind, Read};

/// What the head of an answer says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    framing: Framing,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(usize),
    /// So many bytes of this chunk are left, and other chunks may follow.
    Chunk(usize),
    /// By the end of the connection.
    Connection,
    /// It has come.
    Ended,
}

impl Head {
    /// Reads the head up to the empty line.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let first = line(reader)?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| invalid(&first))?;
        let mut framing = Framing::Connection;
        loop {
            let field = line(reader)?;
            if field.is_empty() {
                return Ok(Self { status, framing });
            }
            let (name, value) = field.split_once(':').ok_or_else(|| invalid(&field))?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") && framing == Framing::Connection {
                framing = Framing::Length(value.parse().map_err(|_error| invalid(&field))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunk(0);
            }
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body<R> {
    reader: R,
    framing: Framing,
}

impl<R: BufRead> Body<R> {
    /// The body that follows `head` in `reader`.
    pub(super) fn new(reader: R, head: Head) -> Self {
        Self { reader, framing: head.framing }
    }

    /// Opens the next chunk where one is read to its end.
    fn next_chunk(&mut self) -> io::Result<()> {
        let text = line(&mut self.reader)?;
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_error| invalid(&text))?;
        // Fields after the last chunk say nothing that anybody here asks.
        self.framing = if size == 0 { Framing::Ended } else { Framing::Chunk(size) };
        Ok(())
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunk(0) {
            self.next_chunk()?;
        }
        let most = match self.framing {
            Framing::Length(left) | Framing::Chunk(left) => left.min(buffer.len()),
            Framing::Connection => buffer.len(),
            Framing::Ended => 0,
        };
        let read = self.reader.read(&mut buffer[..most])?;
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunk(left) if read == 0 && *left > 0 && most > 0 => {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            Framing::Length(left) => *left -= read,
            Framing::Chunk(left) => {
                *left -= read;
                if *left == 0 && read > 0 {
                    line(&mut self.reader)?;
                }
            }
            Framing::Connection | Framing::Ended => {}
        }
        Ok(read)
    }
}

/// A line without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if reader.read_line(&mut text)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{text:?} is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> io::Result<(u16, String)> {
        let mut reader = answer.as_bytes();
        let head = Head::read(&mut reader)?;
        let mut text = String::new();
        Body::new(reader, head).read_to_string(&mut text)?;
        Ok((head.status, text))
    }

    #[test]
    fn a_body_ends_as_its_head_says() {
        let rows = [
            ("length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", 200, "abc"),
            ("no body", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, ""),
            ("connection", "HTTP/1.1 200 OK\r\n\r\nabcd", 200, "abcd"),
            (
                "chunks",
                "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                201,
                "abc0123456789",
            ),
        ];
        for (name, answer, status, text) in rows {
            assert_eq!(read(answer).expect(name), (status, text.to_owned()), "{name}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_answer() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            "hello\r\n\r\n",
        ] {
            assert!(read(answer).is_err(), "{answer:?}");
        }
    }
}
