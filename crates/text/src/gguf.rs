//! The vocabulary of a GGUF file as a tokenizer.
//!
//! The metadata has the tokens, and names the algorithm; llama.cpp knows the rest by that name. Here it
//! is written as the `tokenizer.json` of such a model.

use crate::special::SpecialTokens;
use adamant_checkpoint::{MetadataArray, MetadataValue, Weights};
use adamant_files::FileError;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The longest token of SentencePiece that is accepted, in bytes: the time to find its merges grows
/// with the square of its length.
const LONGEST: usize = 1024;

/// Types of tokens.
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;

/// Words, as Llama 3 splits a text; `{}` is the most digits in a number.
const WORDS: [&str; 2] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// The tokenizer and the special tokens of a GGUF file.
pub(crate) fn read(path: &Path) -> Result<(tokenizers::Tokenizer, SpecialTokens), FileError> {
    let file = Weights::open(path)?;
    let vocabulary = Vocabulary::new(&file, path)?;
    let pipeline = match file.metadata_text("tokenizer.ggml.model")? {
        "gpt2" => vocabulary.byte_level_bpe()?,
        "llama" => vocabulary.sentence_piece()?,
        "bert" => vocabulary.word_piece()?,
        other => {
            let expected = "\"gpt2\", \"llama\" or \"bert\" in `tokenizer.ggml.model`";
            return Err(FileError::format(path, format!("{other:?}"), expected));
        }
    };
    let tokenizer = tokenizers::Tokenizer::from_bytes(pipeline.to_string()).map_err(|error| {
        let expected = "tokens and merges that form a tokenizer";
        FileError::format(path, format!("a damaged vocabulary ({error})"), expected)
    })?;
    Ok((tokenizer, vocabulary.special))
}

struct Vocabulary<'a> {
    path: &'a Path,
    file: &'a Weights,
    tokens: Vec<&'a str>,
    types: Vec<i128>,
    special: SpecialTokens,
}

impl<'a> Vocabulary<'a> {
    fn new(file: &'a Weights, path: &'a Path) -> Result<Self, FileError> {
        let mut vocabulary = Vocabulary {
            path,
            file,
            tokens: Vec::new(),
            types: Vec::new(),
            special: SpecialTokens::default(),
        };
        vocabulary.tokens = vocabulary.elements("tokens", "strings", |array| array.texts())?;
        if vocabulary.metadata("token_type").is_some() {
            vocabulary.types =
                vocabulary.elements("token_type", "integers", |array| array.ints())?;
            vocabulary.check_len("token_type", vocabulary.types.len())?;
        }
        vocabulary.special = SpecialTokens {
            bos: vocabulary.id("bos_token_id")?,
            eos: vocabulary.id("eos_token_id")?,
            pad: vocabulary.id("padding_token_id")?,
            unk: vocabulary.id("unknown_token_id")?,
        };
        Ok(vocabulary)
    }

    /// GPT-2's kind: words are bytes, which merges join in their order.
    fn byte_level_bpe(&self) -> Result<Value, FileError> {
        let merges: Vec<&str> = self.elements("merges", "strings", |array| array.texts())?;
        let pre = self.file.metadata_text("tokenizer.ggml.pre")?;
        let byte_level = |use_regex| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
        let split = |digits| {
            let regex = [WORDS[0], digits, WORDS[1]].concat();
            let split = json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
            json!({ "type": "Sequence", "pretokenizers": [split, byte_level(false)] })
        };
        let digits = json!({ "type": "Digits", "individual_digits": true });
        let pre_tokenizer = match pre {
            "gpt-2" => byte_level(true),
            "smollm" | "starcoder" | "refact" => {
                json!({ "type": "Sequence", "pretokenizers": [digits, byte_level(true)] })
            }
            "llama-bpe" | "llama3" | "llama-v3" => split(r"\p{N}{1,3}"),
            "qwen2" => split(r"\p{N}"),
            other => {
                let expected = "\"gpt-2\", \"smollm\", \"starcoder\", \"refact\", \"llama-bpe\" or \"qwen2\" \
                                in `tokenizer.ggml.pre`; a `tokenizer.json` works for any model";
                return Err(self.error(format!("{other:?}"), expected));
            }
        };
        let llama3 = pre.starts_with("llama");
        Ok(json!({
            "added_tokens": self.added(),
            "normalizer": (pre == "qwen2").then(|| json!({ "type": "NFC" })),
            "pre_tokenizer": pre_tokenizer,
            "post_processor": self.around(self.flag("add_bos_token", llama3)?)?,
            "decoder": byte_level(true),
            "model": {
                "type": "BPE",
                "vocab": self.indices(|token| token.to_string()),
                "merges": merges,
                "ignore_merges": llama3,
            },
        }))
    }

