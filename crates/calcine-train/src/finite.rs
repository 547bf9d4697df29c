use burn::module::Module;
use burn::tensor::Transaction;
use calcine_params::{Inventory, flat};

/// Parameters or running statistics of a model that hold NaN or an infinite number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a finite number: {}", listed(parameters))]
pub struct NotFinite {
    /// The path of each such parameter, with how many of its elements are not finite; in the model's order.
    pub parameters: Vec<(String, u64)>,
}

/// Checks that all parameters and running statistics of a model are finite. Reads the device once.
///
/// # Errors
///
/// If one of them holds NaN or an infinite number, with the path of each that does.
pub fn check_finite<M: Module>(model: &M) -> Result<(), NotFinite> {
    let inventory = Inventory::of(model);
    let mut transaction = Transaction::default();
    for values in flat(model, inventory.iter()) {
        transaction = transaction.register(values.is_finite().bool_not().int().sum());
    }
    let counts = transaction.execute().into_iter();
    let counts = counts.map(|count| count.iter::<u64>().sum::<u64>());
    let paths = inventory.iter().map(|parameter| parameter.path.clone());
    let parameters: Vec<_> = paths.zip(counts).filter(|(_, count)| *count > 0).collect();
    if parameters.is_empty() {
        Ok(())
    } else {
        Err(NotFinite { parameters })
    }
}

/// The first three by name, and how many more there are.
fn listed(parameters: &[(String, u64)]) -> String {
    let name = |(path, count): &(String, u64)| format!("{count} of `{path}`");
    let named: Vec<String> = parameters.iter().take(3).map(name).collect();
    match parameters.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more parameters", named.join(", ")),
    }
}
