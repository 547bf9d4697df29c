use std::fmt::Write;

use super::boxes::{Picture, Sort};

pub(super) fn write(picture: &Picture) -> String {
    let mut text = String::from(
        "digraph network {\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", \
         fontsize=11];\n  edge [arrowsize=0.7];\n",
    );
    for (number, frame) in picture.frames.iter().enumerate() {
        let lines: Vec<String> = std::iter::once(&frame.title)
            .chain(&frame.lines)
            .chain(&frame.notes)
            .map(|line| escape(line))
            .collect();
        let colour = match frame.sort {
            Sort::End => "#eeeeee",
            Sort::Layer => "#dbe9f6",
            Sort::Join => "#fde8cf",
            Sort::Other => "#f7f7f7",
        };
        writeln!(
            text,
            "  n{number} [label=\"{}\", fillcolor=\"{colour}\"];",
            lines.join("\\n")
        )
        .expect("a string takes all text");
    }
    for (from, to) in &picture.arrows {
        writeln!(text, "  n{from} -> n{to};").expect("a string takes all text");
    }
    text.push_str("}\n");
    text
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
