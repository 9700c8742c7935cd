//! Lines of JSON over a unix stream, with file descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most descriptors that a line may bring along: the standard streams of one command.
const MOST_DESCRIPTORS: usize = 3;

/// Longest line: a generous bound for a text of manifests.
const LONGEST_LINE: usize = 64 << 20;

/// One end of a conversation.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// One line and what came along with it.
#[derive(Debug)]
pub(crate) struct Message<T> {
    /// What the line said.
    pub(crate) value: T,
    /// The descriptors that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Wire {
    /// Speaks over `stream`.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), descriptors: Vec::new() }
    }

    /// The stream below, for polling.
    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends one line with `descriptors`.
    pub(crate) fn send(
        &mut self,
        value: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let _fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = sendmsg(
            self.stream.as_fd(),
            &[IoSlice::new(&line)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        self.stream.write_all(&line[sent..])
    }

    /// Waits for the next line; `None` when the other end has closed.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Message<T>>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let value = serde_json::from_slice(&line)?;
                return Ok(Some(Message {
                    value,
                    descriptors: std::mem::take(&mut self.descriptors),
                }));
            }
            if self.received.len() > LONGEST_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads what is there, descriptors included.
    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 64 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(self.stream.as_fd(), &mut slices, &mut ancillary, flags) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        for item in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = item {
                self.descriptors.extend(descriptors);
            }
        }
        self.received.extend_from_slice(&buffer[..message.bytes]);
        Ok(message.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_line_arrives_with_its_descriptors() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut left, mut right) = (Wire::new(left), Wire::new(right));
        let (mut reader, writer) = io::pipe().unwrap();
        left.send(&"first", &[writer.as_fd()]).unwrap();
        left.send(&"second", &[]).unwrap();
        drop((left, writer));

        let first = right.receive::<String>().unwrap().unwrap();
        assert_eq!(first.value, "first");
        let mut file = std::fs::File::from(first.descriptors.into_iter().next().unwrap());
        file.write_all(b"through").unwrap();
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");

        let second = right.receive::<String>().unwrap().unwrap();
        assert_eq!((second.value.as_str(), second.descriptors.len()), ("second", 0));
        assert!(right.receive::<String>().unwrap().is_none());
    }
}
