/// Where a visitor stands in a module tree: Burn hands over names one level at a time.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    names: Vec<String>,
    owners: Vec<String>,
}

impl Walk {
    pub(crate) fn enter(&mut self, name: &str, owner: &str) {
        self.names.push(name.to_owned());
        self.owners.push(owner.to_owned());
    }

    pub(crate) fn leave(&mut self) {
        self.names.pop();
        self.owners.pop();
    }

    /// The dotted path of the parameter.
    pub(crate) fn path(&self) -> String {
        self.names.join(".")
    }

    /// The type that owns the parameter, without Burn's `Struct:`.
    pub(crate) fn layer(&self) -> &str {
        let owner = self.owners.last().map_or("", String::as_str);
        owner.split_once(':').map_or(owner, |(_, name)| name)
    }
}
