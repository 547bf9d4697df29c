//! Draws 22 synthetic layers as one chart and as small multiples, and a chart of three criteria.
//!
//! ```text
//! cargo run -p calcine-plot --example plot_layers [DIR]
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use calcine_plot::{Axis, Chart, Marks, Panels, PlotError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).map(std::path::PathBuf::from);
    for (name, svg, png) in [layers()?, panels()?, criteria()?] {
        println!("{name}: {} bytes of SVG, {} of PNG", svg.len(), png.len());
        if let Some(directory) = &directory {
            std::fs::write(directory.join(format!("{name}.svg")), svg)?;
            std::fs::write(directory.join(format!("{name}.png")), png)?;
        }
    }
    Ok(())
}

type Drawn = (&'static str, String, Vec<u8>);

/// A chart of synthetic layers: the more `fragile` a layer is, the earlier its accuracy falls.
fn chart() -> Chart {
    let chart = Chart::new(
        "ResNet-20: top-1 after pruning one layer, without fine-tuning",
        Axis::new("sparsity of the layer", "%"),
        Axis::new("top-1", "%").with_range(0.0, 100.0),
    );
    (0..22).fold(chart, |chart, layer| {
        let fragile = f64::from(layer * 7 % 22) / 22.0;
        let points = (0..20).map(|level| {
            let level = f64::from(level) / 20.0;
            (
                100.0 * level,
                91.7 - 80.0 * fragile * level.powf(6.0 - 4.0 * fragile),
            )
        });
        chart.with_series(
            format!(
                "layer{}.{}.conv{}",
                layer / 8 + 1,
                layer / 2 % 4,
                layer % 2 + 1
            ),
            points,
        )
    })
}

fn layers() -> Result<Drawn, PlotError> {
    let chart = chart();
    Ok(("layers", chart.to_svg()?, chart.to_png()?))
}

fn panels() -> Result<Drawn, PlotError> {
    let panels = Panels::from(chart());
    Ok(("panels", panels.to_svg()?, panels.to_png()?))
}

fn criteria() -> Result<Drawn, PlotError> {
    let levels = [50.0, 60.0, 70.0, 80.0, 90.0, 95.0];
    let line = |drops: [f64; 6]| levels.into_iter().zip(drops.map(|drop| 91.7 - drop));
    let chart = Chart::new(
        "ResNet-20 on CIFAR-10: sparsity against top-1",
        Axis::new("sparsity", "%"),
        Axis::new("top-1", "%"),
    )
    .with_series("magnitude, AGP", line([0.0, 0.1, 0.2, 0.6, 2.9, 7.2]))
    .with_series("global magnitude", line([0.1, 0.0, 0.3, 0.4, 1.8, 5.1]))
    .with_series("random", line([2.2, 3.9, 6.5, 9.8, 17.0, 28.1]))
    .with_marks(Marks::LinesAndPoints);
    Ok(("criteria", chart.to_svg()?, chart.to_png()?))
}
