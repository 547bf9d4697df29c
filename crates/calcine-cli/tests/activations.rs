//! `calcine activations`.

use std::fs;

use crate::support::{place, stdout};

#[test]
fn layers_channels_and_logs_tell_the_same() {
    let (directory, place) = place();
    let stdout = stdout(&format!(
        "activations simplenet --weights none --data synthetic --validation-limit 40 --log csv --out {place}/activations"
    ));
    assert!(
        stdout.contains("simplenet over 40 validation images"),
        "{stdout}"
    );

    let read = |file: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(directory.path().join("activations").join(file)).unwrap();
        let rows = text.lines().skip(1);
        rows.map(|row| row.split(',').map(str::to_owned).collect())
            .collect()
    };
    let (layers, channels, scalars) = (
        read("layers.csv"),
        read("channels.csv"),
        read("scalars.csv"),
    );
    // Two convolutions and two hidden layers have a relu: 6, 16, 120 and 84 channels.
    assert_eq!(layers.len(), 4);
    assert_eq!(channels.len(), 6 + 16 + 120 + 84);
    for layer in layers {
        let number = |cell: &str| cell.parse::<f64>().unwrap();
        let own: Vec<_> = channels.iter().filter(|row| row[0] == layer[0]).collect();
        let zeros = own.iter().map(|row| number(&row[2])).sum::<f64>() / own.len() as f64;
        assert!((zeros - number(&layer[1])).abs() < 1e-9, "{}", layer[0]);
        let tag = format!("Activations/{}/sparsity", layer[0]);
        let logged = scalars.iter().find(|row| row[1] == tag).unwrap();
        assert_eq!(number(&logged[2]), number(&layer[1]));
    }
}
