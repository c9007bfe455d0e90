//! Lines of the bundled plays, with the play that each is from.

use adamant::data::{FileError, Table, read_text};

pub(crate) const PLAYS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/shakespeare/plays.txt");

/// The plays, each with the words that it begins with.
const STARTS: [(&str, &str); 9] = [
    ("Macbeth", "Thunder and lightning. Enter three Witches"),
    ("Romeo and Juliet", "Two households, both alike"),
    ("King Lear", "I thought the king had more affected"),
    ("A Midsummer Night's Dream", "Now, fair Hippolyta"),
    ("Twelfth Night", "If music be the food of love"),
    ("As You Like It", "As I remember, Adam"),
    ("Richard III", "Now is the winter"),
    ("The Tempest", "Boatswain!"),
    ("Julius Caesar", "Enter FLAVIUS, MARULLUS"),
];

/// Fewer words than that rarely belong to a play.
const WORDS: usize = 12;

/// Everything that a person says at a time, in the column `text`, without the person's name; the play in
/// the column `label`. Short speeches are left out.
pub(crate) fn speeches() -> Result<Table, FileError> {
    let text = read_text(PLAYS)?;
    let (mut texts, mut labels, mut play) = (Vec::new(), Vec::new(), 0);
    for part in text.split("\n\n") {
        if let Some((_, start)) = STARTS.get(play)
            && part.contains(start)
        {
            play += 1;
        }
        // A speech is the name of a person in capitals, a colon, and lines; the rest are directions.
        let Some((_, speech)) = part.split_once(":\n") else { continue };
        let words: Vec<&str> = speech.split_whitespace().collect();
        if words.len() >= WORDS {
            texts.push(words.join(" "));
            labels.push(STARTS[play - 1].0);
        }
    }
    let table = Table::new().with_strings("text", texts.iter().map(|text| Some(text.as_str())));
    Ok(table.with_strings("label", labels.into_iter().map(Some)))
}
