//! What tells two questions apart: name, type, class and what the client wants of an answer.

/// The bits of a query that change its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyFlags {
    /// The DO bit: records of DNSSEC are wanted.
    pub dnssec_ok: bool,
    /// The CD bit: answers that fail validation are wanted.
    pub checking_disabled: bool,
    /// The RD bit: names may be looked up.
    pub recursion_desired: bool,
}

/// A question, however its name is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The question in wire form, its name in small letters.
    question: Box<[u8]>,
    flags: KeyFlags,
    /// Options of OPT that go with the question, in wire form.
    options: Box<[u8]>,
}

/// Octets of type and class.
const TYPE_AND_CLASS_OCTETS: usize = 4;

impl Key {
    /// Makes the key of a question.
    ///
    /// `labels` are those of its name, without the root; a caller passes a name it has read, so
    /// none is longer than 63 octets.
    pub fn new<'l>(
        labels: impl IntoIterator<Item = &'l [u8]>,
        qtype: u16,
        class: u16,
        flags: KeyFlags,
    ) -> Self {
        let mut question = Vec::with_capacity(64);
        for label in labels {
            question.push(u8::try_from(label.len()).unwrap_or(0));
            question.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        question.push(0);
        question.extend_from_slice(&qtype.to_be_bytes());
        question.extend_from_slice(&class.to_be_bytes());
        Self { question: question.into(), flags, options: Box::default() }
    }

    /// The same question with `options` of OPT, in wire form: another answer may belong to it.
    #[must_use]
    pub fn with_options(self, options: &[u8]) -> Self {
        Self { options: options.into(), ..self }
    }

    /// The question in wire form, its name in small letters.
    #[must_use]
    pub fn question(&self) -> &[u8] {
        &self.question
    }

    /// The name in wire form, in small letters.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.question[..self.question.len() - TYPE_AND_CLASS_OCTETS]
    }

    /// The type asked for.
    #[must_use]
    pub fn qtype(&self) -> u16 {
        let at = self.question.len() - TYPE_AND_CLASS_OCTETS;
        u16::from_be_bytes([self.question[at], self.question[at + 1]])
    }

    /// Options of OPT that go with the question, in wire form.
    #[must_use]
    pub fn options(&self) -> &[u8] {
        &self.options
    }

    /// What else the client wants.
    #[must_use]
    pub fn flags(&self) -> KeyFlags {
        self.flags
    }
}
