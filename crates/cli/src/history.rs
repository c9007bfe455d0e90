//! Temporary: the reader that `adamant_train` will have.
use adamant_checkpoint::FileError;
use std::path::Path;

pub(crate) struct Row {
    pub(crate) step: u64,
    pub(crate) time: f64,
    pub(crate) values: Vec<(String, f64)>,
}
pub(crate) struct History {
    pub(crate) rows: Vec<Row>,
}
impl History {
    pub(crate) fn read(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).map_err(|e| FileError::io(&path, e))?;
        let mut rows = vec![];
        for (i, line) in text.lines().enumerate() {
            let bad = || FileError::format(&path, format!("line {}", i + 1), "an object");
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).map_err(|_| bad())?;
            let number = |v: &serde_json::Value| {
                v.as_f64().or_else(|| v.as_str()?.parse().ok()).ok_or_else(bad)
            };
            let mut row = Row { step: 0, time: 0.0, values: vec![] };
            for (key, v) in &object {
                match key.as_str() {
                    "step" => row.step = v.as_u64().ok_or_else(bad)?,
                    "time" => row.time = number(v)?,
                    _ => row.values.push((key.clone(), number(v)?)),
                }
            }
            rows.push(row);
        }
        Ok(History { rows })
    }
}
