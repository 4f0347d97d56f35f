//! One line that tells how far something is.

use std::io::{self, Write};

use crate::{Screen, text::clean};

/// Columns of the line: it must not wrap, or it could not be updated in place.
const WIDTH: usize = 79;

/// A line that is updated in place on a terminal, and written anew for each change elsewhere.
pub struct Progress<'a> {
    out: &'a mut (dyn Write + Send),
    screen: Screen,
    last: String,
}

impl<'a> Progress<'a> {
    /// A line that is empty yet.
    pub fn new(out: &'a mut (dyn Write + Send), screen: Screen) -> Self {
        Self { out, screen, last: String::new() }
    }

    /// Shows `text`; elsewhere than on a terminal only where `gist` is another than before.
    pub fn update(&mut self, text: &str, gist: &str) -> io::Result<()> {
        match self.screen {
            Screen::Terminal => {
                let line: String = clean(text).chars().take(WIDTH).collect();
                write!(self.out, "\r\x1b[2K{line}")?;
            }
            Screen::Pipe if gist == self.last => return Ok(()),
            Screen::Pipe => writeln!(self.out, "{}", clean(text))?,
        }
        gist.clone_into(&mut self.last);
        self.out.flush()
    }

    /// Takes the line away from a terminal.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.screen == Screen::Terminal && !self.last.is_empty() {
            write!(self.out, "\r\x1b[2K")?;
        }
        self.last.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: Screen) -> String {
        let mut out = Vec::new();
        let mut line = Progress::new(&mut out, screen);
        for (text, gist) in
            [("writing 10 %", "writing"), ("writing 20 %", "writing"), ("booting\x07", "booting")]
        {
            line.update(text, gist).unwrap();
        }
        line.clear().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn in_place_on_a_terminal_and_by_change_elsewhere() {
        assert_eq!(shown(Screen::Pipe), "writing 10 %\nbooting\n");
        assert_eq!(
            shown(Screen::Terminal),
            "\r\x1b[2Kwriting 10 %\r\x1b[2Kwriting 20 %\r\x1b[2Kbooting\r\x1b[2K"
        );
    }
}
