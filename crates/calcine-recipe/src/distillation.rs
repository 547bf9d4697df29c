use calcine_train::Distillation;

use crate::section::{At, Section};

/// `[distill]`: a teacher whose outputs are targets in addition to the labels. The runner executes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DistillationSettings {
    /// The model of the teacher; that of the student if `None`.
    pub model: Option<String>,
    /// The weights of the teacher: `default` or a file; the initial weights of the student if `None`.
    pub weights: Option<String>,
    /// The first epoch with the teacher.
    pub start: u64,
    /// The weights of the terms, and the temperature.
    pub distillation: Distillation,
}

impl DistillationSettings {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let problems = section.problems;
        let default = Distillation::default();
        let model = section.text("model");
        let weights = section.text("weights");
        let weight = |key| section.number_in(key, 0.0..=f64::INFINITY);
        let start = section.count("start");
        let temperature = section.number_in("temperature", 0.01..=1000.0);
        let (student, teacher) = (weight("student"), weight("teacher"));
        section.close();
        if let Some(none) = weights.as_ref().filter(|weights| weights.value == "none") {
            let message = "a teacher needs trained weights: `weights` must be a file or `default`";
            problems.add(&none.span, message);
            return None;
        }
        if let (Some(student), Some(teacher)) = (&student, &teacher)
            && student.value == 0.0
            && teacher.value == 0.0
        {
            let message = "`student` and `teacher` are both 0: at least one must be above 0";
            problems.add(&teacher.span, message);
            return None;
        }
        if let Some(teacher) = teacher.as_ref().filter(|teacher| teacher.value == 0.0) {
            let message = "`teacher` is 0: the teacher would have no effect";
            problems.add(&teacher.span, message);
            return None;
        }
        let number = |read: Option<At<f64>>, default| read.map_or(default, |read| read.value);
        Some(Self {
            model: model.map(|model| model.value),
            weights: weights.map(|weights| weights.value),
            start: start.map_or(0, |start| start.value),
            distillation: Distillation {
                temperature: number(temperature, default.temperature),
                student: number(student, default.student),
                teacher: number(teacher, default.teacher),
            },
        })
    }
}
