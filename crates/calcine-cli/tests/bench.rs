//! `calcine bench`.

use crate::support::{network_file, place, quantized_file, refusal, report, stdout};

#[test]
fn every_kind_of_network_is_measured() {
    let (directory, _) = place();
    let files = [
        network_file(directory.path()),
        quantized_file(directory.path()),
    ];
    let models = [
        ("simplenet", "float"),
        (&*files[0], "float"),
        (&*files[1], "int8-simulated"),
    ];
    for (model, form) in models {
        let report = report(&format!("bench {model} --batch 3 --threads 1 --json"));
        assert_eq!(report["form"], form);
        assert_eq!(
            (&report["threads"], &report["batch"]),
            (&1.into(), &3.into())
        );
        let number = |key: &str| {
            report[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key}: {report}"))
        };
        let (median, p95, rate) = (
            number("median_ms"),
            number("p95_ms"),
            number("images_per_second"),
        );
        assert!(0.0 < median && median <= p95, "{report}");
        assert!((rate * median / 3000.0 - 1.0).abs() < 1e-9, "{report}");
        if cfg!(target_os = "linux") {
            assert!(number("memory_bytes") > 1e6, "{report}");
        }
    }
    let text = stdout("bench simplenet --threads 2");
    assert!(
        text.starts_with("simplenet, float, batch 1, 2 threads: median "),
        "{text}"
    );
    assert!(refusal("bench simplenet --batch 0").contains("at least 1"));
}
