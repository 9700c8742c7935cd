//! As much of HTTP/1 as a server needs that gives every request the same kind of answer.

use std::io::{self, BufRead, Read as _};
use std::thread;
use std::time::Duration;

/// Most headers of a request.
const MOST_HEADERS: usize = 64;

/// Longest wait that a client can ask for, so that a slip does not hold a pod for days.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Whether a line, its end included, begins an HTTP request.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    String::from_utf8_lossy(line)
        .trim_end()
        .rsplit(' ')
        .next()
        .is_some_and(|word| matches!(word, "HTTP/1.0" | "HTTP/1.1"))
}

/// A request, its body skipped.
#[derive(Debug)]
pub(super) struct Request {
    path: String,
    is_head: bool,
    last: bool,
}

impl Request {
    /// Reads the rest of the request that begins with the line `head`.
    pub(super) fn read(
        mut head: Vec<u8>,
        reader: &mut impl BufRead,
        longest: u64,
    ) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut rest = reader.by_ref().take(longest);
        while !(head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
            if rest.read_until(b'\n', &mut head)? == 0 {
                return Err(invalid("request head without end".to_owned()));
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&head).map_err(|error| invalid(error.to_string()))?;
        let header = |name: &str| {
            let found = parsed.headers.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::to_ascii_lowercase)
        };
        let connection = header("connection").unwrap_or_default();
        let last = match parsed.version {
            Some(0) => !connection.contains("keep-alive"),
            _ => connection.contains("close"),
        };
        let body: u64 = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let request = Self {
            path: parsed.path.unwrap_or("/").to_owned(),
            is_head: parsed.method == Some("HEAD"),
            last,
        };
        io::copy(&mut reader.take(body), &mut io::sink())?;
        Ok(request)
    }

    /// What was asked for.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the connection ends with this request.
    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// Waits as long as the path says.
    pub(super) fn wait(&self) {
        thread::sleep(self.delay());
    }

    fn delay(&self) -> Duration {
        let number = self.path.strip_prefix("/delay/").and_then(|text| text.parse().ok());
        number.map_or(Duration::ZERO, Duration::from_millis).min(LONGEST_DELAY)
    }

    /// The whole response with `line` as its page.
    pub(super) fn respond(&self, line: &str) -> String {
        let connection = if self.last { "close" } else { "keep-alive" };
        let length = line.len() + 1;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n\r\n"
        );
        if self.is_head { head } else { format!("{head}{line}\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Request, String) {
        let mut reader = text.as_bytes();
        let mut head = Vec::new();
        reader.read_until(b'\n', &mut head).unwrap();
        assert!(is_request_line(&head), "{text:?}");
        let request = Request::read(head, &mut reader, 1 << 14).unwrap();
        (request, String::from_utf8_lossy(reader).into_owned())
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_header_say() {
        for (text, last) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", false),
        ] {
            assert_eq!(read(text).0.is_last(), last, "{text:?}");
        }
    }

    #[test]
    fn a_body_is_skipped_and_the_next_request_left() {
        let (request, rest) = read("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET");
        assert_eq!((request.path(), rest.as_str()), ("/a", "GET"));
        assert_eq!(read("GET /delay/20 HTTP/1.1\r\n\r\n").0.delay(), Duration::from_millis(20));
    }

    #[test]
    fn other_lines_are_no_requests() {
        for line in ["hello\n", "\n", "GET /\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert!(!is_request_line(line.as_bytes()), "{line:?}");
        }
    }
}
