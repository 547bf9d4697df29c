//! The weights and multiply-accumulates that Distiller's model zoo publishes, through traces of the networks.

use burn::tensor::{Device, Tensor};
use calcine_summary::{ComputeSettings, ComputeTable, compute};
use calcine_testkit::{each, golden};
use calcine_trace::trace;
use calcine_zoo::{Architecture, Classifier, MobileNetConfig, ModelTask};
use serde_json::Value;

struct Compute {
    batch: usize,
    /// Channels, height and width.
    image: [usize; 3],
    device: Device,
}

impl ModelTask for Compute {
    type Output = ComputeTable;

    fn run<M: Classifier + 'static>(self, model: M) -> ComputeTable {
        let [channels, height, width] = self.image;
        let images = Tensor::zeros([1, channels, height, width], &self.device);
        let network = trace(&model, images, M::forward).unwrap();
        let settings = ComputeSettings {
            batch: self.batch,
            ..ComputeSettings::default()
        };
        compute(network.graph(), &network, &settings).unwrap()
    }
}

fn table(architecture: Architecture, batch: usize) -> ComputeTable {
    let device = Device::flex();
    let task = Compute {
        batch,
        image: architecture.image_shape(),
        device: device.clone(),
    };
    architecture.build(0, &device, task)
}

#[test]
fn weights_and_macs_are_the_published_ones() {
    let published = [
        (Architecture::ResNet20, 270_896, 272_474, 40_813_184),
        (Architecture::ResNet32, 464_432, 466_906, 69_124_736),
        (Architecture::ResNet44, 657_968, 661_338, 97_436_288),
        (Architecture::ResNet56, 851_504, 855_770, 125_747_840),
        (Architecture::Plain20, 268_336, 269_722, 40_551_040),
        (Architecture::Plain20NoBn, 268_336, 268_346, 40_551_040),
        (Architecture::PreactResNet20, 268_336, 269_722, 40_551_040),
        (
            Architecture::PreactResNet20ConvDs,
            270_896,
            272_282,
            40_813_184,
        ),
        (Architecture::PreactResNet32, 461_872, 464_154, 68_862_592),
        (Architecture::PreactResNet44, 655_408, 658_586, 97_174_144),
        (Architecture::PreactResNet56, 848_944, 853_018, 125_485_696),
        (
            Architecture::PreactResNet110,
            1_719_856,
            1_727_962,
            252_887_680,
        ),
        (Architecture::Vgg11, 9_222_848, 9_225_610, 152_769_536),
        (Architecture::Vgg11Bn, 9_222_848, 9_231_114, 152_769_536),
        (Architecture::Vgg13, 9_407_168, 9_410_122, 228_267_008),
        (Architecture::Vgg13Bn, 9_407_168, 9_416_010, 228_267_008),
        (Architecture::Vgg16, 14_715_584, 14_719_818, 313_201_664),
        (Architecture::Vgg16Bn, 14_715_584, 14_728_266, 313_201_664),
        (Architecture::Vgg19, 20_024_000, 20_029_514, 398_136_320),
        (Architecture::Vgg19Bn, 20_024_000, 20_040_522, 398_136_320),
        (Architecture::DenseNet100, 745_164, 769_162, 287_929_692),
        (Architecture::SimpleNet, 61_770, 62_006, 651_720),
        (Architecture::SimpleNetMnist, 430_500, 431_080, 2_293_000),
        (Architecture::SimpleNetV2Mnist, 26_000, 26_080, 1_888_500),
        (Architecture::MobileNet, 3_195_328, 3_217_226, 46_354_432),
        (Architecture::MobileNet075, 1_807_824, 1_824_250, 26_508_288),
        (Architecture::MobileNet050, 812_768, 823_722, 12_167_168),
        (Architecture::MobileNet025, 210_160, 215_642, 3_331_072),
        (Architecture::MobileNetV2, 2_202_560, 2_236_682, 87_976_448),
    ];
    assert_eq!(published.map(|row| row.0), *Architecture::ALL);
    each(published, |&(architecture, weights, parameters, macs)| {
        let table = table(architecture, 1);
        assert_eq!(
            (table.weights, table.parameters, table.macs),
            (weights, parameters, macs)
        );
        let sum: u64 = table.rows.iter().map(|row| row.macs).sum();
        assert_eq!(sum, macs, "nothing but layers multiplies");
        assert_eq!(table.nonzero_macs, macs, "nothing is zero");
    });
}

