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
