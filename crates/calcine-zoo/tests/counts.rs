//! The sizes and names that Distiller's model zoo publishes.

use burn::tensor::{Device, Tensor};
use calcine_zoo::{Architecture, Classifier, ModelTask, ResNetConfig};

use calcine_testkit::{Row, rows};

use crate::FAMILIES;
use crate::tracing::images;

/// Parameters by kind, as `distiller.md` section 9.3 tables them.
#[derive(Debug, PartialEq)]
struct Counts {
    weights: usize,
    biases: usize,
    affine: usize,
}

fn count(rows: &[Row]) -> Counts {
    let of = |select: &dyn Fn(&Row) -> bool| -> usize {
        rows.iter()
            .filter(|row| select(row))
            .map(|row| row.values.len())
            .sum()
    };
    Counts {
        weights: of(&|row| row.shape.len() > 1),
        biases: of(&|row| row.path.ends_with(".bias")),
        affine: of(&|row| row.path.ends_with(".gamma") || row.path.ends_with(".beta")),
    }
}

struct Rows;

impl ModelTask for Rows {
    type Output = Vec<Row>;

    fn run<M: Classifier + 'static>(self, model: M) -> Vec<Row> {
        rows(&model)
    }
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let table = [
        (Architecture::ResNet20, 270_896, 10, 1_568, 272_474),
        (Architecture::ResNet32, 464_432, 10, 2_464, 466_906),
        (Architecture::ResNet44, 657_968, 10, 3_360, 661_338),
        (Architecture::ResNet56, 851_504, 10, 4_256, 855_770),
        (Architecture::Plain20, 268_336, 10, 1_376, 269_722),
        (Architecture::Plain20NoBn, 268_336, 10, 0, 268_346),
        (Architecture::PreactResNet20, 268_336, 10, 1_376, 269_722),
        (
            Architecture::PreactResNet20ConvDs,
            270_896,
            10,
            1_376,
            272_282,
        ),
        (Architecture::PreactResNet32, 461_872, 10, 2_272, 464_154),
        (Architecture::PreactResNet44, 655_408, 10, 3_168, 658_586),
        (Architecture::PreactResNet56, 848_944, 10, 4_064, 853_018),
        (
            Architecture::PreactResNet110,
            1_719_856,
            10,
            8_096,
            1_727_962,
        ),
        (Architecture::Vgg11, 9_222_848, 2_762, 0, 9_225_610),
        (Architecture::Vgg11Bn, 9_222_848, 2_762, 5_504, 9_231_114),
        (Architecture::Vgg13, 9_407_168, 2_954, 0, 9_410_122),
        (Architecture::Vgg13Bn, 9_407_168, 2_954, 5_888, 9_416_010),
        (Architecture::Vgg16, 14_715_584, 4_234, 0, 14_719_818),
        (Architecture::Vgg16Bn, 14_715_584, 4_234, 8_448, 14_728_266),
        (Architecture::Vgg19, 20_024_000, 5_514, 0, 20_029_514),
        (Architecture::Vgg19Bn, 20_024_000, 5_514, 11_008, 20_040_522),
        (Architecture::DenseNet100, 745_164, 10, 23_988, 769_162),
        (Architecture::SimpleNet, 61_770, 236, 0, 62_006),
        (Architecture::SimpleNetMnist, 430_500, 580, 0, 431_080),
        (Architecture::SimpleNetV2Mnist, 26_000, 80, 0, 26_080),
        (Architecture::MobileNet, 3_195_328, 10, 21_888, 3_217_226),
        (Architecture::MobileNet075, 1_807_824, 10, 16_416, 1_824_250),
        (Architecture::MobileNet050, 812_768, 10, 10_944, 823_722),
        (Architecture::MobileNet025, 210_160, 10, 5_472, 215_642),
        (Architecture::MobileNetV2, 2_202_560, 10, 34_112, 2_236_682),
    ];
    assert_eq!(table.map(|row| row.0), *Architecture::ALL);
    let device = Device::flex().autodiff();
    for (architecture, weights, biases, affine, total) in table {
        let rows = architecture.build(0, &device, Rows);
        assert_eq!(
            count(&rows),
            Counts {
                weights,
                biases,
                affine
            },
            "{architecture}"
        );
        let trained: usize = rows
            .iter()
            .filter(|row| row.trains)
            .map(|row| row.values.len())
            .sum();
        assert_eq!(trained, total, "{architecture}");
    }
    let deep = rows(&ResNetConfig::new(110).init(&device).unwrap());
    assert_eq!(
        count(&deep),
        Counts {
            weights: 1_722_416,
            biases: 10,
            affine: 8_288
        }
    );
}

