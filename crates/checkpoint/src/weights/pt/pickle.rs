//! Reads a pickle without executing it: the opcodes that state dicts need, in protocols 1 to 5.
//!
//! A pickle is a program for a stack machine. Here it can build lists, tuples, dictionaries, numbers,
//! strings and tensors, and nothing else. There is no recursion: a deeply nested pickle is a long
//! one.

use super::global::Global;
use super::input::Input;
use super::object::{Object, Objects, Span};
use super::rebuild;
use super::room::Room;
use super::{EXPECTED, damaged};
use crate::limits;
use crate::read_error::ReadError;
use adamant_files::FormatError;
use std::io::Read;

/// The integer that a file without an archive starts with, as the operand of `LONG1`.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same in decimal, as the operand of `LONG` with protocol 1.
const MAGIC_DIGITS: &str = "119547037146038801333356";

/// Reads the object of a pickle, up to its last opcode.
pub(super) fn parse<R: Read>(
    input: &mut Input<R>,
    objects: &mut Objects,
    room: &mut Room,
) -> Result<Object, ReadError> {
    let (stack, marks, memo, scratch) = Default::default();
    Machine { input, objects, room, stack, marks, memo, scratch }.run()
}

struct Machine<'m, R> {
    input: &'m mut Input<R>,
    objects: &'m mut Objects,
    room: &'m mut Room,
    stack: Vec<Object>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: Vec<Option<Object>>,
    /// The string that is being read.
    scratch: Vec<u8>,
}

