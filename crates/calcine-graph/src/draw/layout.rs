//! Computes the positions of boxes: in layers from top to bottom, with arrows that skip layers beside them.
//!
//! Each box is one layer below the lowest of its predecessors. An arrow that passes through several layers has a place
//! without a box in each of them. Within a layer, places are sorted by the mean position of their neighbours, downwards
//! and upwards a few times; then everything moves as close to the middle of its neighbours as the order and the widths
//! allow.

use super::boxes::{Frame, Picture};

/// The measures of a drawing, in pixels.
pub(super) const LINE: f64 = 15.0;
pub(super) const MARGIN: f64 = 8.0;
const CHARACTER: f64 = 6.7;
const GAP: f64 = 26.0;
const STEP: f64 = 26.0;
const SWEEPS: usize = 12;

/// The centre and the size of a box.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The positions of everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The position of each box.
    pub(super) spots: Vec<Spot>,
    /// The points of each arrow, from the lower edge of its first box to the upper edge of its last box.
    pub(super) arrows: Vec<Vec<(f64, f64)>>,
}

/// The places: boxes, and positions at which arrows pass a layer.
struct Places {
    spots: Vec<Spot>,
    layers: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// The places of each arrow.
    ways: Vec<Vec<usize>>,
}

pub(super) fn place(picture: &Picture) -> Layout {
    let mut places = Places::new(picture);
    for sweep in 0..SWEEPS {
        places.sort(sweep % 2 == 0);
    }
    places.align();
    places.layout(picture.frames.len())
}

impl Places {
    fn new(picture: &Picture) -> Self {
        let depth = depths(picture);
        let count = depth.iter().max().map_or(0, |deepest| deepest + 1);
        let mut places = Self {
            spots: picture.frames.iter().map(size).collect(),
            layers: vec![Vec::new(); count],
            above: vec![Vec::new(); depth.len()],
            below: vec![Vec::new(); depth.len()],
            ways: Vec::new(),
        };
        for (frame, &layer) in depth.iter().enumerate() {
            places.layers[layer].push(frame);
        }
        for &(from, to) in &picture.arrows {
            let mut way = vec![from];
            for layer in depth[from] + 1..depth[to] {
                way.push(places.spots.len());
                places.layers[layer].push(places.spots.len());
                places.spots.push(Spot {
                    width: 2.0,
                    ..Spot::default()
                });
                places.above.push(Vec::new());
                places.below.push(Vec::new());
            }
            way.push(to);
            for pair in way.windows(2) {
                places.below[pair[0]].push(pair[1]);
                places.above[pair[1]].push(pair[0]);
            }
            places.ways.push(way);
        }
        places
    }

