//! How a program ends, and the command that starts it again.

use super::error::{Interrupted, RunError};
use std::error::Error;
use std::io::{self, Write};
use std::iter::successors;
use std::process::ExitCode;

/// The exit status of a program that trains: 0 for `Ok`, 130 for [`Interrupted`], else 1, after it
/// has printed the error with its causes.
///
/// An error because of a closed pipe, from the program's own `writeln!` in `train | head`, ends it
/// as SIGPIPE ends other programs: with status 141, and without a message.
///
/// ```
/// use std::error::Error;
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     adamant_train::exit(train())
/// }
///
/// fn train() -> Result<(), Box<dyn Error>> {
///     // … open a run, train, finish it …
///     Ok(())
/// }
/// ```
pub fn exit(result: Result<(), impl Into<Box<dyn Error>>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let error = error.into();
    if chain(&*error).any(is_closed_pipe) {
        return ExitCode::from(CLOSED_PIPE);
    }
    // A message that cannot be printed must not change the status.
    let text = with_causes(&*error);
    if let Some(interrupted) = chain(&*error).find_map(interrupted) {
        if interrupted.rank == 0 {
            let _ = writeln!(io::stderr(), "\n{text}");
        }
        return ExitCode::from(super::signals::STATUS);
    }
    let _ = writeln!(io::stderr(), "error: {text}");
    ExitCode::FAILURE
}

/// 128 and the number of SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// An error and its causes.
fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> + 'e {
    successors(Some(error), |&error| error.source())
}

/// The messages of an error and its causes, without those that the one before contains already.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for message in chain(error).map(ToString::to_string) {
        if text.is_empty() {
            text = message;
        } else if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
    }
    text
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn interrupted<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Interrupted> {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Interrupted(interrupted)) => Some(interrupted),
        _ => error.downcast_ref(),
    }
}

/// The arguments of this process, after the program.
pub(super) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The path by which this process was started.
pub(super) fn program() -> String {
    std::env::args_os().next().map_or(String::new(), |path| path.to_string_lossy().into_owned())
}

/// The command that started this process, for a shell.
pub(super) fn command() -> String {
    let words: Vec<String> = [program()].into_iter().chain(arguments()).collect();
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+,.:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    fn interrupted() -> Interrupted {
        Interrupted { step: 5, folder: "runs/a".into(), command: "train --lr 0.1".into(), rank: 0 }
    }

    /// `ExitCode` has no equality, but its `Debug` shows the number.
    fn status(result: Result<(), impl Into<Box<dyn Error>>>) -> String {
        format!("{:?}", exit(result))
    }

    #[test]
    fn the_status_follows_from_the_error() {
        #[derive(Debug, Error)]
        #[error("in fold 3")]
        struct Fold(#[source] RunError);
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(status(Ok::<(), Box<dyn Error>>(())), code(0));
        assert_eq!(status(Err("no data")), code(1));
        assert_eq!(status(Err(io::Error::from(io::ErrorKind::BrokenPipe))), code(141));
        assert_eq!(status(Err(io::Error::from(io::ErrorKind::NotFound))), code(1));
        assert_eq!(status(Err(interrupted())), code(130));
        assert_eq!(status(Err(RunError::from(interrupted()))), code(130));
        assert_eq!(status(Err(Fold(interrupted().into()))), code(130));
    }

    #[test]
    fn causes_are_printed_once() {
        #[derive(Debug, Error)]
        #[error("in fold 3")]
        struct Fold(#[source] adamant_files::FileError);
        let cause = || io::Error::other("no room");
        let file = || adamant_files::FileError::io(std::path::Path::new("a"), cause());
        assert_eq!(with_causes(&Fold(file())), "in fold 3: a: no room");
        assert_eq!(with_causes(&RunError::from(file())), "a: no room");
    }

    #[test]
    fn the_message_has_the_step_and_the_command() {
        let expected =
            "interrupted after step 5, which is saved in runs/a; to resume:\n  train --lr 0.1";
        assert_eq!(interrupted().to_string(), expected);
        assert_eq!(format!("{:?}", RunError::from(interrupted())), expected);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("--lr=0.1", "--lr=0.1"),
            ("", "''"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
