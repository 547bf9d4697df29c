//! `calcine bench` and `calcine run`.

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
        (&*files[1], "int8"),
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
    let compared = report("bench simplenet --form int8 --with flex --profile --threads 1 --json");
    assert_eq!(compared["form"], "int8");
    assert_eq!(compared["with"][0]["name"], "flex");
    let nodes = compared["profile"].as_array().map_or(0, Vec::len);
    assert!(nodes > 3, "{compared}");
    let quantized = format!("bench {} --form float", files[1]);
    assert!(refusal(&quantized).contains("whose form is int8"));
    assert!(refusal("bench simplenet --batch 0").contains("at least 1"));
}

/// An array as NumPy saves it.
fn npy(shape: &str, numbers: &[f32]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

#[test]
fn networks_run_on_arrays() {
    let (directory, _) = place();
    let input = directory.path().join("input.npy");
    let numbers: Vec<f32> = (0..2 * 3072)
        .map(|at| (at % 17) as f32 / 9.0 - 1.0)
        .collect();
    std::fs::write(&input, npy("2, 3, 32, 32", &numbers)).unwrap();
    let input = input.display();
    let ran = report(&format!("run simplenet --input {input} --threads 2 --json"));
    let output = &ran["outputs"][0];
    assert_eq!(output["shape"], serde_json::json!([2, 10]));
    let text = stdout(&format!("run simplenet --input {input}"));
    assert_eq!(text.lines().count(), 2, "{text}");
    let words: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let numbers = output["numbers"].as_array().unwrap();
    assert_eq!(words.len(), numbers.len());
    for (word, number) in words.iter().zip(numbers) {
        assert!((word - number.as_f64().unwrap()).abs() < 1e-6, "{ran}");
    }
    std::fs::write(
        directory.path().join("small.npy"),
        npy("1, 3, 8, 8", &[0.0; 192]),
    )
    .unwrap();
    let small = directory.path().join("small.npy");
    let refused = refusal(&format!("run simplenet --input {}", small.display()));
    assert!(refused.contains("expected"), "{refused}");
}
