//! Reading HTTP/1.1 responses from bytes that arrive in arbitrary pieces.
//!
//! No I/O here. [`parse_head`] looks at what has arrived so far, [`BodyDecoder`] turns the bytes
//! after the head into body bytes. Both accept any split of the stream and never panic, whatever
//! the server sends.

/// The largest response head that is accepted, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The largest chunk-size or trailer line that is accepted, in bytes.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Bytes that are not an HTTP/1.1 response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first line is not `HTTP/1.x NNN ...`.
    #[error("the answer does not begin like HTTP/1.1: {0:?}")]
    StatusLine(String),
    /// `Content-Length` is not a number.
    #[error("content-length is not a number: {0:?}")]
    ContentLength(String),
    /// A chunk's size line is not a hexadecimal number.
    #[error("chunk size is not a hexadecimal number: {0:?}")]
    ChunkSize(String),
    /// A chunk is not followed by CR LF.
    #[error("a chunk does not end with CR LF")]
    ChunkEnd,
    /// The head or a line within the body is longer than allowed.
    #[error("a head or line is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit that was passed.
        limit_bytes: usize,
    },
}

/// What a load generator needs to know of a response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Length`.
    pub content_length: Option<u64>,
    /// The body is in chunks.
    pub chunked: bool,
    /// The server closes the connection after this response.
    pub close: bool,
    /// The `ETag` as sent, quotes included; empty when absent.
    pub etag: String,
}

/// Parses the head at the start of `bytes`; returns it with its length in bytes, or `None` while
/// its end has not arrived.
///
/// # Errors
/// [`ProtocolError`] when this can't become a response: the connection is of no further use.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, ProtocolError> {
    let Some(end) = find_head_end(bytes) else {
        if bytes.len() >= MAX_HEAD_BYTES {
            return Err(ProtocolError::TooLong {
                limit_bytes: MAX_HEAD_BYTES,
            });
        }
        return Ok(None);
    };
    let mut lines = bytes[..end]
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let mut head = parse_status_line(lines.next().unwrap_or_default())?;
    for line in lines {
        apply_header(&mut head, line)?;
    }
    Ok(Some((head, end)))
}

/// The length of the head with its empty line.
fn find_head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'\r') {
        let at = from + at;
        if bytes[at..].starts_with(b"\r\n\r\n") {
            return Some(at + 4);
        }
        from = at + 1;
    }
    None
}

fn parse_status_line(line: &[u8]) -> Result<ResponseHead, ProtocolError> {
    let bad = || ProtocolError::StatusLine(shorten(line));
    let rest = line.strip_prefix(b"HTTP/1.").ok_or_else(bad)?;
    let (minor, rest) = rest.split_at_checked(2).ok_or_else(bad)?;
    let status = std::str::from_utf8(rest.get(..3).ok_or_else(bad)?).map_err(|_| bad())?;
    let status: u16 = status.parse().map_err(|_| bad())?;
    if !(100..=999).contains(&status) || rest.get(3).is_some_and(|byte| *byte != b' ') {
        return Err(bad());
    }
    Ok(ResponseHead {
        status,
        content_length: None,
        chunked: false,
        close: minor == b"0 ",
        etag: String::new(),
    })
}

fn apply_header(head: &mut ResponseHead, line: &[u8]) -> Result<(), ProtocolError> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Ok(());
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    // The length settles most headers without comparing text.
    match name.len() {
        14 if name.eq_ignore_ascii_case(b"content-length") => {
            let text = std::str::from_utf8(value)
                .ok()
                .filter(|text| !text.starts_with('+'));
            let length = text.and_then(|text| text.parse().ok());
            let length = length.ok_or_else(|| ProtocolError::ContentLength(shorten(value)))?;
            head.content_length = Some(length);
        }
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
            head.chunked = value.eq_ignore_ascii_case(b"chunked");
        }
        10 if name.eq_ignore_ascii_case(b"connection") => {
            head.close = value.eq_ignore_ascii_case(b"close");
        }
        4 if name.eq_ignore_ascii_case(b"etag") => {
            head.etag = String::from_utf8_lossy(value).into_owned();
        }
        _ => {}
    }
    Ok(())
}

fn shorten(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

/// Turns the bytes after a head into the bytes of the body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many bytes are still to come.
    Length(u64),
    /// All until the connection closes.
    UntilClose,
    /// Within a chunk's size line.
    ChunkSize,
    /// Within a chunk, this many bytes to come.
    ChunkData(u64),
    /// CR LF after a chunk.
    ChunkEnd,
    /// Trailer lines after the last chunk.
    Trailers,
    Done,
}

impl BodyDecoder {
    /// The decoder for the body that follows `head`; `to_head_request` says that the request
    /// was a HEAD, whose response has no body whatever its head says.
    pub fn new(head: &ResponseHead, to_head_request: bool) -> Self {
        let bodiless = to_head_request || head.status < 200 || matches!(head.status, 204 | 304);
        let state = match head.content_length {
            _ if bodiless => State::Done,
            _ if head.chunked => State::ChunkSize,
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::UntilClose,
        };
        Self {
            state,
            line: Vec::new(),
        }
    }

