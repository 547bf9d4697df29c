use std::fmt::Write;

use super::boxes::{Frame, Picture, Sort};
use super::layout::{LINE, Layout, MARGIN, Spot};

/// The attributes of texts are those of a group, because some renderers do not inherit them from the root.
pub(super) fn write(picture: &Picture, layout: &Layout) -> String {
    let (width, height) = (layout.width.ceil().max(1.0), layout.height.ceil().max(1.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#666\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <g font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" text-anchor=\"middle\">\n"
    );
    for points in &layout.arrows {
        arrow(&mut svg, points);
    }
    for (frame, spot) in picture.frames.iter().zip(&layout.spots) {
        draw(&mut svg, frame, *spot);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// Arrows are vertical where they start, end, and pass a layer.
fn arrow(svg: &mut String, points: &[(f64, f64)]) {
    let Some((first, rest)) = points.split_first() else {
        return;
    };
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    let mut from = first;
    for to in rest {
        let middle = f64::midpoint(from.1, to.1);
        put(
            &mut path,
            format_args!("C{:.1} {middle:.1} {:.1} {middle:.1} ", from.0, to.0),
        );
        put(&mut path, format_args!("{:.1} {:.1}", to.0, to.1));
        from = to;
    }
    put(
        svg,
        format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"#666\" stroke-width=\"1.2\" \
             marker-end=\"url(#tip)\"/>\n"
        ),
    );
}

fn draw(svg: &mut String, frame: &Frame, spot: Spot) {
    let (fill, stroke) = match frame.sort {
        Sort::End => ("#eeeeee", "#888888"),
        Sort::Layer => ("#dbe9f6", "#3b78b5"),
        Sort::Join => ("#fde8cf", "#c77d1f"),
        Sort::Other => ("#f7f7f7", "#999999"),
    };
    let (x, y) = (spot.x - spot.width / 2.0, spot.y - spot.height / 2.0);
    put(
        svg,
        format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"5\" \
             fill=\"{fill}\" stroke=\"{stroke}\"/>\n",
            spot.width, spot.height
        ),
    );
    let title = std::iter::once((&frame.title, " font-weight=\"bold\""));
    let lines = frame.lines.iter().map(|line| (line, ""));
    let notes = frame.notes.iter().map(|line| (line, " fill=\"#b03030\""));
    for (number, (line, style)) in title.chain(lines).chain(notes).enumerate() {
        let baseline = y + MARGIN / 2.0 + LINE * (number as f64 + 0.75);
        put(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{baseline:.1}\"{style}>{}</text>\n",
                spot.x,
                escape(line)
            ),
        );
    }
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes all text");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
