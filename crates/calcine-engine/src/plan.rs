//! A network that is compiled for one batch size.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use calcine_kernels::{Buffer, Isa, ZeroSteps};

use crate::report::Execution;
use crate::step::{Memory, Place, Step, Work};

/// The steps of a compiled network, and the memory that they need.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// The places of the network's outputs, and their shapes.
    outputs: Vec<(Place, Vec<usize>)>,
    constants: Vec<Vec<f32>>,
    /// How each node is executed.
    pub(crate) executions: Vec<Option<Execution>>,
    /// The number of bytes of each slot.
    slots: Vec<usize>,
    /// The memory of earlier runs, for reuse.
    spare: Mutex<Vec<Vec<Buffer>>>,
}

impl Plan {
    pub(crate) fn new(
        mut steps: Vec<Step>,
        mut outputs: Vec<(Place, Vec<usize>)>,
        constants: Vec<Vec<f32>>,
        executions: Vec<Option<Execution>>,
    ) -> Self {
        remove_unused(&mut steps, &outputs);
        let slots = share(&mut steps, &mut outputs);
        Self {
            steps,
            outputs,
            constants,
            executions,
            slots,
            spare: Mutex::default(),
        }
    }

    /// The number of bytes of activations that a run needs.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    pub(crate) fn output_shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.outputs.iter().map(|(_, shape)| &shape[..])
    }

    /// The zero weights of the layer of a node, if a kernel computes it.
    pub(crate) fn zeros(&self, node: usize) -> Option<ZeroSteps> {
        let mut own = self.steps.iter().filter(|step| step.node == node);
        own.find_map(|step| match &step.work {
            Work::CodeLayer { layer, .. } | Work::CodeLayerToFloats { layer, .. } => {
                Some(layer.zeros())
            }
            Work::FloatLayer { layer, .. } => Some(layer.zeros()),
            _ => None,
        })
    }

    /// Runs all steps. `take` is called with the numbers of each output. If `timed` is `Some`, the time of each step is
    /// appended to it.
    pub(crate) fn run(
        &self,
        isa: Isa,
        inputs: &[&[f32]],
        mut take: impl FnMut(usize, &[f32]),
        mut timed: Option<&mut [Vec<Duration>]>,
    ) {
        let spare = self.spare.lock().map(|mut spare| spare.pop());
        let spare = spare.ok().flatten();
        let mut slots =
            spare.unwrap_or_else(|| self.slots.iter().map(|b| Buffer::zeros(*b)).collect());
        for (at, step) in self.steps.iter().enumerate() {
            let start = timed.is_some().then(Instant::now);
            let mut out = std::mem::take(&mut slots[step.writes]);
            let memory = Memory {
                inputs,
                constants: &self.constants,
                slots: &slots,
            };
            step.run(isa, &memory, &mut out);
            slots[step.writes] = out;
            if let (Some(timed), Some(start)) = (&mut timed, start) {
                timed[at].push(start.elapsed());
            }
        }
        let memory = Memory {
            inputs,
            constants: &self.constants,
            slots: &slots,
        };
        for (at, (place, shape)) in self.outputs.iter().enumerate() {
            take(at, &memory.floats(*place)[..shape.iter().product()]);
        }
        if let Ok(mut spare) = self.spare.lock() {
            spare.push(slots);
        }
    }
}

/// Removes steps whose results are not read.
fn remove_unused(steps: &mut Vec<Step>, outputs: &[(Place, Vec<usize>)]) {
    let mut read: HashSet<Place> = outputs.iter().map(|(place, _)| *place).collect();
    let mut kept = vec![false; steps.len()];
    for (step, kept) in steps.iter().zip(&mut kept).rev() {
        if read.contains(&Place::Slot(step.writes)) {
            read.extend(&step.reads);
            *kept = true;
        }
    }
    let mut kept = kept.into_iter();
    steps.retain(|_| kept.next().unwrap_or(true));
}

/// Assigns the results of steps to slots, so that results that are not needed at the same time share memory. Returns
/// the number of bytes of each slot.
fn share(steps: &mut [Step], outputs: &mut [(Place, Vec<usize>)]) -> Vec<usize> {
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        last.entry(step.writes).or_insert(at);
        for place in &step.reads {
            if let Place::Slot(slot) = place {
                last.insert(*slot, at);
            }
        }
    }
    for (place, _) in outputs.iter() {
        if let Place::Slot(slot) = place {
            last.insert(*slot, usize::MAX);
        }
    }
    let mut slots: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut given: HashMap<usize, usize> = HashMap::new();
    for (at, step) in steps.iter_mut().enumerate() {
        // The smallest free slot that is large enough, otherwise the largest free one, which is enlarged.
        let fitting = free
            .iter()
            .enumerate()
            .min_by_key(|(_, slot)| match slots[**slot] {
                own if own >= step.bytes => (0, own),
                own => (1, usize::MAX - own),
            })
            .map(|(position, _)| position);
        let slot = match fitting {
            Some(position) => free.swap_remove(position),
            None => {
                slots.push(0);
                slots.len() - 1
            }
        };
        slots[slot] = slots[slot].max(step.bytes);
        let own = step.writes;
        given.insert(own, slot);
        step.writes = slot;
        let mut over: Vec<usize> = Vec::new();
        for place in &mut step.reads {
            if let Place::Slot(value) = *place {
                *place = Place::Slot(given[&value]);
                if last[&value] == at && !over.contains(&given[&value]) {
                    over.push(given[&value]);
                }
            }
        }
        if last[&own] == at {
            over.push(slot);
        }
        free.extend(over);
    }
    for (place, _) in outputs {
        if let Place::Slot(value) = *place {
            *place = Place::Slot(given[&value]);
        }
    }
    slots
}
