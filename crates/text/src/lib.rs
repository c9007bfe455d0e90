//! Text and the tokens of pretrained language models.

#![forbid(unsafe_code)]
