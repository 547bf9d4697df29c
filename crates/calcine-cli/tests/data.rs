//! Data sets of the user's own, on networks of the user's own.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine::data::Normalization;
use calcine::trace::{Network, trace};

use crate::support::{calcine, network_file, place, refusal, report, stderr, stdout};

/// A folder of images by class, `[height, width]` pixels each: reddish, greenish and bluish ones.
fn images(directory: &Path, split: &str, each: u32, [height, width]: [u32; 2]) {
    for (class, name) in ["red", "green", "blue"].into_iter().enumerate() {
        let folder = directory.join(split).join(name);
        fs::create_dir_all(&folder).unwrap();
        for image in 0..each {
            let file = File::create(folder.join(format!("{image}.png"))).unwrap();
            let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().unwrap();
            let pixel = |at: u32| {
                let mut pixel = [((at * 7 + image * 31) % 90) as u8; 3];
                pixel[class] += 120;
                pixel
            };
            let pixels: Vec<u8> = (0..height * width).flat_map(pixel).collect();
            writer.write_image_data(&pixels).unwrap();
        }
    }
}

/// Arrays as numpy saves them.
fn npy(file: &Path, shape: &[usize], values: &[f32]) {
    let shape: String = shape.iter().map(|length| format!("{length},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_network_file_trains_on_a_folder_of_images() {
    let (directory, place) = place();
    let file = network_file(directory.path());
    let folder = directory.path().join("images");
    images(&folder, "train", 14, [40, 36]);
    images(&folder, "val", 4, [30, 50]);
    let recipe = format!("{place}/recipe.toml");
    stdout(&format!("recipe new {file} --goal prune --out {recipe}"));
    let data = format!("--data {place}/images");
    let trained = report(&format!(
        "train {file} --recipe {recipe} {data} --epochs 3 --batch-size 8 --json --out {place}/run"
    ));
    assert_eq!(trained["model"], file);
    assert_eq!(
        (&trained["epochs"], &trained["test_images"]),
        (&3.into(), &12.into())
    );
    assert_eq!(trained["data_is_synthetic"], false);
    assert!(
        trained["data"].as_str().unwrap().contains("images"),
        "{trained}"
    );
    assert!(
        (trained["sparsity"].as_f64().unwrap() - 0.8).abs() < 0.01,
        "{trained}"
    );

    // What was trained is a network file, too.
    let again = report(&format!(
        "evaluate {place}/run/network.safetensors {data} --json"
    ));
    assert_eq!(again["top1"], trained["top1"]);

    let quantized = report(&format!(
        "quantize {file} {data} --calibration-images 20 --json --out {place}/q"
    ));
    let evaluated = report(&format!(
        "evaluate {place}/q/quantized.safetensors {data} --json"
    ));
    assert_eq!(evaluated["top1"], quantized["top1"]);
    assert_eq!(evaluated["test_images"], 12);
    let scanned = report(&format!(
        "sensitivity simplenet --weights none {data} --levels 0.5 --validation 0.3 --json --out {place}/s"
    ));
    assert_eq!(scanned["images"], 12);
}

#[test]
fn a_file_that_records_another_normalisation_is_a_warning() {
    let (directory, place) = place();
    let file = network_file(directory.path());
    let network = Network::load(Path::new(&file), &Device::flex()).unwrap();
    let other = Normalization::KNOWN[3].0.to_metadata();
    let noted = directory.path().join("noted.safetensors");
    network
        .with_metadata(Normalization::METADATA, other)
        .save(&noted)
        .unwrap();
    let folder = directory.path().join("images");
    images(&folder, "train", 2, [32, 32]);
    images(&folder, "val", 2, [32, 32]);
    let warned = |more: &str| {
        let line = format!("evaluate {place}/noted.safetensors --data {place}/images {more}");
        let output = calcine(&line);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output).contains("was trained on images with mean [0.485")
    };
    assert!(warned(""));
    assert!(!warned("--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"));
}

/// A network of a user's own, traced and saved by a program of the user's own.
#[test]
fn a_regressor_trains_on_arrays() {
    let (directory, place) = place();
    let device = Device::flex();
    let model: Linear = LinearConfig::new(4, 1).init(&device);
    let network = trace(&model, Tensor::<2>::zeros([2, 4], &device), |m, x| {
        m.forward(x)
    })
    .unwrap();
    network
        .save(&directory.path().join("net.safetensors"))
        .unwrap();
    let samples = 64;
    let inputs: Vec<f32> = (0..4 * samples)
        .map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0)
        .collect();
    let targets: Vec<f32> = inputs
        .chunks(4)
        .map(|row| row[0] - 2.0 * row[2] + 0.5)
        .collect();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    npy(&data.join("inputs.npy"), &[samples, 4], &inputs);
    npy(&data.join("targets.npy"), &[samples, 1], &targets);
    fs::write(
        directory.path().join("r.toml"),
        "format = 1\n[train]\nepochs = 30\nbatch_size = 8\nlr = 0.1\nweight_decay = 0.0\n",
    )
    .unwrap();
    let file = format!("{place}/net.safetensors");
    let before = report(&format!("evaluate {file} --data {place}/data --json"));
    let trained = report(&format!(
        "train {file} --recipe {place}/r.toml --data {place}/data --json --out {place}/run"
    ));
    assert_eq!(trained["rmse_before"], before["rmse"]);
    assert!(trained["rmse"].as_f64().unwrap() < 0.05, "{trained}");
    assert!(
        trained["samples_per_second"].as_f64().unwrap() > 0.0,
        "{trained}"
    );
    let text = stdout(&format!("evaluate {file} --data {place}/data"));
    assert!(
        text.contains("rmse") && text.contains("test samples"),
        "{text}"
    );
}

#[test]
fn data_that_do_not_fit_the_network_are_refused_with_both_shapes() {
    let (directory, place) = place();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    npy(&data.join("inputs.npy"), &[8, 5], &[0.5; 40]);
    npy(&data.join("targets.npy"), &[8, 1], &[0.5; 8]);
    let text = refusal(&format!("evaluate simplenet --data {place}/data"));
    assert!(
        text.contains("[3, 32, 32]") && text.contains("[5]"),
        "{text}"
    );
    let text = refusal(&format!("evaluate simplenet --data {place}/nowhere"));
    assert!(text.contains("nowhere"), "{text}");
    fs::write(directory.path().join("notes.txt"), "no data").unwrap();
    let text = refusal(&format!("evaluate simplenet --data {place}/notes.txt"));
    assert!(
        text.contains("notes.txt") && text.contains("expected"),
        "{text}"
    );
}
