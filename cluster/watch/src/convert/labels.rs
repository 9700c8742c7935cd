//! Labels that people select by.

use std::sync::Arc;

use podway_cluster_model::label::Labels;
use podway_cluster_model::name::Namespace;

use crate::field::Field;
use crate::object;
use crate::path::Path;

use super::Checker;

/// Label of every Namespace with its name, which the API server fills in.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// All labels but those whose value is no text.
pub(super) fn convert(labels: object::Labels, checker: &mut Checker) -> Labels {
    let metadata = Path::root("metadata");
    let path = metadata.field("labels");
    let text = |(key, value): (String, Field<String>)| {
        let value = checker.keep(value.optional(path.label(&key))).flatten()?;
        Some((Arc::from(key), Arc::from(value)))
    };
    labels.into_iter().filter_map(text).collect()
}

/// The labels of a Namespace; that with its name is there in any case.
pub(super) fn of_namespace(
    name: &Namespace,
    labels: object::Labels,
    checker: &mut Checker,
) -> Labels {
    let all = convert(labels, checker);
    let all = all.iter().map(|(key, value)| (Arc::from(key), Arc::from(value)));
    all.chain([(Arc::from(NAME_LABEL), Arc::from(name.as_str()))]).collect()
}

/// The labels of a Namespace that nothing is known of.
pub(crate) fn of_bare_namespace(name: &Namespace) -> Labels {
    [(Arc::from(NAME_LABEL), Arc::from(name.as_str()))].into_iter().collect()
}
