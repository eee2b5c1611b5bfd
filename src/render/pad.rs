//! Padding to the constant size of a file.

use super::Text;

/// How a format can be made longer without changing what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// A last line of `#` and spaces.
    IniComment,
    /// Spaces, then LF.
    Spaces,
    /// Newlines, so that a shell's `$(cat FILE)` is exactly the text.
    Newlines,
    /// Not at all: whoever reads it takes every byte for a part of it. The file tells a size that
    /// may be larger than its bytes.
    Nothing,
}

/// Extends `text` to exactly `size` bytes. A text that does not fit is returned unchanged: nothing
/// is ever cut, the caller has to let the file grow first.
///
/// # Errors
/// The text, if it is longer than `size`.
pub fn pad(text: Text, size: usize, padding: Padding) -> Result<Text, Text> {
    let Some(rest) = size.checked_sub(text.len()) else {
        return Err(text);
    };
    if rest == 0 || padding == Padding::Nothing {
        return Ok(text);
    }
    let (first, fill) = match padding {
        Padding::IniComment if rest >= 2 => ("#", " "),
        Padding::IniComment | Padding::Spaces => ("", " "),
        Padding::Newlines | Padding::Nothing => ("", "\n"),
    };
    // A new buffer, because a string that grows in place may leave its old copy in freed memory.
    let mut padded = Text::new(String::with_capacity(size));
    padded.push_str(&text);
    padded.push_str(first);
    padded.push_str(&fill.repeat(rest - first.len() - 1));
    padded.push('\n');
    Ok(padded)
}

/// A size with room for tokens of other lengths, for a text of `length` bytes with `sections`
/// sets of keys: a multiple of 256.
pub fn roomy(length: usize, sections: usize) -> usize {
    (length + sections * ROOM_PER_SECTION + 1).next_multiple_of(GRAIN)
}

/// Sizes are multiples of this.
const GRAIN: usize = 256;

/// STS does not bound the length of a session token; those of one role differ by less than this.
const ROOM_PER_SECTION: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, size: usize, padding: Padding, expected: &str) {
        assert_eq!(*pad(Text::new(text.to_owned()), size, padding).unwrap(), expected);
    }

    #[test]
    fn ini_is_padded_by_a_comment_line() {
        check("[a]\n", 4, Padding::IniComment, "[a]\n");
        check("[a]\n", 5, Padding::IniComment, "[a]\n\n");
        check("[a]\n", 6, Padding::IniComment, "[a]\n#\n");
        check("[a]\n", 9, Padding::IniComment, "[a]\n#   \n");
    }

    #[test]
    fn json_is_padded_by_spaces_and_errors_by_newlines() {
        check("{}", 3, Padding::Spaces, "{}\n");
        check("{}", 5, Padding::Spaces, "{}  \n");
        check("why", 6, Padding::Newlines, "why\n\n\n");
        check("", 2, Padding::Newlines, "\n\n");
    }

    #[test]
    fn what_is_read_to_its_last_byte_is_not_padded() {
        check("a.b.c", 9, Padding::Nothing, "a.b.c");
    }

    #[test]
    fn a_text_that_does_not_fit_is_not_cut() {
        let text = Text::new("12345".to_owned());
        assert_eq!(*pad(text, 4, Padding::Spaces).unwrap_err(), "12345");
    }

    proptest! {
        #[test]
        fn the_length_is_always_the_size(length in 0_usize..2000, room in 0_usize..600, kind in 0..3) {
            let padding = [Padding::IniComment, Padding::Spaces, Padding::Newlines]
                [usize::try_from(kind).unwrap()];
            let padded = pad(Text::new("x".repeat(length)), length + room, padding).unwrap();
            prop_assert_eq!(padded.len(), length + room);
            prop_assert!(roomy(length, 1) > length && roomy(length, 1).is_multiple_of(256));
        }
    }
}
