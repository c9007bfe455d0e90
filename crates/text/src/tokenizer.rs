//! The type that maps text to tokens and back.

use crate::error::TextError;
use crate::gguf;
use crate::special::{self, SpecialTokens};
use adamant_files::{FileError, create_folder, other_kind, write_atomically};
use rayon::prelude::*;
use std::fmt;
use std::path::Path;
use tokenizers::PostProcessor;
use tokenizers::utils::truncation::TruncationParams;

/// The tokenizer of a pretrained model: text to indices of tokens, and back.
///
/// Tokens that have a name in the vocabulary, such as `<|im_start|>`, are recognized within a text.
///
/// PyTorch: `transformers.AutoTokenizer`, whose indices these are.
///
/// ```no_run
/// use adamant_text::Tokenizer;
/// let tokenizer = Tokenizer::open("smollm2-135m.gguf")?;
/// let tokens = tokenizer.encode("To be, or not to be")?; // this model expects no special tokens
/// assert_eq!(tokenizer.decode(&tokens)?, "To be, or not to be");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
}

/// Two texts as a model takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The tokens, special ones included.
    pub tokens: Vec<usize>,
    /// For each token, whether it belongs to the first text, 0, or to the second, 1.
    pub types: Vec<usize>,
}

impl Tokenizer {
    /// Reads a tokenizer: a `tokenizer.json`, the folder of a Hugging Face model that contains one, or
    /// a GGUF file, whose metadata has the vocabulary: byte-level BPE (`gpt2`), SentencePiece's BPE
    /// (`llama`) or WordPiece (`bert`).
    ///
    /// The special tokens of a `tokenizer.json` are those that `tokenizer_config.json` and
    /// `special_tokens_map.json` beside it name. Truncation and padding that the file asks for are
    /// left to [`max_length`](Tokenizer::max_length) and the caller.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged or of another kind, or if a GGUF file has a kind of
    /// vocabulary that is not supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let inside = path.join("tokenizer.json");
        let path = if path.is_dir() { &inside } else { path };
        let bytes = special::read(path)?;
        match bytes.trim_ascii_start().first() {
            Some(b'{') => {}
            _ if bytes.starts_with(b"GGUF") => {
                let (inner, special) = gguf::read(path)?;
                return Ok(Tokenizer::new(inner, special));
            }
            _ => {
                return Err(
                    other_kind(&bytes, "a tokenizer.json, its folder or a GGUF file").at(path)
                );
            }
        }
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| {
            FileError::format(path, format!("a damaged tokenizer ({error})"), "a tokenizer.json")
        })?;
        let special = SpecialTokens::beside(path, |name| Some(inner.token_to_id(name)? as usize))?;
        Ok(Tokenizer::new(inner, special))
    }

    fn new(mut inner: tokenizers::Tokenizer, special: SpecialTokens) -> Self {
        inner.with_padding(None);
        inner.with_truncation(None).expect("no truncation cannot fail");
        Tokenizer { inner, special }
    }

    /// The most tokens of an encoded text or pair, special ones included; default: no limit. Of a
    /// pair, the longer text is cut first.
    ///
    /// PyTorch: `tokenizer(…, truncation=True, max_length=max_length)`.
    ///
    /// # Panics
    /// If `max_length` leaves no room beside the special tokens of a pair.
    #[must_use]
    #[track_caller]
    pub fn max_length(mut self, max_length: usize) -> Self {
        let added = self.inner.get_post_processor().map_or(0, |added| added.added_tokens(true));
        assert!(
            max_length > added,
            "max_length: max_length is {max_length}; expected more than {added}, the special tokens"
        );
        let params = TruncationParams { max_length, ..TruncationParams::default() };
        self.inner.with_truncation(Some(params)).expect("longer than the special tokens");
        self
    }

    /// The tokens of a text with the special tokens that the model expects around it: `[CLS] text
    /// [SEP]` for BERT. Many models of GPT's kind expect none.
    ///
    /// PyTorch: `tokenizer.encode(text)`.
    ///
    /// # Errors
    /// If the vocabulary does not cover the text, and has no token for what it does not cover.
    pub fn encode(&self, text: &str) -> Result<Vec<usize>, TextError> {
        self.tokens(text, true)
    }

    /// The tokens of a text alone: a part of a longer text, or what a language model is trained on.
    ///
    /// PyTorch: `tokenizer.encode(text, add_special_tokens=False)`.
    ///
    /// # Errors
    /// As [`encode`](Tokenizer::encode).
    pub fn encode_without_special_tokens(&self, text: &str) -> Result<Vec<usize>, TextError> {
        self.tokens(text, false)
    }

    fn tokens(&self, text: &str, add_special: bool) -> Result<Vec<usize>, TextError> {
        let encoding = self.inner.encode_fast(text, add_special);
        Ok(indices(encoding.map_err(|error| TextError::encode(text, error))?.get_ids()))
    }

    /// The tokens of two texts with the special tokens that the model expects around them: `[CLS] first
    /// [SEP] second [SEP]` for BERT.
    ///
    /// PyTorch: `tokenizer(first, second)`.
    ///
    /// # Errors
    /// As [`encode`](Tokenizer::encode).
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<Pair, TextError> {
        let encoding = self.inner.encode((first, second), true);
        let encoding = encoding.map_err(|error| TextError::encode(first, error))?;
        Ok(Pair { tokens: indices(encoding.get_ids()), types: indices(encoding.get_type_ids()) })
    }

    /// [`encode`](Tokenizer::encode) for each text, on all threads.
    ///
    /// PyTorch: `tokenizer(texts)["input_ids"]`.
    ///
    /// # Errors
    /// If a text cannot be encoded.
    pub fn encode_batch(
        &self,
        texts: &[impl AsRef<str> + Sync],
    ) -> Result<Vec<Vec<usize>>, TextError> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// The text of tokens, without the special ones. An index that the vocabulary does not have is
    /// left out: the head of some models has more rows than there are tokens.
    ///
    /// PyTorch: `tokenizer.decode(tokens, skip_special_tokens=True)`.
    ///
    /// # Errors
    /// If the tokenizer's own rules fail on these tokens.
    pub fn decode(&self, tokens: &[usize]) -> Result<String, TextError> {
        self.text(tokens, true)
    }

    /// The text of tokens, the special ones included.
    ///
    /// PyTorch: `tokenizer.decode(tokens)`.
    ///
    /// # Errors
    /// As [`decode`](Tokenizer::decode).
    pub fn decode_with_special_tokens(&self, tokens: &[usize]) -> Result<String, TextError> {
        self.text(tokens, false)
    }

    fn text(&self, tokens: &[usize], skip_special: bool) -> Result<String, TextError> {
        let ids: Vec<u32> = tokens.iter().filter_map(|&token| token.try_into().ok()).collect();
        let text = self.inner.decode(&ids, skip_special);
        text.map_err(|error| TextError::decode(tokens, error))
    }

    /// The number of tokens, special ones included.
    ///
    /// PyTorch: `len(tokenizer)`.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The index of a token, as the vocabulary spells it.
    ///
    /// PyTorch: `tokenizer.convert_tokens_to_ids(token)`.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<usize> {
        self.inner.token_to_id(token).map(|id| id as usize)
    }

    /// The token of an index, as the vocabulary spells it: `Ġto` for " to" in byte-level BPE.
    ///
    /// PyTorch: `tokenizer.convert_ids_to_tokens(id)`.
    #[must_use]
    pub fn id_to_token(&self, id: usize) -> Option<String> {
        self.inner.id_to_token(id.try_into().ok()?)
    }

    /// The token at the beginning of a text.
    #[must_use]
    pub fn bos(&self) -> Option<usize> {
        self.special.bos
    }

    /// The token at the end of a text.
    #[must_use]
    pub fn eos(&self) -> Option<usize> {
        self.special.eos
    }

    /// The token that fills a batch of texts of different lengths.
    #[must_use]
    pub fn pad(&self) -> Option<usize> {
        self.special.pad
    }

    /// The token of what the vocabulary does not cover.
    #[must_use]
    pub fn unk(&self) -> Option<usize> {
        self.special.unk
    }

    /// Writes the files that `transformers` loads the tokenizer from, `tokenizer.json` and
    /// `tokenizer_config.json`, to a folder, which is created if it is missing.
    ///
    /// PyTorch: `tokenizer.save_pretrained(folder)`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), FileError> {
        let (folder, mut whole) = (folder.as_ref(), self.inner.clone());
        whole.with_truncation(None).expect("no truncation cannot fail");
        create_folder(folder)?;
        let path = folder.join("tokenizer.json");
        let json = whole.to_string(false).map_err(|error| {
            FileError::format(&path, format!("a tokenizer without JSON ({error})"), "JSON")
        })?;
        write_atomically(&path, |out| out.write_all(json.as_bytes()))?;
        let config = self.special.config(|id| self.id_to_token(id));
        write_atomically(&folder.join("tokenizer_config.json"), |out| {
            out.write_all(format!("{config:#}\n").as_bytes())
        })
    }
}

fn indices(ids: &[u32]) -> Vec<usize> {
    ids.iter().map(|&id| id as usize).collect()
}

/// The number of tokens.
impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.vocab_size())
    }
}
