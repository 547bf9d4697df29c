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

#[test]
fn a_batch_computes_and_keeps_as_many_times_what_a_sample_does() {
    let mut net = Network::default();
    let x = net.input(&[4]);
    let x = net.linear("fc1", x, 8);
    let x = net.relu(x);
    let x = net.linear("fc2", x, 2);
    let graph = net.output(x);
    let (one, five) = (graph.compute().unwrap(), graph.compute_at(5).unwrap());
    assert_eq!(
        (five.macs, five.activations),
        (5 * one.macs, 5 * one.activations)
    );
    assert_eq!((five.peak, five.weights), (5 * one.peak, one.weights));
    assert_eq!(five.rows[0].output, [5, 8]);
    let weight = graph.weight(graph.node("fc1").unwrap()).unwrap();
    assert_eq!(graph.value(weight).name, "fc1.weight");
    assert_eq!(graph.weight(&graph.nodes[1]), None);
    let error = graph.compute_at(usize::MAX).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}
