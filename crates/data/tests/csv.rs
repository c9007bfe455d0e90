//! CSV files: types, missing values, and everything that can be wrong with them.

use adamant_data::{Csv, FileError, Table};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn read_bytes(csv: &Csv, bytes: &[u8]) -> Result<Table, FileError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    csv.read(file.path())
}

fn read(text: &str) -> Result<Table, FileError> {
    read_bytes(&Csv::new(), text.as_bytes())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn assert_rejected(result: Result<Table, FileError>, expected: &str) {
    let error = result.map(drop).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some(value.to_string())).collect()
}

#[test]
fn types_are_inferred_from_all_values() {
    let table = read("n,s,m\n1,a, -2.5e3\n+2,3,\n .5,,NA\n").unwrap();
    assert_eq!(table.numbers("n").unwrap(), [Some(1.0), Some(2.0), Some(0.5)]);
    assert_eq!(table.strings("s").unwrap(), [Some("a".into()), Some("3".into()), None]);
    assert_eq!(table.numbers("m").unwrap(), [Some(-2500.0), None, None]);
    // The last of many values decides.
    let many = format!("x\n{}x\n", "1\n".repeat(10_000));
    assert_eq!(read(&many).unwrap().strings("x").unwrap().len(), 10_001);
    // Not finite, also by overflow.
    assert!(read("x\n1\ninf\n").unwrap().strings("x").is_ok());
    assert!(read("x\n1\n1e999\n").unwrap().strings("x").is_ok());
    // Nothing but missing values.
    assert_eq!(read("x,y\n,1\n").unwrap().numbers("x").unwrap(), [None]);
}

