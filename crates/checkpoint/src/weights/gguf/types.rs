//! The codes of GGUF's types of tensors.

use crate::weights::stored::StoredType;
use adamant_tensor::Shape;

/// Types that can be read.
const READABLE: [(u32, StoredType); 16] = [
    (0, StoredType::F32),
    (1, StoredType::F16),
    (2, StoredType::Q4_0),
    (3, StoredType::Q4_1),
    (6, StoredType::Q5_0),
    (7, StoredType::Q5_1),
    (8, StoredType::Q8_0),
    (12, StoredType::Q4K),
    (13, StoredType::Q5K),
    (14, StoredType::Q6K),
    (24, StoredType::I8),
    (25, StoredType::I16),
    (26, StoredType::I32),
    (27, StoredType::I64),
    (28, StoredType::F64),
    (30, StoredType::Bf16),
];

/// Others: their names, and the numbers of elements and of bytes of a block.
const OTHERS: [(u32, &str, usize, usize); 18] = [
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (29, "IQ1_M", 256, 56),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// The type of a tensor.
pub(super) struct Type {
    pub(super) stored: StoredType,
    /// The numbers of elements and of bytes of a block, if they are known.
    block: Option<(usize, usize)>,
}

impl Type {
    pub(super) fn new(code: u32) -> Self {
        if let Some((_, stored)) = READABLE.iter().find(|(known, _)| *known == code) {
            return Type { stored: stored.clone(), block: stored.block() };
        }
        match OTHERS.iter().find(|(known, ..)| *known == code) {
            Some(&(_, name, elements, bytes)) => {
                Type { stored: StoredType::Other(name.into()), block: Some((elements, bytes)) }
            }
            None => {
                let stored = StoredType::Other(format!("number {code}").into());
                Type { stored, block: None }
            }
        }
    }

    /// The number of elements of a block; 1 if it is unknown.
    pub(super) fn block(&self) -> usize {
        self.block.map_or(1, |(elements, _)| elements)
    }

    /// Whether a tensor of this shape is possible: it fits in memory, and its rows consist of whole
    /// blocks. If so, also the number of its bytes, if the type is known.
    pub(super) fn bytes(&self, shape: &Shape) -> Option<Option<u64>> {
        match self.block {
            Some(block) => StoredType::bytes_of_blocks(shape, block).map(Some),
            None => shape.checked_numel().map(|_| None),
        }
    }
}
