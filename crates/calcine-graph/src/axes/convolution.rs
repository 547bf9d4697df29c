//! Convolutions: which channels of a group of a convolution are removed together.

use super::group::Role;
use super::labels::Span;
use super::walk::Walk;
use crate::error::GraphError;
use crate::graph::Node;
use crate::op::Convolution;

const WINDOWS: &str = "slides its windows along it";
const PARTS: &str = "has one part for each of its channels, and they go as a whole";

impl Walk<'_> {
    pub(super) fn convolution(
        &mut self,
        node: &Node,
        convolution: &Convolution,
    ) -> Result<(), GraphError> {
        let (x, weight, y) = (node.inputs[0], node.inputs[1], node.output);
        let parts = self.parts(node, convolution.groups)?;
        self.role(
            weight,
            0,
            if parts.channelwise {
                Role::Channelwise
            } else {
                Role::Output
            },
        );
        self.role(weight, 1, Role::Input);
        self.same(node, (weight, 0), (y, 1))?;
        self.bias(node, 1)?;
        let part = self.graph.value(weight).shape[1];
        if part != parts.inputs.into() {
            return Err(self.setting(
                node,
                format!(
                    "axis 1 of the weight has length {part}; {} input channels in {} groups need {}",
                    parts.inputs * convolution.groups, convolution.groups, parts.inputs
                ),
            ));
        }
        if parts.channelwise {
            self.whole_parts(self.span(x, 1), self.span(y, 1), parts.outputs);
        } else {
            self.same_places(self.span(x, 1), parts.inputs);
            self.same_places(self.span(y, 1), parts.outputs);
            self.labels
                .join_spans(self.span(weight, 1), self.span(x, 1));
        }
        self.slide(node)
    }

    pub(super) fn transposed(
        &mut self,
        node: &Node,
        convolution: &Convolution,
    ) -> Result<(), GraphError> {
        let (x, weight, y) = (node.inputs[0], node.inputs[1], node.output);
        let parts = self.parts(node, convolution.groups)?;
        self.role(
            weight,
            0,
            if parts.channelwise {
                Role::Channelwise
            } else {
                Role::Input
            },
        );
        self.role(weight, 1, Role::Output);
        self.same(node, (weight, 0), (x, 1))?;
        self.bias(node, 1)?;
        let part = self.graph.value(weight).shape[1];
        if part != parts.outputs.into() {
            return Err(self.setting(
                node,
                format!(
                    "axis 1 of the weight has length {part}; {} output channels in {} groups need {}",
                    parts.outputs * convolution.groups, convolution.groups, parts.outputs
                ),
            ));
        }
        if parts.channelwise {
            self.whole_parts(self.span(x, 1), self.span(y, 1), parts.outputs);
            self.pin_axis(node, weight, 1, PARTS);
        } else {
            self.same_places(self.span(x, 1), parts.inputs);
            self.same_places(self.span(y, 1), parts.outputs);
            self.labels
                .join_spans(self.span(weight, 1), self.span(y, 1));
        }
        self.slide(node)
    }

    fn parts(&self, node: &Node, groups: usize) -> Result<Parts, GraphError> {
        let channels = |value| self.graph.value(value).shape[1];
        let (inputs, outputs) = (channels(node.inputs[0]), channels(node.output));
        let whole = groups > 0
            && inputs.is_fixed()
            && outputs.is_fixed()
            && inputs.fixed.is_multiple_of(groups)
            && outputs.fixed.is_multiple_of(groups);
        if !whole || inputs.fixed == 0 || outputs.fixed == 0 {
            return Err(self.setting(
                node,
                format!(
                    "{inputs} input and {outputs} output channels do not split into {groups} groups"
                ),
            ));
        }
        let (inputs, outputs) = (inputs.fixed / groups, outputs.fixed / groups);
        Ok(Parts {
            inputs,
            outputs,
            channelwise: inputs == 1 && groups > 1,
        })
    }

    /// All groups keep the same width: channels at the same position of each group are removed together.
    fn same_places(&mut self, channels: Span, width: usize) {
        for index in width..channels.length {
            self.labels
                .join(channels.label(index - width), channels.label(index));
        }
    }

    /// Each input is removed together with the outputs of its group, so that the number of groups decreases.
    fn whole_parts(&mut self, inputs: Span, outputs: Span, width: usize) {
        for index in 0..outputs.length {
            self.labels
                .join(inputs.label(index / width), outputs.label(index));
        }
    }

    /// Handles the kernel and the spatial axes.
    fn slide(&mut self, node: &Node) -> Result<(), GraphError> {
        for value in [node.inputs[0], node.inputs[1], node.output] {
            self.pin_from(node, value, 2, WINDOWS);
        }
        self.same(node, (node.inputs[0], 0), (node.output, 0))
    }
}

/// The numbers of input and output channels of a group.
struct Parts {
    inputs: usize,
    outputs: usize,
    /// Whether a group has only one input channel: depthwise.
    channelwise: bool,
}
