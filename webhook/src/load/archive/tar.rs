//! The entries of a tar archive, one after the other, from a stream that is never held in memory.

use std::io::{self, Read};

use super::ArchiveError;

/// A tar archive that is being read.
pub(super) struct Entries<R> {
    reader: R,
    /// Bytes of the archive so far, up to the end of the last entry.
    position: u64,
    /// Content and padding of the present entry that were not read.
    rest: u64,
    padding: u64,
}

/// One file of the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Without `.`, `..` and doubled slashes. A key, never a path of this machine.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, position: 0, rest: 0, padding: 0 }
    }

    /// The next regular file; none at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.size()?;
            self.begin(size);
            match header.kind() {
                b'L' => long_name = Some(text(&self.small()?)),
                b'x' => {
                    let (name, size) = pax(&self.small()?);
                    long_name = name.or(long_name);
                    long_size = size.or(long_size);
                }
                b'0' | 0 | b'7' => {
                    let size = long_size.unwrap_or(size);
                    self.begin(size);
                    let name = long_name.unwrap_or_else(|| header.name());
                    return Ok(Some(Entry { name: clean(&name), size }));
                }
                // Folders, links, what is global: nothing that an image is described by.
                _ => (long_name, long_size) = (None, None),
            }
        }
    }

    /// The content of the present entry, once.
    pub(super) fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// Reads what stands behind the archive: whoever writes it wants to get rid of it.
    pub(super) fn drain(mut self) -> Result<(), ArchiveError> {
        io::copy(&mut self.reader, &mut io::sink())?;
        Ok(())
    }

    /// Where the last entry ends, bytes from the start of the archive.
    pub(super) fn end(&self) -> u64 {
        self.position
    }

    fn begin(&mut self, size: u64) {
        self.rest = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    /// Goes to the end of the present entry.
    fn skip(&mut self) -> Result<(), ArchiveError> {
        for length in [self.rest, self.padding] {
            let skipped = io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
            self.position = self.position.saturating_add(skipped);
            if skipped < length {
                return Err(ArchiveError::Truncated);
            }
        }
        self.begin(0);
        Ok(())
    }

    /// None at the end: a block of zeros, or, as GNU tar forgives, nothing.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = Vec::new();
        self.reader.by_ref().take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() || block.iter().all(|byte| *byte == 0) {
            return if self.position == 0 { Err(ArchiveError::NoTar) } else { Ok(None) };
        }
        let header = Header(block);
        if header.0.len() < WHOLE_BLOCK {
            return Err(if self.position == 0 { ArchiveError::NoTar } else { ArchiveError::Truncated });
        }
        if !header.sum_is_right() {
            return Err(ArchiveError::NoTar);
        }
        self.position = self.position.saturating_add(BLOCK);
        Ok(Some(header))
    }

    /// The whole content of an entry that describes the next one.
    fn small(&mut self) -> Result<Vec<u8>, ArchiveError> {
        if self.rest > DESCRIPTION_LIMIT {
            return Err(ArchiveError::NoTar);
        }
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The content of an entry.
struct Content<'a, R>(&'a mut Entries<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let entries = &mut *self.0;
        let read = entries.reader.by_ref().take(entries.rest).read(buffer)?;
        let read_bytes = u64::try_from(read).unwrap_or(u64::MAX);
        entries.rest = entries.rest.saturating_sub(read_bytes);
        entries.position = entries.position.saturating_add(read_bytes);
        if read == 0 && entries.rest > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

/// A block that says what follows it.
///
/// # Source
/// POSIX.1-1988 `ustar`, and GNU's numbers of more than eleven octal digits.
struct Header(Vec<u8>);

impl Header {
    fn field(&self, start: usize, length: usize) -> &[u8] {
        self.0.get(start..start + length).unwrap_or_default()
    }

    fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    fn name(&self) -> String {
        let (name, prefix) = (text(self.field(0, 100)), text(self.field(345, 155)));
        let has_prefix = self.field(257, 6) == b"ustar\0" && !prefix.is_empty();
        if has_prefix { format!("{prefix}/{name}") } else { name }
    }

    fn size(&self) -> Result<u64, ArchiveError> {
        let field = self.field(124, 12);
        match field.first() {
            // Binary, where the first bit is set.
            Some(0x80..) => {
                let (high, low) = field.split_at_checked(4).ok_or(ArchiveError::NoTar)?;
                let is_small = high == [0x80, 0, 0, 0];
                let low = <[u8; 8]>::try_from(low).map_err(|_| ArchiveError::NoTar)?;
                Some(u64::from_be_bytes(low)).filter(|size| is_small && *size < SIZE_LIMIT).ok_or(ArchiveError::NoTar)
            }
            _ => octal(field).ok_or(ArchiveError::NoTar),
        }
    }

    fn sum_is_right(&self) -> bool {
        let spaces = |at: usize| (148..156).contains(&at);
        let sum = self.0.iter().enumerate().map(|(at, byte)| if spaces(at) { 32 } else { u64::from(*byte) }).sum();
        octal(self.field(148, 8)) == Some(sum)
    }
}

/// Octal digits, then zeros or spaces.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The text before the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Name and size of the next entry, where an extended header says them: `LENGTH KEY=VALUE\n`, one after the other.
fn pax(mut records: &[u8]) -> (Option<String>, Option<u64>) {
    let (mut name, mut size) = (None, None);
    while let Some(space) = records.iter().position(|byte| *byte == b' ') {
        let number = records.get(..space).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let record = number.and_then(|length| records.get(space + 1..length));
        let (Some(record), Some(length)) = (record, number) else { break };
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if let Some(path) = record.strip_prefix(b"path=") {
            name = Some(text(path));
        }
        if let Some(digits) = record.strip_prefix(b"size=") {
            size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        }
        records = records.get(length..).unwrap_or_default();
    }
    (name, size.filter(|size| *size < SIZE_LIMIT))
}

/// As Go's `path.Clean`, by which containerd reads archives: `./a//b/../c` is `a/c`.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => (),
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if name.starts_with('/') => (),
            part => parts.push(part),
        }
    }
    let root = if name.starts_with('/') { "/" } else { "" };
    [root, &parts.join("/")].concat()
}

/// Bytes of a block.
const BLOCK: u64 = 512;
/// The same, for lengths in memory.
const WHOLE_BLOCK: usize = 512;
/// Bytes of an entry that describes the next one: a name, or a handful of records.
const DESCRIPTION_LIMIT: u64 = 64 << 10;
/// No archive is larger, and sums of sizes cannot overflow.
const SIZE_LIMIT: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_containerd_does() {
        for (name, want) in [
            ("manifest.json", "manifest.json"),
            ("./manifest.json", "manifest.json"),
            ("a//b/../manifest.json", "a/manifest.json"),
            ("a/../../manifest.json", "../manifest.json"),
            ("../../etc/passwd", "../../etc/passwd"),
            ("/../etc/passwd", "/etc/passwd"),
            ("", ""),
        ] {
            assert_eq!(clean(name), want, "{name}");
        }
    }

    #[test]
    fn extended_headers_give_name_and_size() {
        assert_eq!(pax(b"12 path=a/b\n13 size=4096\n"), (Some("a/b".to_owned()), Some(4096)));
        assert_eq!(pax(b"12 path=a/b\n99 size=4096\n"), (Some("a/b".to_owned()), None), "cut");
        assert_eq!(pax(b"28 size=9999999999999999999\n"), (None, None), "no archive is so large");
        assert_eq!(pax(b"0 0 0 0"), (None, None));
        assert_eq!(pax(b" "), (None, None));
    }
}
