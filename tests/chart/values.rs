//! The values of the chart as a table, from `values.yaml` and its comments.

struct Row {
    /// As in `--set`.
    name: String,
    /// A value, or those below it.
    default: Vec<String>,
    meaning: String,
}

pub fn table(values: &str) -> String {
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for row in rows(values) {
        let default = row.default.join(", ");
        let default = match default.is_empty() {
            true => default,
            false => format!("`{default}`"),
        };
        table += &format!("| `{}` | {default} | {} |\n", row.name, row.meaning);
    }
    table
}

fn rows(values: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut path = Vec::new();
    let mut words = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(word) = text.strip_prefix("# ") {
            words.push(word);
            continue;
        }
        let Some((key, value)) = text.split_once(':') else {
            words.clear();
            continue;
        };
        path.truncate((line.len() - text.len()) / 2);
        path.push(key);
        let name = path.join(".");
        let value = Some(value.trim()).filter(|value| !value.is_empty());
        if !words.is_empty() {
            rows.push(Row {
                name,
                default: value.map(str::to_owned).into_iter().collect(),
                meaning: std::mem::take(&mut words).join(" "),
            });
        } else if let (Some(row), Some(value)) = (rows.last_mut(), value) {
            let below = name.strip_prefix(&format!("{}.", row.name));
            let below = below.unwrap_or_else(|| panic!("values.yaml: {name}: no word about it"));
            row.default.push(format!("{below}: {value}"));
        }
    }
    rows
}