impl<R: Read> Machine<'_, R> {
    fn run(mut self) -> Result<Object, ReadError> {
        loop {
            let code = self.input.byte()?;
            match code {
                b'.' => {
                    let object = self.pop()?;
                    return match self.stack.len() {
                        0 => Ok(object),
                        rest => {
                            Err(damaged(format_args!("a pickle that leaves {rest} objects")).into())
                        }
                    };
                }
                0x80 => self.protocol()?,
                0x95 => drop(self.input.array::<8>()?), // the length of a frame
                b'(' => self.room.push(&mut self.marks, self.stack.len())?,
                b'0' => drop(self.pop()?),
                b'1' => {
                    let mark = self.mark()?;
                    self.stack.truncate(mark);
                }
                b'N' => self.push(Object::None)?,
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'K' => {
                    let value = self.input.byte()?;
                    self.push(Object::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.input.array()?);
                    self.push(Object::Int(value.into()))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.input.array()?);
                    self.push(Object::Int(value.into()))?;
                }
                b'I' | b'L' => self.decimal()?,
                0x8a => self.long()?,
                b'G' => {
                    let value = f64::from_be_bytes(self.input.array()?);
                    self.push(Object::Float(value))?;
                }
                // The last two are the strings of Python 2.
                b'X' | b'T' => {
                    let len = u32::from_le_bytes(self.input.array()?);
                    self.string(len)?;
                }
                0x8c | b'U' => {
                    let len = self.input.byte()?;
                    self.string(len.into())?;
                }
                b')' => self.push(Object::Tuple(Span::EMPTY))?,
                b't' => {
                    let mark = self.mark()?;
                    self.tuple(mark)?;
                }
                0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(code - 0x84));
                    let from = from.filter(|&from| from >= self.floor());
                    self.tuple(from.ok_or_else(too_few)?)?;
                }
                b']' => {
                    let list = self.objects.add_list(self.room)?;
                    self.push(list)?;
                }
                b'}' => {
                    let dict = self.objects.add_dict(self.room)?;
                    self.push(dict)?;
                }
                b'a' => {
                    let from = self.stack.len().saturating_sub(1).max(self.floor());
                    self.append(from)?;
                }
                b'e' => {
                    let mark = self.mark()?;
                    self.append(mark)?;
                }
                b's' => {
                    let from = self.stack.len().saturating_sub(2).max(self.floor());
                    self.insert(from)?;
                }
                b'u' => {
                    let mark = self.mark()?;
                    self.insert(mark)?;
                }
                b'c' => self.global()?,
                0x93 => self.stack_global()?,
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let result = rebuild::call(function, arguments, self.objects, self.room)?;
                    self.push(result)?;
                }
                b'b' => self.build()?,
                b'Q' => {
                    let id = self.pop()?;
                    let storage = rebuild::persistent(id, self.objects, self.room)?;
                    self.push(storage)?;
                }
                b'h' => {
                    let index = self.input.byte()?;
                    self.get(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.input.array()?);
                    self.get(index)?;
                }
                b'q' => {
                    let index = self.input.byte()?;
                    self.put(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.input.array()?);
                    self.put(index as usize)?;
                }
                0x94 => self.put(self.memo.len())?,
                other => return Err(refused(other).into()),
            }
        }
    }

    fn push(&mut self, object: Object) -> Result<(), FormatError> {
        self.room.push(&mut self.stack, object)
    }

    /// The height of the stack at the last mark, below which nothing is popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Object, FormatError> {
        match self.stack.len() > self.floor() {
            true => Ok(self.stack.pop().expect("the stack is above its floor")),
            false => Err(too_few()),
        }
    }

    fn mark(&mut self) -> Result<usize, FormatError> {
        self.marks.pop().ok_or_else(|| damaged("a pickle that lacks a mark"))
    }

    fn protocol(&mut self) -> Result<(), ReadError> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            other => Err(damaged(format_args!("a pickle of protocol {other}")).into()),
        }
    }

    /// A line of text, in `scratch`.
    fn line(&mut self) -> Result<&str, ReadError> {
        self.scratch.clear();
        loop {
            match self.input.byte()? {
                b'\n' => break,
                byte if self.scratch.len() < limits::PICKLE_LINE => {
                    self.room.push(&mut self.scratch, byte)?;
                }
                _ => {
                    let longest = limits::PICKLE_LINE;
                    let text = format_args!("a line of more than {longest} bytes");
                    return Err(damaged(text).into());
                }
            }
        }
        Ok(std::str::from_utf8(&self.scratch).map_err(|_| not_text())?)
    }

    /// An integer or a boolean of protocol 1.
    fn decimal(&mut self) -> Result<(), ReadError> {
        let line = self.line()?;
        let value = match line {
            "00" => Object::Bool(false),
            "01" => Object::Bool(true),
            _ => {
                let digits = line.strip_suffix('L').unwrap_or(line);
                match digits == MAGIC_DIGITS {
                    true => Object::Magic,
                    false => Object::Int(digits.parse().map_err(|_| too_long())?),
                }
            }
        };
        Ok(self.push(value)?)
    }

    /// An integer in two's complement, of any number of bytes.
    fn long(&mut self) -> Result<(), ReadError> {
        let len = usize::from(self.input.byte()?);
        self.scratch.clear();
        self.room.reserve(&mut self.scratch, len)?;
        self.input.append(len, &mut self.scratch)?;
        let value = match &*self.scratch {
            bytes if bytes == MAGIC => Object::Magic,
            bytes => {
                let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
                let mut value = [sign; 8];
                value.get_mut(..len).ok_or_else(too_long)?.copy_from_slice(bytes);
                Object::Int(i64::from_le_bytes(value))
            }
        };
        Ok(self.push(value)?)
    }

    fn string(&mut self, len: u32) -> Result<(), ReadError> {
        self.input.check(len.into())?;
        self.scratch.clear();
        self.room.reserve(&mut self.scratch, len as usize)?;
        self.input.append(len as usize, &mut self.scratch)?;
        let text = std::str::from_utf8(&self.scratch).map_err(|_| not_text())?;
        let text = self.objects.add_text(text, self.room)?;
        Ok(self.push(text)?)
    }

    /// Replaces the objects from this height on by a tuple of them.
    fn tuple(&mut self, from: usize) -> Result<(), FormatError> {
        let tuple = self.objects.add_tuple(&self.stack[from..], self.room)?;
        self.stack.truncate(from);
        self.push(tuple)
    }

    /// Appends the objects from this height on to the list below them.
    fn append(&mut self, from: usize) -> Result<(), FormatError> {
        let Some(&Object::List(list)) = self.stack[..from].last() else {
            return Err(damaged("an element without a list"));
        };
        self.objects.append(list, &self.stack[from..], self.room)?;
        self.stack.truncate(from);
        Ok(())
    }

    /// Inserts the keys and values from this height on in the dictionary below them.
    fn insert(&mut self, from: usize) -> Result<(), FormatError> {
        let Some(&Object::Dict(dict)) = self.stack[..from].last() else {
            return Err(damaged("a key without a dictionary"));
        };
        if !(self.stack.len() - from).is_multiple_of(2) {
            return Err(damaged("a key without a value"));
        }
        self.objects.append(dict, &self.stack[from..], self.room)?;
        self.stack.truncate(from);
        Ok(())
    }

    fn global(&mut self) -> Result<(), ReadError> {
        let module = self.line()?.to_string();
        let global = Global::find(&module, self.line()?)?;
        Ok(self.push(Object::Global(global))?)
    }

    fn stack_global(&mut self) -> Result<(), ReadError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Object::Text(module), Object::Text(name)) = (module, name) else {
            return Err(damaged("a global without a name").into());
        };
        let global = Global::find(self.objects.text(module), self.objects.text(name))?;
        Ok(self.push(Object::Global(global))?)
    }

    /// The attributes of an object. Those of a dictionary are the versions of its modules, which
    /// do not matter here.
    fn build(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        match self.stack.last() {
            Some(Object::Dict(_)) => Ok(()),
            Some(other) => Err(damaged(format_args!("attributes of {}", other.kind()))),
            None => Err(too_few()),
        }
    }

    fn get(&mut self, index: u32) -> Result<(), FormatError> {
        let object = self.memo.get(index as usize).copied().flatten();
        self.push(object.ok_or_else(|| damaged(format_args!("no object {index}")))?)
    }

    fn put(&mut self, index: usize) -> Result<(), FormatError> {
        let object = *self.stack.last().ok_or_else(too_few)?;
        if index >= self.memo.len() {
            let more = index + 1 - self.memo.len();
            self.room.reserve(&mut self.memo, more)?;
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(object);
        Ok(())
    }
}

