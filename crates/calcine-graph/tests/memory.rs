//! How many elements are alive.

use calcine_graph::Arithmetic;

use crate::network::Network;

#[test]
fn a_chain_keeps_an_operand_and_a_result() {
    let mut net = Network::default();
    let x = net.input(&[4]);
    let x = net.linear("fc1", x, 8);
    let x = net.relu(x);
    let x = net.linear("fc2", x, 2);
    let compute = net.output(x).compute().unwrap();
    assert_eq!(compute.activations, 8 + 8 + 2);
    assert_eq!(compute.peak, 8 + 8);
}

#[test]
fn a_skip_stays_alive_until_it_is_used() {
    let mut net = Network::default();
    let x = net.input(&[4]);
    let skip = net.linear("fc1", x, 8);
    let x = net.relu(skip);
    let x = net.linear("fc2", x, 8);
    let x = net.zip(Arithmetic::Add, x, skip);
    let compute = net.output(x).compute().unwrap();
    // The skip, the operand and the result of fc2.
    assert_eq!(compute.peak, 8 + 8 + 8);
}

#[test]
fn what_nothing_uses_is_dropped_at_once() {
    let mut net = Network::default();
    let input = net.input(&[4]);
    net.linear("unused", input, 100);
    let x = net.linear("fc", input, 2);
    let compute = net.output(x).compute().unwrap();
    assert_eq!(compute.peak, 4 + 100);
    assert_eq!(compute.activations, 102);
}