#[test]
fn parameters_are_named_as_in_pytorch_up_to_the_norms() {
    let paths = |architecture: Architecture| -> Vec<String> {
        let rows = architecture.build(0, &Device::flex(), Rows);
        rows.into_iter().map(|row| row.path).collect()
    };
    let resnet = paths(Architecture::ResNet20);
    assert_eq!(resnet.len(), 107);
    for name in [
        "conv1.weight",
        "bn1.gamma",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.gamma",
        "layer3.2.bn2.beta",
        "fc.weight",
        "fc.bias",
    ] {
        assert!(
            resnet.iter().any(|path| path == name),
            "{name} in {resnet:?}"
        );
    }
    let plain: Vec<_> = resnet
        .into_iter()
        .filter(|path| !path.contains("downsample"))
        .collect();
    assert_eq!(paths(Architecture::Plain20), plain);
    assert_eq!(
        paths(Architecture::SimpleNet),
        ["conv1", "conv2", "fc1", "fc2", "fc3"]
            .map(|layer| [format!("{layer}.weight"), format!("{layer}.bias")])
            .concat()
    );
    // torchvision's own names of the same network, and Distiller's.
    for (architecture, parameters, names) in [
        (
            Architecture::MobileNetV2,
            158,
            [
                "features.0.0.weight",
                "features.1.conv.0.0.weight",
                "features.1.conv.1.weight",
                "features.1.conv.2.gamma",
                "features.2.conv.1.0.weight",
                "features.17.conv.3.gamma",
                "features.18.1.beta",
                "classifier.1.bias",
            ],
        ),
        (
            Architecture::MobileNet025,
            83,
            [
                "model.0.0.weight",
                "model.0.1.gamma",
                "model.1.0.weight",
                "model.1.1.gamma",
                "model.1.3.weight",
                "model.13.3.weight",
                "model.13.4.beta",
                "fc.bias",
            ],
        ),
        (
            Architecture::PreactResNet20,
            59,
            [
                "conv1.weight",
                "layer1.0.pre_bn.gamma",
                "layer1.0.conv1.weight",
                "layer1.0.bn.gamma",
                "layer3.2.conv2.weight",
                "final_bn.gamma",
                "final_bn.beta",
                "fc.bias",
            ],
        ),
        (
            Architecture::Vgg16,
            28,
            [
                "features.0.weight",
                "features.2.weight",
                "features.5.bias",
                "features.7.weight",
                "features.17.weight",
                "features.28.weight",
                "features.28.bias",
                "classifier.weight",
            ],
        ),
    ] {
        let paths = paths(architecture);
        let trained = paths.iter().filter(|path| !path.contains("running"));
        assert_eq!(trained.count(), parameters);
        for name in names {
            assert!(paths.iter().any(|path| path == name), "{name} in {paths:?}");
        }
    }
}

#[test]
fn every_network_maps_images_to_finite_logits_and_passes_gradients_back() {
    struct Step(Tensor<4>);

    impl ModelTask for Step {
        type Output = ();

        fn run<M: Classifier + 'static>(self, model: M) {
            let logits = model.forward(self.0);
            assert_eq!(logits.dims(), [2, 10]);
            assert!(logits.to_data().iter::<f32>().all(f32::is_finite));
            let gradients = logits.powi_scalar(2).sum().backward();
            let gradients = burn::optim::GradientsParams::from_grads(gradients, &model);
            let trained = rows(&model).iter().filter(|row| row.trains).count();
            assert_eq!(gradients.len(), trained);
        }
    }

    let device = Device::flex().autodiff();
    for architecture in FAMILIES {
        let images = images(architecture.image_shape(), 2, &device);
        architecture.build(1, &device, Step(images));
    }
}