    /// Sorts each layer by the mean position of the neighbours in the previous layer.
    fn sort(&mut self, down: bool) {
        let mut order = vec![0.0; self.spots.len()];
        for layer in &self.layers {
            layer
                .iter()
                .enumerate()
                .for_each(|(at, &place)| order[place] = at as f64);
        }
        let neighbours = if down { &self.above } else { &self.below };
        let count = self.layers.len();
        for step in 0..count {
            let layer = &mut self.layers[if down { step } else { count - 1 - step }];
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|&place| {
                    (
                        mean(&neighbours[place], &order).unwrap_or(order[place]),
                        place,
                    )
                })
                .collect();
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
            *layer = keyed.into_iter().map(|(_, place)| place).collect();
            layer
                .iter()
                .enumerate()
                .for_each(|(at, &place)| order[place] = at as f64);
        }
    }

    /// Moves places to the middle of their neighbours, as far as their order allows.
    fn align(&mut self) {
        for sweep in 0..4 * SWEEPS {
            let down = sweep % 2 == 0;
            let count = self.layers.len();
            for step in 0..count {
                let layer = &self.layers[if down { step } else { count - 1 - step }];
                let x: Vec<f64> = self.spots.iter().map(|spot| spot.x).collect();
                let neighbours = if down { &self.above } else { &self.below };
                let wishes: Vec<f64> = layer
                    .iter()
                    .map(|&place| mean(&neighbours[place], &x).unwrap_or(x[place]))
                    .collect();
                let widths: Vec<f64> = layer.iter().map(|&place| self.spots[place].width).collect();
                let frames: Vec<bool> = widths.iter().map(|&width| width > 2.0).collect();
                for (&place, x) in layer.iter().zip(apart(&wishes, &widths, &frames)) {
                    self.spots[place].x = x;
                }
            }
        }
    }

    fn layout(mut self, frames: usize) -> Layout {
        let left = self
            .spots
            .iter()
            .map(|spot| spot.x - spot.width / 2.0)
            .fold(f64::MAX, f64::min);
        let mut y = GAP;
        for layer in &self.layers {
            let height = layer
                .iter()
                .map(|&place| self.spots[place].height)
                .fold(0.0, f64::max);
            for &place in layer {
                self.spots[place].x += GAP - left;
                self.spots[place].y = y + height / 2.0;
                if self.spots[place].width <= 2.0 {
                    self.spots[place].height = height;
                }
            }
            y += height + STEP;
        }
        let right = self
            .spots
            .iter()
            .map(|spot| spot.x + spot.width / 2.0)
            .fold(0.0, f64::max);
        let arrows = self.ways.iter().map(|way| self.points(way)).collect();
        self.spots.truncate(frames);
        Layout {
            width: right + GAP,
            height: y,
            spots: self.spots,
            arrows,
        }
    }

    fn points(&self, way: &[usize]) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        for (at, &place) in way.iter().enumerate() {
            let spot = self.spots[place];
            if at > 0 {
                points.push((spot.x, spot.y - spot.height / 2.0));
            }
            if at + 1 < way.len() {
                points.push((spot.x, spot.y + spot.height / 2.0));
            }
        }
        points
    }
}

/// The layer of each box. Arrows only go from earlier to later boxes.
fn depths(picture: &Picture) -> Vec<usize> {
    let mut into = vec![Vec::new(); picture.frames.len()];
    picture
        .arrows
        .iter()
        .for_each(|&(from, to)| into[to].push(from));
    let mut depth: Vec<usize> = Vec::new();
    for sources in into {
        let deepest = sources.iter().map(|&from| depth[from] + 1).max();
        depth.push(deepest.unwrap_or(0));
    }
    depth
}

fn size(frame: &Frame) -> Spot {
    let lines = frame.lines.iter().chain(&frame.notes);
    let longest = lines
        .map(|line| line.chars().count() as f64)
        .fold(0.0, f64::max);
    // Titles are bold, and therefore wider.
    let longest = longest.max(frame.title.chars().count() as f64 * 1.1);
    let count = (1 + frame.lines.len() + frame.notes.len()) as f64;
    Spot {
        width: longest * CHARACTER + 2.0 * MARGIN,
        height: count * LINE + MARGIN,
        ..Spot::default()
    }
}

fn mean(places: &[usize], positions: &[f64]) -> Option<f64> {
    let sum: f64 = places.iter().map(|&place| positions[place]).sum();
    (!places.is_empty()).then(|| sum / places.len() as f64)
}

/// The positions with the smallest sum of squared distances to the wanted positions that keep the gaps: neighbours that
/// would overlap are joined into a block, which is placed at the mean of the positions that its members want.
fn apart(wishes: &[f64], widths: &[f64], frames: &[bool]) -> Vec<f64> {
    // The offsets of the places if they are as close together as possible and the first one is at 0.
    let mut offsets = vec![0.0; wishes.len()];
    for i in 1..wishes.len() {
        let gap = if frames[i - 1] && frames[i] {
            GAP
        } else {
            GAP / 2.0
        };
        offsets[i] = offsets[i - 1] + (widths[i - 1] + widths[i]) / 2.0 + gap;
    }
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        let mut block = (wish - offset, 1);
        while let Some(&(mean, count)) = blocks.last()
            && mean > block.0
        {
            blocks.pop();
            let all = count + block.1;
            block = (
                (mean * count as f64 + block.0 * block.1 as f64) / all as f64,
                all,
            );
        }
        blocks.push(block);
    }
    let starts = blocks
        .iter()
        .flat_map(|&(mean, count)| std::iter::repeat_n(mean, count));
    starts
        .zip(&offsets)
        .map(|(start, offset)| start + offset)
        .collect()
}
