//! A terminal whose last columns stay free.

use indicatif::TermLike;
use std::io;

/// The width of `^C`, which a terminal prints when the keys are pressed, and of the cursor.
///
/// Behind a bar of the terminal's whole width, it would begin the next line, and the bar, which is
/// removed from the line of the cursor, would stay on the screen.
const COLUMNS: u16 = 3;

#[derive(Debug)]
pub(super) struct Margin<T>(pub(super) T);

impl<T: TermLike> TermLike for Margin<T> {
    fn width(&self) -> u16 {
        self.0.width().saturating_sub(COLUMNS)
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
