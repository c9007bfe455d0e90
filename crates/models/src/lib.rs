//! Models that others have trained, to fine-tune: one file a model, with the names of its weights'
//! usual home.

#![forbid(unsafe_code)]