/// Requested as numbers, such a column names the value that makes it one of strings.
#[test]
fn the_first_value_that_is_not_a_number_is_reported() {
    for (value, expected) in [
        ("12,5", "a finite number"),
        ("-inf", "a finite number"),
        ("1e400", "a finite number"),
        ("007", "an integer without leading zeros"),
        ("+00", "an integer without leading zeros"),
        ("9007199254740993", "an integer up to 2^53, which an f64 represents exactly"),
        ("-99999999999999999999", "an integer up to 2^53, which an f64 represents exactly"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("id,age\nx,31\n\ny,\"{value}\"\nz,thirty\n");
        std::fs::write(file.path(), text).unwrap();
        for skip in [false, true] {
            let table = Csv::new().skip_bad_lines(skip).read(file.path()).unwrap();
            assert_eq!(table.len(), 3);
            // The row need not be in the part that is used.
            for table in [table.rows(&[0]), table] {
                let error = table.floats("age").unwrap_err().to_string();
                let at = format!("{}, line 4, column `age`", file.path().display());
                let found = format!("found \"{value}\", which makes a column of strings");
                assert_eq!(error, format!("{at}: {found}, expected {expected}"));
            }
        }
        let strings = Csv::new().strings(["age"]).read(file.path()).unwrap();
        let error = strings.numbers("age").unwrap_err().to_string();
        assert!(error.ends_with("found a column of strings, expected a column of numbers"));
    }
}

#[test]
fn identifiers_stay_different_classes() {
    let table = read("id,zip\n9007199254740992,07\n9007199254740993,7\n").unwrap();
    for column in ["id", "zip"] {
        assert_eq!(table.classes(column).unwrap().indices.len(), 2);
        assert_eq!(table.classes(column).unwrap().names.len(), 2, "{column}");
    }
    let exact = read("n\n9007199254740992\n-9007199254740992\n0\n-0\n0.5\n00.5\n").unwrap();
    assert_eq!(exact.numbers("n").unwrap()[1], Some(-9007199254740992.0));
    let rounded = read_bytes(&Csv::new().numbers(["id"]), b"id\n9007199254740993\n").unwrap();
    assert_eq!(rounded.numbers("id").unwrap(), [Some(9007199254740992.0)]);
}

#[test]
fn types_can_be_demanded() {
    let csv = Csv::new().strings(["zip"]).numbers(["x"]);
    let table = read_bytes(&csv, b"zip,x\n01234,1\n").unwrap();
    assert_eq!(table.strings("zip").unwrap(), some(&["01234"]));
    let expected = "found \"one\" in line 3, column `x`, expected a finite number";
    assert_rejected(read_bytes(&csv, b"zip,x\n1,1\n2,one\n"), expected);
    assert_rejected(read_bytes(&csv, b"zip,x\n1,1e999\n"), "found \"1e999\" in line 2");
    let unknown = read_bytes(&csv, b"a,x\n1,1\n");
    assert_rejected(unknown, "found no column `zip`, expected one of [\"a\", \"x\"]");
}

#[test]
fn names_come_from_the_header_the_options_or_numbers() {
    let names = |csv: Csv| {
        let table = read_bytes(&csv, b"1,2\n3,4\n").unwrap();
        (table.column_names().map(str::to_string).collect::<Vec<_>>(), table.len())
    };
    assert_eq!(names(Csv::new()), (vec!["1".into(), "2".into()], 1));
    assert_eq!(names(Csv::new().has_header(false)), (vec!["0".into(), "1".into()], 2));
    let named = Csv::new().names(["a", "b"]);
    assert_eq!(names(named.clone()), (vec!["a".into(), "b".into()], 1));
    assert_eq!(names(named.clone().has_header(false)).1, 2);
    let error = read_bytes(&named, b"1,2,3\n");
    assert_rejected(error, "found 3 values in line 1, expected one for each of the 2 names");
    assert_rejected(read("a,b,a\n1,2,3\n"), "found two columns `a`");
}

#[test]
fn quotes_line_breaks_and_byte_order_marks_are_read() {
    for text in [
        "\u{feff}a,b\r\n\"x, \"\"y\"\"\",1\r\n\r\nz,2\r\n",
        "a,b\n\n\"x, \"\"y\"\"\",1\nz,2",
        "a,b\r\"x, \"\"y\"\"\",1\rz,2\r",
    ] {
        let table = read(text).unwrap();
        assert_eq!(table.strings("a").unwrap(), some(&["x, \"y\"", "z"]), "{text:?}");
        assert_eq!(table.floats("b").unwrap().to_vec(), [1.0, 2.0]);
    }
    // A quote within a value is a character.
    assert_eq!(read("a\n5\" pipe\n").unwrap().strings("a").unwrap(), some(&["5\" pipe"]));
}

#[test]
fn lines_are_counted_through_quoted_and_empty_ones() {
    for line_break in ["\n", "\r\n", "\r"] {
        let text = "a,b\n\n\"x\ny\n\",1\n\n\nbad\n".replace('\n', line_break);
        assert_rejected(read(&text), "found 1 value in line 8, expected 2, one for each column");
        // The errors of values name lines too, after rows were selected.
        let table = read(&text.replace("bad", "z,")).unwrap().rows(&[1]);
        let error = table.floats("b").unwrap_err().to_string();
        assert!(error.ends_with(", line 8, column `b`: found no value, expected a number"));
    }
}

#[test]
fn the_line_of_an_error_is_exact_in_a_large_file() {
    let mut text = "a,b\n".to_string();
    text.push_str(&"1,2\r\n".repeat(1_234_565));
    text.push_str("1,2,3\n");
    let error = read_bytes(&Csv::new(), &gzip(text.as_bytes()));
    assert_rejected(error, "found 3 values in line 1234567, expected 2");
}

#[test]
fn bad_lines_can_be_skipped_and_are_counted() {
    let csv = Csv::new().numbers(["x"]).skip_bad_lines(true);
    let table = read_bytes(&csv, b"s,x\na,1\nb\nc,one\n\xff,4\nd\0,5\ne,6\n").unwrap();
    assert_eq!(table.strings("s").unwrap(), some(&["a", "e"]));
    assert_eq!(table.floats("x").unwrap().to_vec(), [1.0, 6.0]);
    assert_eq!(table.skipped().count, 4);
    let first = table.skipped().first.clone().unwrap();
    assert!(first.ends_with(": found 1 value in line 3, expected 2, one for each column"));
    assert_eq!(table.rows(&[0]).skipped().count, 0);
    // Their values say nothing about types.
    let table = read_bytes(&csv, b"s,x\n1,2\na,b\n").unwrap();
    assert_eq!(table.numbers("s").unwrap(), [Some(1.0)]);
    let none = read_bytes(&csv, b"s,x\na\nb\n");
    assert_rejected(none, "found 2 bad lines and no good one (");
    // The rest of a file after an open quote is not a line.
    assert_rejected(read_bytes(&csv, b"s,x\na,1\n\"b,2\n"), "a quoted field that is not closed");
}

#[test]
fn files_without_a_table_are_rejected() {
    assert_rejected(read(""), "found an empty file, expected a CSV file");
    assert_rejected(read("\n \n\n"), "found a header without rows, expected at least one row");
    assert_rejected(read("\n\n"), "found only empty lines, expected a table");
    assert_rejected(read("a,b\n"), "found a header without rows");
    assert_rejected(read("a,b"), "found a header without rows");
    assert_rejected(read("<!DOCTYPE html>\n<p>404"), "found an HTML page, expected a CSV file");
    let npy = read_bytes(&Csv::new(), b"\x93NUMPY\x01\0v\0{}");
    assert_rejected(npy, "found a NumPy array (.npy), expected a CSV file");
    assert_rejected(Csv::new().read("no/such/file"), "no/such/file: ");
    assert_rejected(Csv::new().read("/dev/zero"), "found a pipe or a device");
}

#[test]
fn invalid_text_is_rejected_with_its_line() {
    let bytes = |bytes: &[u8]| read_bytes(&Csv::new(), bytes);
    let start = "a,b\n1,2\n".repeat(200); // beyond the bytes by which other files are recognized
    let with = |end: &[u8]| bytes(&[start.as_bytes(), end].concat());
    assert_rejected(
        with(b"1,caf\xe9\n"),
        "found the byte 0xe9 in line 401, field 2, expected UTF-8",
    );
    assert_rejected(bytes(b"caf\xe9,b\n1,2\n"), "found the byte 0xe9 in line 1, field 1");
    let long = [start.repeat(50).as_bytes(), b"1,x\0y\n"].concat();
    assert_rejected(bytes(&long), "found a NUL at byte 1 of the string in line 20001, field 2");
    assert_rejected(bytes(&[start.repeat(50).as_bytes(), b"1,2\n\0"].concat()), "line 20002");
    assert_rejected(
        with(b"1,\"2\n3,4\n"),
        "a quoted field that is not closed in the record at line 401",
    );
    assert_rejected(with(b"1,\""), "not closed in the record at line 401");
    assert_rejected(with(b"\"1,2"), "not closed in the record at line 401");
}

#[test]
fn a_huge_field_is_rejected_before_it_fills_memory() {
    let huge = [b"a\n1\n\"".as_slice(), &vec![b'x'; 100 << 20]].concat();
    for bytes in [gzip(&huge), huge] {
        let expected = "found more than 16777216 bytes in the record at line 3, expected a shorter";
        assert_rejected(read_bytes(&Csv::new(), &bytes), expected);
    }
}

#[test]
fn damaged_gzip_streams_are_rejected() {
    let text: String = (0..500).map(|i| format!("{i},{}\n", i * i % 251)).collect();
    let csv = Csv::new().has_header(false);
    let whole = gzip(text.as_bytes());
    assert_eq!(read_bytes(&csv, &whole).unwrap().len(), 500);
    for len in 2..whole.len() {
        assert_rejected(read_bytes(&csv, &whole[..len]), "expected an intact gzip stream");
    }
}

/// Whatever the bytes, reading returns: an error, or as many values in each column as rows.
#[test]
fn random_bytes_do_not_panic() {
    let parts: [&[u8]; 12] = [
        b"a",
        b"1",
        b",",
        b"\n",
        b"\r",
        b"\"",
        b"\0",
        b"\xff",
        b" ",
        b"\xc3\xa9",
        b"\n\0",
        b"1,a\n",
    ];
    let mut rng = adamant_tensor::Generator::seed(0);
    for round in 0..5_000 {
        let len = rng.below(16);
        let bytes: Vec<u8> =
            (0..len).flat_map(|_| parts[rng.below(parts.len())]).copied().collect();
        let csv = Csv::new().skip_bad_lines(round % 2 == 0).has_header(round % 3 == 0);
        if let Ok(table) = read_bytes(&csv, &bytes) {
            for name in table.column_names() {
                let len = table
                    .numbers(name)
                    .map_or_else(|_| table.strings(name).unwrap().len(), <[_]>::len);
                assert_eq!(len, table.len(), "{bytes:?}");
            }
        }
    }
}
