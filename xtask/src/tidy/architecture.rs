//! The table of crates and layers in ARCHITECTURE.md.

/// The file that says it.
pub(super) const TABLE: &str = "ARCHITECTURE.md";

pub(super) const HEADER: [&str; 3] = ["layer", "crate", "may depend on"];

/// The table of layers.
#[derive(Debug, Default)]
pub(super) struct Architecture {
    pub(super) rows: Vec<Row>,
}

/// One crate: its layer, or none when it is for development, and the crates it may depend on.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) layer: Option<u8>,
    pub(super) name: String,
    pub(super) arrows: Vec<String>,
}

impl Architecture {
    /// The rows beneath the header, until the table ends. Cells may be wrapped in backquotes.
    pub(super) fn parse(text: &str) -> Self {
        let lines = (1..)
            .zip(text.lines())
            .map(|(number, line)| (number, cells(line)));
        let table = lines.skip_while(|(_, cells)| cells[..] != HEADER).skip(2);
        let rows = table.map_while(|(line, cells)| Row::parse(line, &cells));
        Self {
            rows: rows.collect(),
        }
    }

    /// The layer of a crate, unless it is unknown or for development.
    pub(super) fn layer(&self, name: &str) -> Option<u8> {
        self.row(name)?.layer
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    fn parse(line: usize, cells: &[String]) -> Option<Self> {
        let [layer, name, arrows] = cells else {
            return None;
        };
        let arrows = arrows
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned());
        Some(Self {
            line,
            layer: layer.parse().ok(),
            name: name.clone(),
            arrows: arrows
                .filter(|name| !["", "-", "–", "—"].contains(&name.as_str()))
                .collect(),
        })
    }

    /// Arrows point down or sideways; what is for development is beneath nothing.
    pub(super) fn may_point_at(&self, other: &Self) -> bool {
        match (self.layer, other.layer) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other <= own,
        }
    }
}

/// The cells of a line of a table; none when the line belongs to no table.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let cells = inner.into_iter().flat_map(|inner| inner.split('|'));
    cells
        .map(|cell| cell.trim().trim_matches('`').to_owned())
        .collect()
}
