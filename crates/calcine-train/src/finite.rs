use burn::module::Module;
use burn::tensor::Transaction;
use calcine_params::{Inventory, flat};

/// Some parameters or running statistics of a model are NaN or infinite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not finite: {}", listed(parameters))]
pub struct NotFinite {
    /// The path of each such parameter, and the number of its elements that are not finite, in the order of the model.
    pub parameters: Vec<(String, u64)>,
}

/// Checks that all parameters and running statistics of a model are finite. Reads the device once.
///
/// # Errors
///
/// If one of them is not finite; the error contains the paths of all such parameters.
pub fn check_finite<M: Module>(model: &M) -> Result<(), NotFinite> {
    let inventory = Inventory::from_module(model);
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

/// The first three by name, and the number of others.
fn listed(parameters: &[(String, u64)]) -> String {
    let name = |(path, count): &(String, u64)| format!("{count} of `{path}`");
    let named: Vec<String> = parameters.iter().take(3).map(name).collect();
    match parameters.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more parameters", named.join(", ")),
    }
}
