//! `calcine export`, and ONNX files as MODEL.

use crate::support::{place, quantized_file, refusal, report, stdout};

#[test]
fn an_exported_network_is_a_model_of_the_other_commands() {
    let (_directory, place) = place();
    let file = format!("{place}/resnet20.onnx");
    let told = report(&format!("export resnet20 --to {file} --json"));
    assert_eq!(
        (&told["form"], &told["opset"]),
        (&"float".into(), &17.into())
    );
    let kept = stdout("summary resnet20 --kind compute --format csv");
    let read = stdout(&format!("summary {file} --kind compute --format csv"));
    let last = |table: &str| table.lines().last().map(str::to_owned);
    assert_eq!(last(&kept), last(&read));
}

#[test]
fn a_quantized_network_has_three_forms() {
    let (directory, place) = place();
    let quantized = quantized_file(directory.path());
    for form in ["qdq", "qoperator", "integer"] {
        let line = format!("export {quantized} --to {place}/{form}.onnx --form {form} --json");
        assert_eq!(report(&line)["form"], form);
    }
    // A quantized ONNX file is a quantized network: a float network has no form but `float`, and can be thinned.
    for form in ["qdq", "qoperator"] {
        let again = format!("{place}/again.onnx");
        let line = format!("export {place}/{form}.onnx --to {again} --form integer --json");
        assert_eq!(report(&line)["form"], "integer");
        let said = refusal(&format!("thin {place}/{form}.onnx --level 0.3"));
        assert!(said.contains("holds a quantized network"), "{said}");
    }
    let said = refusal(&format!("export resnet20 --to {place}/a.onnx --form qdq"));
    assert!(said.contains("whose form is float"), "{said}");
    let said = refusal(&format!("export resnet20 --to {place}/a.onnx --opset 9"));
    assert!(said.contains("valid are 13 to 25"), "{said}");
}

#[test]
fn what_is_recorded_beside_a_network_goes_through_its_files() {
    let (directory, place) = place();
    let quantized = quantized_file(directory.path());
    let file = format!("{place}/simplenet.onnx");
    report(&format!("export {quantized} --to {file} --form qdq --json"));
    for model in [&quantized, &file] {
        let metadata = &report(&format!("summary {model} --json"))["metadata"];
        let measured = metadata["calcine.measured"].as_str().unwrap_or_default();
        let measured: serde_json::Value = serde_json::from_str(measured).unwrap();
        assert_eq!(measured["count"], 50, "{metadata}");
        assert_eq!(measured["split"], "test", "{metadata}");
        assert!(measured["top1"].is_number(), "{metadata}");
        let settings = metadata["calcine.quantization"].as_str();
        assert!(
            settings.is_some_and(|settings| settings.contains("[quantize")),
            "{metadata}"
        );
    }
    let shown = stdout(&format!("summary {file}"));
    assert!(shown.contains("\ncalcine.form: qdq\n"), "{shown}");
    assert!(shown.contains("\ncalcine.quantization:\n    "), "{shown}");
}
