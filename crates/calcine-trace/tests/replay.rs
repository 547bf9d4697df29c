//! Every operation that is traced, computed by the network as by the model.

use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, trace};

use crate::operator_table::{Bank, rows};

/// The recorded operation is found, and computes what the model computes, for batches that no recording has seen.
#[test]
fn every_operation_is_replayed() {
    let bank = Bank::new();
    each(rows(), |row| {
        let network = trace(&bank, numbers([1, 4, 6, 5]), row.forward)
            .unwrap_or_else(|error| panic!("{error}"));
        let bytes = network.to_bytes().unwrap();
        let again = calcine_trace::Network::from_bytes(&bytes, &device()).unwrap();
        for batch in [1, 2, 5, 17] {
            let x = numbers([batch, 4, 6, 5]) + 0.01;
            let expected = (row.forward)(&bank, x.clone());
            for network in [&network, &again] {
                let found = network
                    .run(vec![x.clone().into()], &mut |_, tensor| tensor)
                    .unwrap();
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.into_iter().zip(&expected) {
                    assert_eq!(found.kind(), expected.kind());
                    assert_eq!(found.shape(), expected.shape(), "batch {batch}");
                    let pairs = read(&found).into_iter().zip(read(expected));
                    for (found, expected) in pairs {
                        let equal = found == expected || found.is_nan() && expected.is_nan();
                        assert!(
                            equal || (found - expected).abs() < 1e-5,
                            "batch {batch}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    });
}

fn read(tensor: &AnyTensor) -> Vec<f64> {
    macro_rules! at {
        ($($rank:literal),*) => {
            match tensor.rank() {
                $($rank => tensor.clone().float::<$rank>().map(|t| t.into_data().iter::<f64>().collect())
                    .or_else(|| tensor.clone().int::<$rank>().map(|t| t.into_data().iter::<f64>().collect()))
                    .or_else(|| tensor.clone().bool::<$rank>().map(|t| t.into_data().iter::<bool>().map(f64::from).collect()))
                    .unwrap(),)*
                rank => panic!("rank {rank}"),
            }
        };
    }
    at!(1, 2, 3, 4, 5)
}
