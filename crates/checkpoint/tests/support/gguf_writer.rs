//! Writes GGUF files for tests.

/// Writes a GGUF file: strings, integers and so on, in order.
#[derive(Clone, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(tensors: u64, keys: u64) -> Self {
        Writer(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn text(self, text: &[u8]) -> Self {
        self.u64(text.len() as u64).bytes(text)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A tensor's entry; the sizes in GGUF's order.
    pub(crate) fn tensor(self, name: &str, sizes: &[u64], code: u32, offset: u64) -> Self {
        let writer = self.text(name.as_bytes()).u32(sizes.len() as u32);
        sizes.iter().fold(writer, |writer, &size| writer.u64(size)).u32(code).u64(offset)
    }

    /// The data, aligned to 32.
    pub(crate) fn data(mut self, len: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 0);
        self.0
    }
}
