//! Whether an HTTP/2 peer has stopped in the middle of something. hyper's pings cannot tell: they only follow a preface.

/// Follows what a client sends: the preface, then frames (RFC 9113, 3.4 and 4.1).
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come of the preface, or of a frame's payload.
    rest: usize,
    /// The header of the frame that is coming.
    header: [u8; HEADER],
    /// How much of it has come.
    header_come: usize,
    /// A header block goes on in the next frame.
    block_open: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { rest: PREFACE, header: [0; HEADER], header_come: 0, block_open: false }
    }

    /// Nothing is half-sent: the peer may be silent.
    pub(super) fn complete(&self) -> bool {
        self.rest == 0 && self.header_come == 0 && !self.block_open
    }

    /// Reads on. Returns whether anything was completed: a header block only counts as a whole.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut completed = false;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else {
                let missing = self.header.get_mut(self.header_come..).unwrap_or_default();
                let come = missing.len().min(bytes.len());
                for (to, from) in missing.iter_mut().zip(bytes) {
                    *to = *from;
                }
                self.header_come += come;
                bytes = bytes.get(come..).unwrap_or_default();
                if self.header_come == HEADER {
                    self.begin_frame();
                }
            }
            completed |= self.complete();
        }
        completed
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.header_come = 0;
        self.rest = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.block_open = flags & END_HEADERS == 0;
        }
    }
}

/// Bytes: `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: usize = 24;
/// Bytes.
const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: u8 = 4;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; length]].concat()
    }

    #[test]
    fn a_header_block_is_one_thing() {
        let mut frames = Frames::new();
        assert!(!frames.complete(), "the preface is to come");
        assert!(frames.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(frames.feed(&frame(SETTINGS, 0, 18)) && frames.complete());
        assert!(!frames.feed(&frame(HEADERS, 0, 5)));
        assert!(!frames.feed(&frame(CONTINUATION, 0, 5)) && !frames.complete());
        assert!(frames.feed(&frame(CONTINUATION, END_HEADERS, 0)) && frames.complete());
        assert!(frames.feed(&frame(HEADERS, END_HEADERS, 70_000)) && frames.complete());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_are_split(
            lengths in prop::collection::vec(0usize..40, 1..5),
            splits in prop::collection::vec(1usize..30, 1..40),
            left_out in 1usize..9,
        ) {
            let mut sent = vec![0; PREFACE];
            for length in lengths {
                sent.extend(frame(SETTINGS, 0, length));
            }
            let (head, tail) = sent.split_at(sent.len() - left_out);
            let (mut frames, mut rest) = (Frames::new(), head);
            for split in splits.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*split));
                frames.feed(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(!frames.complete());
            prop_assert!(frames.feed(tail) && frames.complete());
        }
    }
}
