//! Lines of a serial console's log, found without reading it whole each time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use bmc::ConsoleLines;

/// Lines that are kept: a BMC's memory is small.
const KEPT: usize = 10_000;
/// Bytes of a line that are shown; what a machine writes beyond them is left out.
const LINE: u64 = 4096;

/// Where the last lines of a growing file begin.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// How far the file was looked through.
    seen: u64,
    /// How many lines ended until there.
    total: usize,
    /// Where the last of them begin.
    starts: VecDeque<u64>,
    /// Where the unfinished line begins.
    open: u64,
}

impl Log {
    /// At most `top` finished lines from number `skip` on. A file that is not there has no lines.
    pub(super) fn read(&mut self, path: &Path, skip: usize, top: usize) -> io::Result<ConsoleLines> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ConsoleLines::default()),
            opened => opened?,
        };
        self.look_on(&mut file)?;
        let oldest = self.total - self.starts.len();
        let first = skip.max(oldest);
        let mut lines = Vec::new();
        for start in self.starts.iter().skip(first - oldest).take(top) {
            file.seek(SeekFrom::Start(*start))?;
            let mut line = Vec::new();
            BufReader::new((&mut file).take(LINE)).read_until(b'\n', &mut line)?;
            let text = String::from_utf8_lossy(&line);
            lines.push(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(ConsoleLines { first, lines, total: self.total })
    }

    /// Finds the lines that were written since the last look.
    fn look_on(&mut self, file: &mut File) -> io::Result<()> {
        if file.metadata()?.len() < self.seen {
            // Somebody emptied it.
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.seen))?;
        let mut reader = BufReader::with_capacity(64 << 10, file);
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            let length = piece.len();
            for (at, byte) in (self.seen..).zip(piece) {
                if *byte == b'\n' {
                    self.starts.push_back(self.open);
                    self.open = at + 1;
                    self.total += 1;
                }
            }
            self.seen += length as u64;
            reader.consume(length);
            while self.starts.len() > KEPT {
                self.starts.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    fn lines(of: &[&str]) -> Vec<String> {
        of.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn lines_are_found_as_they_are_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = Log::default();
        assert_eq!(log.read(&path, 0, 9).unwrap(), ConsoleLines::default());
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(b"one\r\ntwo\n\nlog").unwrap();
        let found = log.read(&path, 0, 9).unwrap();
        assert_eq!(found, ConsoleLines { first: 0, lines: lines(&["one", "two", ""]), total: 3 });
        file.write_all(b"in: \xff\n").unwrap();
        let found = log.read(&path, 3, 9).unwrap();
        assert_eq!(found, ConsoleLines { first: 3, lines: lines(&["login: \u{fffd}"]), total: 4 });
        let found = log.read(&path, 1, 2).unwrap();
        assert_eq!(found, ConsoleLines { first: 1, lines: lines(&["two", ""]), total: 4 });
        assert_eq!(log.read(&path, 7, 2).unwrap().lines, lines(&[]));
        fs::write(&path, "anew\n").unwrap();
        let found = log.read(&path, 0, 9).unwrap();
        assert_eq!(found, ConsoleLines { first: 0, lines: lines(&["anew"]), total: 1 });
    }

    #[test]
    fn old_lines_are_forgotten_and_long_ones_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let text: Vec<String> = (0..KEPT + 5).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, text.concat() + &"x".repeat(100_000) + "\nend\n").unwrap();
        let mut log = Log::default();
        let found = log.read(&path, 0, 1).unwrap();
        assert_eq!(found, ConsoleLines { first: 7, lines: lines(&["line 7"]), total: KEPT + 7 });
        let found = log.read(&path, KEPT + 5, 5).unwrap();
        assert_eq!(found.lines.iter().map(String::len).collect::<Vec<_>>(), [4096, 3]);
    }
}