/// Name, output channels and size, weights, MACs: `distiller.md` section 9.3.
fn resnet20() -> Vec<(String, [usize; 4], u64, u64)> {
    const MACS: u64 = 2_359_296;
    let mut rows = vec![("conv1".to_owned(), [1, 16, 32, 32], 432, 442_368)];
    for (stage, width, size, weights) in
        [(1, 16, 32, 2_304), (2, 32, 16, 9_216), (3, 64, 8, 36_864)]
    {
        let shape = [1, width, size, size];
        for block in 0..3 {
            let wider = stage > 1 && block == 0;
            let divide = if wider { 2 } else { 1 };
            let name = |layer: &str| format!("layer{stage}.{block}.{layer}");
            rows.push((name("conv1"), shape, weights / divide, MACS / divide));
            rows.push((name("conv2"), shape, weights, MACS));
            if wider {
                rows.push((name("downsample.0"), shape, weights / 18, 131_072));
            }
        }
    }
    rows
}

#[test]
fn resnet20_is_the_published_one_layer_by_layer() {
    let table = table(Architecture::ResNet20, 1);
    let (fc, convolutions) = table.rows.split_last().unwrap();
    let rows: Vec<_> = convolutions
        .iter()
        .map(|row| {
            let shape = <[usize; 4]>::try_from(&row.ofm[..]).unwrap();
            (row.name.clone(), shape, row.weights, row.macs)
        })
        .collect();
    assert_eq!(rows, resnet20());
    assert_eq!((fc.name.as_str(), fc.kind.as_str()), ("fc", "Linear"));
    assert_eq!((&fc.ifm[..], &fc.ofm[..]), (&[1, 64][..], &[1, 10][..]));
    assert_eq!((fc.weights, fc.macs), (640, 640));
}

#[test]
fn simplenet_is_the_published_one_layer_by_layer() {
    let table = table(Architecture::SimpleNet, 1);
    let macs: Vec<u64> = table.rows.iter().map(|row| row.macs).collect();
    assert_eq!(macs, [352_800, 240_000, 48_000, 10_080, 840]);
}

/// Distiller writes shapes as Python does, and of attributes the kernel alone.
fn check(table: &ComputeTable, case: &Value) {
    let rows = case["expect"]["rows"].as_array().unwrap();
    let tuple = |shape: &[usize]| {
        let lengths: Vec<_> = shape.iter().map(ToString::to_string).collect();
        format!("({})", lengths.join(", "))
    };
    assert_eq!(table.rows.len(), rows.len());
    let batch = case["args"]["batch"].as_u64().unwrap();
    let mut linear = 0;
    for (ours, theirs) in table.rows.iter().zip(rows) {
        let name = &ours.name;
        assert_eq!(theirs[0], *name);
        assert_eq!(theirs[1], ours.kind, "{name}");
        let kernel = theirs[2].as_str().unwrap();
        assert!(
            ours.attributes.starts_with(kernel),
            "{name}: {}",
            ours.attributes
        );
        assert_eq!(theirs[3], tuple(&ours.ifm), "{name}");
        assert_eq!(theirs[4], ours.ifm_volume, "{name}");
        assert_eq!(theirs[5], tuple(&ours.ofm), "{name}");
        assert_eq!(theirs[6], ours.ofm_volume, "{name}");
        assert_eq!(theirs[7], ours.weights, "{name}");
        // Distiller counts linear layers once however large the batch.
        let images = if ours.kind == "Linear" { batch } else { 1 };
        linear += ours.macs - ours.macs / images;
        assert_eq!(theirs[8], ours.macs / images, "{name}");
    }
    assert_eq!(case["expect"]["total_MACs"], table.macs - linear);
    assert_eq!(case["expect"]["n_parameters"], table.parameters);
    assert_eq!(case["expect"]["weights_in_conv_and_fc"], table.weights);
}

/// Of the networks of Distiller's zoo that are in ours too; Distiller's names end with the data set.
#[test]
fn golden_compute_tables() {
    let file = golden::open("compute_summary");
    let ours = |case: &&Value| {
        // Distiller's `mobilenet_050` is for ImageNet.
        let name = case["args"]["arch"].as_str()?;
        let name = name
            .strip_suffix("_cifar")
            .or((name == "simplenet_mnist").then_some(name))?;
        name.parse::<Architecture>().ok()
    };
    let cases = file.having(&["/args/arch", "/expect/rows"]).into_iter();
    each(cases.filter(|case| ours(case).is_some()), |case| {
        let batch = case["args"]["batch"].as_u64().unwrap() as usize;
        check(&table(ours(case).unwrap(), batch), case);
    });
}

#[test]
fn golden_compute_table_of_a_mobilenet_for_imagenet() {
    let file = golden::open("compute_summary");
    let cases = file.having(&["/args/arch", "/expect/rows"]).into_iter();
    let cases: Vec<_> = cases
        .filter(|case| case["args"]["arch"] == "mobilenet_050")
        .collect();
    assert_eq!(cases.len(), 1);
    each(cases, |case| {
        let device = Device::flex();
        let model = MobileNetConfig::new().with_width(0.5).with_imagenet(true);
        let compute = Compute {
            batch: 1,
            image: [3, 224, 224],
            device: device.clone(),
        };
        check(&compute.run(model.init(&device).unwrap()), case);
    });
}
