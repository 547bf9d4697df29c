use crate::activation::SampleCounts;

/// The statistics of each place, in the order of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed<V> {
    nodes: Vec<ObservedNode<V>>,
}

/// The statistics of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedNode<V> {
    /// The name of the node, or of the weight for which it was observed.
    pub name: String,
    /// The numbers of samples and values.
    pub counts: SampleCounts,
    /// The value of the statistic.
    pub value: V,
}

impl<V> Observed<V> {
    pub(crate) fn new(nodes: Vec<ObservedNode<V>>) -> Self {
        Self { nodes }
    }

    /// All places.
    pub fn iter(&self) -> impl Iterator<Item = &ObservedNode<V>> {
        self.nodes.iter()
    }

    /// The number of places.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no places.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The statistics of the place with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.map(|node| &node.value)
    }
}

impl<V> IntoIterator for Observed<V> {
    type Item = ObservedNode<V>;
    type IntoIter = std::vec::IntoIter<ObservedNode<V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

/// What each number in a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Per {
    Layer,
    Channel,
    Bin,
}

/// The part of a table column that belongs to one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The heading of the column.
    pub name: String,
    /// What each number belongs to.
    pub per: Per,
    /// The numbers.
    pub values: Vec<f64>,
}

impl Column {
    /// A column with one number per layer.
    #[must_use]
    pub fn layer(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            per: Per::Layer,
            values: vec![value],
        }
    }

    /// A column with one number per channel.
    #[must_use]
    pub fn channels(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            per: Per::Channel,
            values,
        }
    }

    /// A column with one number per bin.
    #[must_use]
    pub fn bins(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            per: Per::Bin,
            values,
        }
    }
}

/// A value that can be written as columns of a table.
pub trait Columns {
    /// The columns, which are the same at every place.
    fn columns(&self) -> Vec<Column>;
}

macro_rules! tuple {
    ($($name:ident),+) => {
        impl<$($name: Columns),+> Columns for ($($name,)+) {
            #[allow(non_snake_case, reason = "the tuple's types name its fields")]
            fn columns(&self) -> Vec<Column> {
                let ($($name,)+) = self;
                let mut columns = Vec::new();
                $(columns.extend($name.columns());)+
                columns
            }
        }
    };
}
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
tuple!(A, B, C, D, E);
tuple!(A, B, C, D, E, F);

impl<V: Columns> Observed<V> {
    /// The columns of one kind as comma-separated values.
    ///
    /// A row is a layer, or a channel or bin of a layer. The first column is the name of the layer; for channels and
    /// bins, the second column is the position from 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use burn::tensor::{Device, Tensor};
    /// # use calcine_observe::{Moments, Per, Places, Zeros, observe};
    /// # use calcine_trace::trace;
    /// # let x = Tensor::<2>::from_data([[0.0, 4.0], [-2.0, 8.0]], &Device::flex());
    /// # let network = trace(&burn::nn::Relu::new(), x.clone(), |m, x| m.forward(x)).unwrap();
    /// let observed = observe(&network, [x], &Places::activations(), &(Zeros, Moments)).unwrap();
    /// let csv = observed.csv(Per::Channel);
    /// assert_eq!(csv, "layer,channel,apoz,mean,std\nrelu,0,1,0,0\nrelu,1,0,6,2\n");
    /// ```
    #[must_use]
    pub fn csv(&self, per: Per) -> String {
        let index = match per {
            Per::Layer => None,
            Per::Channel => Some("channel"),
            Per::Bin => Some("bin"),
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        let mut write = |record: Vec<String>| {
            let written = table.write_record(record);
            written.expect("rows of equal length into memory");
        };
        let columns_of = |node: &ObservedNode<V>| {
            let columns = node.value.columns().into_iter();
            columns
                .filter(|column| column.per == per)
                .collect::<Vec<_>>()
        };
        if let Some(first) = self.nodes.first() {
            let names = columns_of(first).into_iter().map(|column| column.name);
            let index = index.map(str::to_owned);
            write(
                ["layer".to_owned()]
                    .into_iter()
                    .chain(index)
                    .chain(names)
                    .collect(),
            );
        }
        for node in &self.nodes {
            let columns = columns_of(node);
            let rows = columns.iter().map(|column| column.values.len()).max();
            for row in 0..rows.unwrap_or(0) {
                let mut record = vec![node.name.clone()];
                record.extend(index.map(|_| row.to_string()));
                record.extend(columns.iter().map(|column| {
                    column
                        .values
                        .get(row)
                        .map_or_else(String::new, f64::to_string)
                }));
                write(record);
            }
        }
        let bytes = table.into_inner().expect("a vector takes everything");
        String::from_utf8(bytes).expect("written from strings")
    }

    /// The columns with one number per layer, by `layer/column`, for a log of scalars.
    ///
    /// # Examples
    ///
    /// ```
    /// # use burn::tensor::{Device, Tensor};
    /// # use calcine_observe::{Places, Zeros, observe};
    /// # use calcine_trace::trace;
    /// # let x = Tensor::<2>::from_data([[0.0, 4.0], [-2.0, 8.0]], &Device::flex());
    /// # let network = trace(&burn::nn::Relu::new(), x.clone(), |m, x| m.forward(x)).unwrap();
    /// let observed = observe(&network, [x], &Places::activations(), &Zeros).unwrap();
    /// assert_eq!(observed.scalars(), [("relu/sparsity".to_owned(), 0.5)]);
    /// ```
    #[must_use]
    pub fn scalars(&self) -> Vec<(String, f64)> {
        let of = |node: &ObservedNode<V>| {
            let columns = node.value.columns().into_iter();
            let layer = columns.filter(|column| column.per == Per::Layer);
            let named = layer.filter_map(|column| {
                let value = column.values.first()?;
                Some((format!("{}/{}", node.name, column.name), *value))
            });
            named.collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }
}