    /// True when the whole body has been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// True when the end of the connection is a proper end of the body.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Takes what it can from `input`, hands body bytes to `sink`, returns how many bytes of
    /// `input` were used: all of it, except for what follows the end of the body.
    ///
    /// # Errors
    /// [`ProtocolError`] when the chunk framing is broken: the connection is of no further use.
    pub fn feed(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, ProtocolError> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            used += self.step(&input[used..], &mut sink)?;
        }
        Ok(used)
    }

    fn step(&mut self, input: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize, ProtocolError> {
        match self.state {
            State::Length(left) => {
                let taken = take(input, left, sink);
                let left = left - taken as u64;
                self.state = if left == 0 {
                    State::Done
                } else {
                    State::Length(left)
                };
                Ok(taken)
            }
            State::UntilClose => {
                sink(input);
                Ok(input.len())
            }
            State::ChunkData(left) => {
                let taken = take(input, left, sink);
                let left = left - taken as u64;
                self.state = if left == 0 {
                    State::ChunkEnd
                } else {
                    State::ChunkData(left)
                };
                Ok(taken)
            }
            State::ChunkSize | State::ChunkEnd | State::Trailers => self.take_line(input),
            State::Done => Ok(0),
        }
    }

    /// Gathers bytes of a line until its LF, then acts on the line.
    fn take_line(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |at| at + 1);
        if self.line.len() + taken > MAX_LINE_BYTES {
            return Err(ProtocolError::TooLong {
                limit_bytes: MAX_LINE_BYTES,
            });
        }
        self.line.extend_from_slice(&input[..taken]);
        if end.is_some() {
            self.state = self.after_line()?;
            self.line.clear();
        }
        Ok(taken)
    }

    fn after_line(&self) -> Result<State, ProtocolError> {
        let line = self.line.trim_ascii_end();
        match self.state {
            State::ChunkSize => match parse_chunk_size(line)? {
                0 => Ok(State::Trailers),
                size => Ok(State::ChunkData(size)),
            },
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
            State::ChunkEnd => Err(ProtocolError::ChunkEnd),
            State::Trailers if line.is_empty() => Ok(State::Done),
            state => Ok(state),
        }
    }
}

fn take(input: &[u8], left: u64, sink: &mut impl FnMut(&[u8])) -> usize {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    sink(&input[..taken]);
    taken
}

fn parse_chunk_size(line: &[u8]) -> Result<u64, ProtocolError> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| !text.starts_with('+'));
    let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    size.ok_or_else(|| ProtocolError::ChunkSize(shorten(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &[u8] =
        b"HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 ";
    const CHUNKED: &[u8] = b"HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-trailer: 1\r\n\r\nnext";

    /// Reads one response whose bytes arrive in pieces that end at `cuts`.
    fn read(bytes: &[u8], cuts: &[usize]) -> Result<(ResponseHead, Vec<u8>, usize), ProtocolError> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut body, mut decoder, mut used, mut head) = (Vec::new(), None, 0, None);
        for end in ends {
            if head.is_none()
                && let Some((parsed, length)) = parse_head(&bytes[..end])?
            {
                decoder = Some(BodyDecoder::new(&parsed, false));
                head = Some(parsed);
                used = length;
            }
            if let Some(decoder) = &mut decoder {
                used += decoder.feed(&bytes[used..end], |piece| body.extend_from_slice(piece))?;
            }
        }
        let done = decoder.is_some_and(|decoder| decoder.may_end_here());
        let head = head.filter(|_| done).ok_or(ProtocolError::ChunkEnd)?;
        Ok((head, body, used))
    }

    #[test]
    fn reads_head_fields_whatever_their_case() {
        let bytes = b"HTTP/1.1 404 Not Found\r\ncontent-LENGTH:  17 \r\nconnection: Close\r\n\r\n";
        let (head, length) = parse_head(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(
            (head.status, head.content_length, head.close),
            (404, Some(17), true)
        );
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let (head, _) = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n")
            .unwrap()
            .unwrap();
        assert!(BodyDecoder::new(&head, true).is_done());
        assert!(!BodyDecoder::new(&head, false).is_done());
    }

    #[test]
    fn refuses_what_is_not_http() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
        ] {
            assert!(
                parse_head(bytes).is_err(),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
        assert!(parse_head(&vec![b'x'; MAX_HEAD_BYTES]).is_err());
    }

    #[test]
    fn refuses_broken_chunks() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in ["xyz\r\n", "5\r\nhelloX\r\n", "ffffffffffffffffff\r\n"] {
            let bytes = [head, body.as_bytes()].concat();
            assert!(read(&bytes, &[]).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_plain_body(cuts in prop::collection::vec(0_usize..99, 0..8)) {
            let (head, body, used) = read(PLAIN, &cuts).unwrap();
            prop_assert_eq!(head.etag, "\"abc\"");
            prop_assert_eq!(body, b"hello");
            prop_assert_eq!(&PLAIN[used..], b"HTTP/1.1 ");
        }

        #[test]
        fn any_split_gives_the_same_chunked_body(cuts in prop::collection::vec(0_usize..200, 0..9)) {
            let (head, body, used) = read(CHUNKED, &cuts).unwrap();
            prop_assert_eq!(head.status, 206);
            prop_assert_eq!(body, b"hello world");
            prop_assert_eq!(&CHUNKED[used..], b"next");
        }

        #[test]
        fn no_bytes_panic(tail: Vec<u8>, cuts in prop::collection::vec(0_usize..99, 0..4)) {
            drop(read(&tail, &cuts));
            drop(read(&[&CHUNKED[..62], &tail].concat(), &cuts));
        }
    }
}
