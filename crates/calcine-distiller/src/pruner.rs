//! Pruners: from a class and its arguments to `[pruner.NAME]`.

mod maker;
mod ranked;
pub(crate) mod regime;

use calcine_schedule::Window;

pub(crate) use self::maker::{Pruner, Variant};

use self::maker::Maker;
use self::ranked::{Ranked, ranked};
use crate::schedule::Instance;
use calcine_names::suggest;

#[derive(Debug, Clone, Copy)]
enum Class {
    Magnitude,
    Sensitivity,
    Level,
    Splicing,
    BaiduRnn,
    Gradual,
    StructureThreshold,
    Ranked(Ranked),
}

const CLASSES: [(&str, Class); 24] = [
    ("MagnitudeParameterPruner", Class::Magnitude),
    ("SensitivityPruner", Class::Sensitivity),
    ("SparsityLevelParameterPruner", Class::Level),
    ("SplicingPruner", Class::Splicing),
    ("BaiduRNNPruner", Class::BaiduRnn),
    ("AutomatedGradualPruner", Class::Gradual),
    ("StructureParameterPruner", Class::StructureThreshold),
    (
        "L1RankedStructureParameterPruner",
        Class::Ranked(Ranked::L1),
    ),
    (
        "L1RankedStructureParameterPruner_AGP",
        Class::Ranked(Ranked::L1.gradual()),
    ),
    (
        "L2RankedStructureParameterPruner",
        Class::Ranked(Ranked::L2),
    ),
    (
        "L2RankedStructureParameterPruner_AGP",
        Class::Ranked(Ranked::L2.gradual()),
    ),
    (
        "RandomLevelStructureParameterPruner",
        Class::Ranked(Ranked::RANDOM_LEVEL),
    ),
    (
        "GradientRankedFilterPruner",
        Class::Ranked(Ranked::GRADIENT),
    ),
    (
        "GradientRankedFilterPruner_AGP",
        Class::Ranked(Ranked::GRADIENT.gradual()),
    ),
    ("RandomRankedFilterPruner", Class::Ranked(Ranked::RANDOM)),
    (
        "RandomRankedFilterPruner_AGP",
        Class::Ranked(Ranked::RANDOM.gradual()),
    ),
    ("BernoulliFilterPruner", Class::Ranked(Ranked::BERNOULLI)),
    (
        "BernoulliFilterPruner_AGP",
        Class::Ranked(Ranked::BERNOULLI.gradual()),
    ),
    (
        "ActivationAPoZRankedFilterPruner",
        Class::Ranked(Ranked::APOZ),
    ),
    (
        "ActivationAPoZRankedFilterPruner_AGP",
        Class::Ranked(Ranked::APOZ.gradual()),
    ),
    (
        "ActivationMeanRankedFilterPruner",
        Class::Ranked(Ranked::MEAN_ACTIVATION),
    ),
    (
        "ActivationMeanRankedFilterPruner_AGP",
        Class::Ranked(Ranked::MEAN_ACTIVATION.gradual()),
    ),
    (
        "FMReconstructionChannelPruner",
        Class::Ranked(Ranked::RECONSTRUCTION),
    ),
    (
        "FMReconstructionChannelPruner_AGP",
        Class::Ranked(Ranked::RECONSTRUCTION.gradual()),
    ),
];

/// The pruner, for a policy with this window; `None` after a problem.
pub(crate) fn convert(
    instance: &Instance<'_>,
    variant: Variant<'_>,
    window: &Window,
) -> Option<Pruner> {
    let fields = instance.fields.afresh();
    let notes = fields.notes;
    let (name, class) = (&instance.name.value, &instance.class);
    let Some((word, class)) = CLASSES.into_iter().find(|(word, _)| *word == class.value) else {
        let hint = suggest(&class.value, CLASSES.iter().map(|(word, _)| *word));
        notes.problem(
            &class.span,
            format!("unknown pruner class `{}`; {hint}", class.value),
        );
        return None;
    };
    fields.text("class");
    let maker = Maker {
        instance,
        fields: &fields,
        variant,
    };
    if let (Some(levels), false) = (variant.levels, matches!(class, Class::Level)) {
        let message =
            format!("`levels` is for a SparsityLevelParameterPruner, `{name}` is a {word}");
        notes.problem(&levels.span, message);
    }
    let pruner = match class {
        Class::Magnitude => maker.magnitude(),
        Class::Sensitivity => maker.sensitivity(),
        Class::Level => maker.level(),
        Class::Splicing => maker.splicing(),
        Class::BaiduRnn => maker.baidu_rnn(window),
        Class::Gradual => maker.gradual(window),
        Class::StructureThreshold => maker.structure_threshold(),
        Class::Ranked(class) => ranked(&maker, class, window),
    };
    fields.close();
    pruner
}