    /// Llama 2's kind: a text is one word, and the tokens with the highest scores are merged first.
    /// What they do not cover is spelled in bytes.
    fn sentence_piece(&self) -> Result<Value, FileError> {
        let scores: Vec<f64> = self.elements("scores", "floats", |array| array.floats())?;
        self.check_len("scores", scores.len())?;
        let prefix = self.flag("add_space_prefix", true)?;
        let mut normalizers =
            vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })];
        let mut decoders = vec![
            json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if prefix {
            normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
            decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        Ok(json!({
            "added_tokens": self.added(),
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "post_processor": self.around(self.flag("add_bos_token", true)?)?,
            "decoder": { "type": "Sequence", "decoders": decoders },
            "model": {
                "type": "BPE",
                "vocab": self.indices(|token| token.to_string()),
                "merges": self.merges(&scores)?,
                "unk_token": self.special.unk.map(|id| self.tokens[id]),
                "fuse_unk": true,
                "byte_fallback": true,
            },
        }))
    }

    /// The pairs of tokens that form a token: the token with the highest score first, and of its
    /// pairs, the one with the lowest indices.
    fn merges(&self, scores: &[f64]) -> Result<Vec<[&'a str; 2]>, FileError> {
        let indices: HashMap<&str, usize> = self.tokens.iter().copied().zip(0..).collect();
        let mut order = Vec::from_iter(0..self.tokens.len());
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut merges = Vec::new();
        for token in order.into_iter().map(|index| self.tokens[index]) {
            if token.len() > LONGEST {
                let found = format!("a token of {} bytes", token.len());
                return Err(self.error(found, &format!("at most {LONGEST}")));
            }
            let halves = token.char_indices().skip(1).filter_map(|(at, _)| {
                let (left, right) = token.split_at(at);
                Some(((*indices.get(left)?, *indices.get(right)?), [left, right]))
            });
            let mut halves = Vec::from_iter(halves);
            halves.sort_unstable();
            merges.extend(halves.into_iter().map(|(_, halves)| halves));
        }
        Ok(merges)
    }

    /// BERT's kind: the longest tokens from the left. llama.cpp marks the beginning of a word by `▁`,
    /// instead of its continuation by `##`.
    fn word_piece(&self) -> Result<Value, FileError> {
        let vocab = self.indices(|token| match token.strip_prefix('▁') {
            Some(start) => start.to_string(),
            None if token.starts_with('[') && token.ends_with(']') => token.to_string(),
            None => format!("##{token}"),
        });
        let special = |key: &str, name: &str| {
            let named = || vocab.get(name).and_then(Value::as_u64).map(|id| id as usize);
            let id = self.id(key)?.or_else(named).map(|id| (self.tokens[id], id));
            id.ok_or_else(|| self.error(format!("no token {name}"), "one"))
        };
        let (cls, sep) =
            (special("cls_token_id", "[CLS]")?, special("seperator_token_id", "[SEP]")?);
        Ok(json!({
            "added_tokens": self.added(),
            "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": { "type": "BertProcessing", "cls": cls, "sep": sep },
            "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
            "model": {
                "type": "WordPiece",
                "vocab": vocab,
                "unk_token": self.special.unk.map_or("[UNK]", |id| self.tokens[id]),
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
            },
        }))
    }

    /// The tokens by their spelling. Of equal ones, the last is found, as in llama.cpp.
    fn indices(&self, spelling: impl Fn(&str) -> String) -> Map<String, Value> {
        self.tokens.iter().zip(0..).map(|(token, index)| (spelling(token), json!(index))).collect()
    }

    /// The tokens that are recognized within a text before it is split into words.
    fn added(&self) -> Vec<Value> {
        let types = self.types.iter().zip(&self.tokens).zip(0..);
        let added = types.filter(|((kind, _), _)| [CONTROL, USER_DEFINED].contains(kind));
        let added = added.map(|((&kind, token), id)| {
            json!({ "id": id, "content": token, "special": kind == CONTROL, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false })
        });
        added.collect()
    }

    /// The special tokens around a text, if there are any.
    fn around(&self, bos: bool) -> Result<Option<Value>, FileError> {
        let wanted = |wanted: bool, id: Option<usize>| id.filter(|_| wanted);
        let bos = wanted(bos, self.special.bos);
        let eos = wanted(self.flag("add_eos_token", false)?, self.special.eos);
        if bos.or(eos).is_none() {
            return Ok(None);
        }
        let mut tokens = Map::new();
        for id in [bos, eos].into_iter().flatten() {
            let token = self.tokens[id];
            tokens.insert(token.into(), json!({ "id": token, "ids": [id], "tokens": [token] }));
        }
        let text = |name: &str, kind: u32| {
            let special =
                |id: usize| json!({ "SpecialToken": { "id": self.tokens[id], "type_id": kind } });
            let text = json!({ "Sequence": { "id": name, "type_id": kind } });
            Vec::from_iter(bos.map(special).into_iter().chain([text]).chain(eos.map(special)))
        };
        let pair = [text("A", 0), text("B", 1)].concat();
        Ok(Some(json!({
            "type": "TemplateProcessing",
            "single": text("A", 0),
            "pair": pair,
            "special_tokens": tokens,
        })))
    }

    fn metadata(&self, key: &str) -> Option<MetadataValue<'a>> {
        self.file.metadata(&format!("tokenizer.ggml.{key}"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, FileError> {
        match self.metadata(key) {
            None => Ok(default),
            Some(_) => self.file.metadata_bool(&format!("tokenizer.ggml.{key}")),
        }
    }

    /// The index of a token, if the file has this key.
    fn id(&self, key: &str) -> Result<Option<usize>, FileError> {
        let Some(found) = self.metadata(key) else { return Ok(None) };
        match found {
            MetadataValue::Int(id) if (0..self.tokens.len() as i128).contains(&id) => {
                Ok(Some(id as usize))
            }
            _ => {
                let expected = format!("an index less than {}", self.tokens.len());
                Err(self.error(format!("`tokenizer.ggml.{key}`, {found}"), &expected))
            }
        }
    }

    /// The elements of an array.
    fn elements<T, I: Iterator<Item = T>>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(MetadataArray<'a>) -> Option<I>,
    ) -> Result<Vec<T>, FileError> {
        let array = self.file.metadata_array(&format!("tokenizer.ggml.{key}"))?;
        let found = || self.error(format!("`tokenizer.ggml.{key}`, {array:?}"), expected);
        read(array).map(Vec::from_iter).ok_or_else(found)
    }

    fn check_len(&self, key: &str, len: usize) -> Result<(), FileError> {
        if len == self.tokens.len() {
            return Ok(());
        }
        let found = format!("{len} elements in `tokenizer.ggml.{key}`");
        Err(self.error(found, &format!("{}, one for each token", self.tokens.len())))
    }

    fn error(&self, found: impl Into<String>, expected: &str) -> FileError {
        FileError::format(self.path, found, expected)
    }
}