fn too_few() -> FormatError {
    damaged("a pickle that lacks an object")
}

fn too_long() -> FormatError {
    FormatError::new("an integer that does not fit 64 bits", EXPECTED)
}

fn not_text() -> FormatError {
    damaged("a string that is not UTF-8")
}

/// The error of an opcode that state dicts do not need.
fn refused(code: u8) -> FormatError {
    let what = match code {
        b'B' | b'C' | 0x8e | 0x96 => "a bytes object",
        0x8f..=0x91 => "a set",
        b'i' | b'o' | 0x92 => "an object of some class",
        b'P' | b'S' | b'V' | b'F' | b'g' | b'p' | b'd' | b'l' => "a pickle of protocol 0",
        0x82..=0x84 => "an extension of pickle",
        _ => return damaged(format_args!("the opcode 0x{code:02x}")),
    };
    let expected =
        format!("{EXPECTED}: dictionaries, lists and tuples of tensors, numbers and strings");
    FormatError::new(what, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(bytes: &[u8]) -> Result<(Object, Objects), String> {
        let (mut objects, mut room) = (Objects::default(), Room::new());
        let mut input = Input::new(bytes, bytes.len() as u64);
        match parse(&mut input, &mut objects, &mut room) {
            Ok(object) => {
                assert_eq!(input.position(), bytes.len() as u64);
                Ok((object, objects))
            }
            Err(ReadError::Format(error)) => Err(error.found),
            Err(error) => panic!("{}", error.at(Path::new("pickle"))),
        }
    }

    #[test]
    fn numbers_of_each_protocol() {
        for (bytes, expected) in [
            (&b"K\xff."[..], Object::Int(255)),
            (b"\x80\x05\x95\0\0\0\0\0\0\0\0M\xe9\x03.", Object::Int(1001)),
            (b"J\xfe\xff\xff\xff.", Object::Int(-2)),
            (b"\x8a\x00.", Object::Int(0)),
            (b"\x8a\x01\xfe.", Object::Int(-2)),
            (b"\x8a\x08\0\0\0\0\0\0\0\x80.", Object::Int(i64::MIN)),
            (b"I01\n.", Object::Bool(true)),
            (b"I-7\n.", Object::Int(-7)),
            (b"L1099511627776L\n.", Object::Int(1 << 40)),
            (b"L119547037146038801333356L\n.", Object::Magic),
            (b"G\x3f\xe0\0\0\0\0\0\0.", Object::Float(0.5)),
            (b"N.", Object::None),
            (b"NK\x010.", Object::None),
            (b"N(K\x01K\x021.", Object::None),
        ] {
            assert_eq!(parsed(bytes).unwrap().0, expected, "{bytes:?}");
        }
    }

    #[test]
    fn strings_and_containers() {
        let (object, objects) = parsed(b"]q\0(X\x02\0\0\0abU\x01c\x8c\x00h\0N\x85e.").unwrap();
        let Object::List(list) = object else { panic!("{object:?}") };
        let items = objects.container(list);
        let text = |object| match object {
            Object::Text(span) => objects.text(span),
            other => panic!("{other:?}"),
        };
        assert_eq!((text(items[0]), text(items[1]), text(items[2])), ("ab", "c", ""));
        assert_eq!(items[3], object); // the list contains itself
        let Object::Tuple(tuple) = items[4] else { panic!("{:?}", items[4]) };
        assert_eq!(objects.tuple(tuple), [Object::None]);
    }

    #[test]
    fn a_wrong_program_is_damage() {
        for bytes in [
            &b"."[..],
            b"",
            b"N",
            b"NN.",
            b"t.",
            b"N(.",
            b"(N0(0.",
            b"N\x86.",
            b"(N\x86.",
            b"]a.",
            b"]Na",
            b"Na.",
            b"}Ns.",
            b"}(NNNu.",
            b"](NNu.",
            b"}(Ne.",
            b"h\0.",
            b"q\0.",
            b"b.",
            b"Nb.",
            b"NNb.",
            b"R.",
            b"NR.",
            b"NNR.",
            b"ccollections\nOrderedDict\nNR.",
            b"Q.",
            b"NQ.",
            b")Q.",
            b"\x93.",
            b"NN\x93.",
            b"X\xff\xff\xff\xff.",
            b"X\x02\0\0\0\xff\xff.",
            b"U\xff.",
            b"Ix\n.",
            b"\x8a\x09\0\0\0\0\0\0\0\0\0.",
            b"\x80\x06N.",
            b"\xff.",
        ] {
            let error = parsed(bytes).err().unwrap_or_else(|| panic!("{bytes:?}"));
            let expected = error.starts_with("damage (") || error.starts_with("an integer that");
            assert!(expected, "{bytes:?}: {error}");
        }
        let name = [&b"c"[..], &[b'x'; 1001], b"\nx\n."].concat();
        assert_eq!(parsed(&name).err().unwrap(), "damage (a line of more than 1000 bytes)");
    }

    #[test]
    fn other_objects_are_refused_by_name() {
        for (bytes, expected) in [
            (&b"cposix\nsystem\nX\x02\0\0\0ls\x85R."[..], "the global posix.system"),
            (b"\x8c\x05posix\x8c\x06system\x93.", "the global posix.system"),
            (b"C\x01a.", "a bytes object"),
            (b"\x8f.", "a set"),
            (b"(iposix\nsystem\n.", "an object of some class"),
            (b"(dp0\n.", "a pickle of protocol 0"),
        ] {
            assert_eq!(parsed(bytes).err().unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn hostile_programs_take_no_more_than_the_room() {
        let too_large = "a file whose objects take too much memory";
        let long =
            |piece: &[u8], end: &[u8]| [&piece.repeat((16 << 20) / piece.len() - 1), end].concat();
        for (bytes, expected) in [
            (&b"Nr\xff\xff\xff\xff."[..], too_large), // a memo of four billion entries
            (&long(b"N", b"."), too_large),
            (&long(b"(", b"."), too_large),
            (&long(b"]", b"."), too_large),
            (&long(b"]q\0h\0a", b"."), too_large),
            (&long(b"N\x94", b"."), too_large),
            (&long(b"K\x01\x85", b"."), too_large),
            (&long(b"X\0\0\0\0", b"."), too_large),
            (
                &[&b"X\xf0\xff\xff\0"[..], &vec![b'x'; 0xff_fff0], &[b'N'; 99]].concat(),
                "a pickle of 16777217 bytes",
            ),
        ] {
            let start = &bytes[..bytes.len().min(20)];
            assert_eq!(parsed(bytes).err().unwrap_or_default(), expected, "{start:?}");
        }
    }
}
