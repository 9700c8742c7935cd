//! Where in an object a value stands.
//!
//! A path is made of borrowed steps and becomes text only when something is wrong there.

use std::fmt;

use crate::rejection::Reason;

/// A place in an object, such as `spec.ports[0].port`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Field(&'static str),
    Label(&'a str),
    Index(usize),
}

/// Something is wrong with the value at a place.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The place as text.
    pub(crate) field: String,
    /// What is wrong there.
    pub(crate) reason: Reason,
}

impl<'a> Path<'a> {
    /// A field of the object itself.
    pub(crate) const fn root(name: &'static str) -> Self {
        Self { parent: None, step: Step::Field(name) }
    }

    /// A field of the mapping at this place.
    pub(crate) const fn field(&'a self, name: &'static str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    /// A value of the mapping at this place, whose keys have dots.
    pub(crate) const fn label(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Label(name) }
    }

    /// An element of the list at this place.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// Says what is wrong at this place.
    pub(crate) fn fault(&self, reason: impl Into<Reason>) -> Fault {
        Fault { field: self.to_string(), reason: reason.into() }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, formatter)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_some() => write!(formatter, ".{name}"),
            Step::Field(name) => formatter.write_str(name),
            Step::Label(name) => write!(formatter, "[{name}]"),
            Step::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_reads_as_in_the_api_documentation() {
        let (metadata, spec) = (Path::root("metadata"), Path::root("spec"));
        let (labels, ports) = (metadata.field("labels"), spec.field("ports"));
        assert_eq!(ports.index(2).field("port").to_string(), "spec.ports[2].port");
        assert_eq!(
            labels.label("kubernetes.io/service-name").to_string(),
            "metadata.labels[kubernetes.io/service-name]"
        );
    }
}
