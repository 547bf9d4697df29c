//! What a module tells of its layers beside its parameters, while an inventory of it is made.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::module::ParamId;

/// What was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) groups: HashMap<ParamId, usize>,
    pub(crate) aliases: Vec<(ParamId, String)>,
}

thread_local! {
    /// What was told since [`listing`] began; `None` while no inventory is made.
    static TOLD: RefCell<Option<Told>> = const { RefCell::new(None) };
}

/// Tells the groups of the convolution with this weight to the inventory that is being made.
///
/// Burn shows a visitor the parameters of a module and nothing else. A module that knows the groups of its convolutions, as a traced
/// network does from its graph, calls this in its `Module::visit`, once for each weight. When no [`Inventory`](crate::Inventory) is
/// being made on this thread, `groups` is not called and nothing happens.
///
/// # Examples
///
/// ```
/// use burn::module::{Module, ModuleMapper, ModuleVisitor};
/// use burn::nn::conv::{Conv2d, Conv2dConfig};
/// use burn::tensor::Device;
/// use calcine_params::{Inventory, tell_groups};
///
/// #[derive(Debug, Clone)]
/// struct Depthwise(Conv2d);
///
/// impl Module for Depthwise {
///     fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
///         tell_groups(|| [(self.0.weight.id, self.0.groups)]);
///         self.0.visit(visitor);
///     }
///     # fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self { Self(self.0.map(mapper)) }
///     # fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> { self.0.collect_devices(devices) }
///     # fn fork(self, device: &Device) -> Self { Self(self.0.fork(device)) }
///     # fn to_device(self, device: &Device) -> Self { Self(self.0.to_device(device)) }
///     # fn train(self) -> Self { Self(self.0.train()) }
///     # fn valid(&self) -> Self { Self(self.0.valid()) }
///     # fn materialize(self) -> Self { Self(self.0.materialize()) }
///     // …
/// }
///
/// let conv = Conv2dConfig::new([4, 4], [3, 3]).with_groups(4).init(&Device::flex());
/// let known = |inventory: Inventory| inventory.get("weight").map(|weight| weight.groups.get());
/// assert_eq!(known(Inventory::from_module(&conv)), Some(None));
/// assert_eq!(known(Inventory::from_module(&Depthwise(conv))), Some(Some(4)));
/// ```
pub fn tell_groups<I: IntoIterator<Item = (ParamId, usize)>>(groups: impl FnOnce() -> I) {
    TOLD.with_borrow_mut(|told| {
        if let Some(told) = told {
            told.groups.extend(groups());
        }
    });
}

/// Tells another path of a parameter, at which the module has no parameter of its own, to the inventory that is being made.
///
/// A module of Burn shows a parameter that it uses in two places twice. A module that stores such a parameter once, as a network does,
/// and knows its other paths calls this in its `Module::visit`. They become [aliases](crate::Parameter::aliases); a path
/// that is one of a parameter already is left out. When no [`Inventory`](crate::Inventory) is being made on this thread, `aliases` is
/// not called and nothing happens.
pub fn tell_aliases<I: IntoIterator<Item = (ParamId, String)>>(aliases: impl FnOnce() -> I) {
    TOLD.with_borrow_mut(|told| {
        if let Some(told) = told {
            told.aliases.extend(aliases());
        }
    });
}

/// Calls the function, and returns what was told meanwhile.
pub(crate) fn listing(list: impl FnOnce()) -> Told {
    /// Ends the listing even if the module panics.
    struct Ended(Option<Told>);
    impl Drop for Ended {
        fn drop(&mut self) {
            TOLD.set(self.0.take());
        }
    }
    let ended = Ended(TOLD.replace(Some(Told::default())));
    list();
    let told = TOLD.take();
    drop(ended);
    told.unwrap_or_default()
}
