//! Why a document is no policy.

/// Why a document is no policy. [`PolicyError::message`] has it in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is longer than it may be.
    #[error("the document has {got_bytes} bytes, more than {max_bytes}")]
    TooLarge {
        /// Its length.
        got_bytes: usize,
        /// What is allowed.
        max_bytes: usize,
    },
    /// Its first byte is none that a policy begins with.
    #[error("the document does not begin with a brace")]
    NoObject,
    /// It is no JSON.
    #[error("the document is no JSON")]
    NoJson,
    /// A key stands twice in one object, or a value is of a kind that its element does not have.
    #[error("the document does not have the form of a policy")]
    Syntax,
    /// An element has a name that no element has, or none that is allowed here.
    #[error("there is no element {0:?} here")]
    UnknownField(String),
    /// An element is missing.
    #[error("the element {0} is missing")]
    MissingField(&'static str),
    /// An element has nothing in it.
    #[error("the element {0} is empty")]
    EmptyField(&'static str),
    /// There is no statement.
    #[error("there is no statement")]
    NoStatement,
    /// `Version` is none that there is.
    #[error("there is no such version")]
    Version,
    /// `Effect` is neither `Allow` nor `Deny`.
    #[error("there is no effect {0:?}")]
    Effect(String),
    /// Two statements have one name.
    #[error("two statements are called {0:?}")]
    DuplicateSid(String),
    /// A statement's name has characters that it may not have.
    #[error("no statement can be called {0:?}")]
    Sid(String),
    /// A principal is written wrongly, or nobody is called so.
    #[error("there is no principal {0}")]
    Principal(String),
    /// An action is written wrongly, or there is none such.
    #[error("there is no action {0:?}")]
    Action(String),
    /// A resource is written wrongly, or the policy is not its.
    #[error("no resource {0:?} belongs here")]
    Resource(String),
    /// A policy variable is written wrongly.
    #[error("wrong policy variable in {0:?}")]
    Variable(String),
    /// There is no such condition operator.
    #[error("there is no condition operator {0:?}")]
    Operator(String),
    /// There is no such condition key.
    #[error("there is no condition key {0:?}")]
    ConditionKey(String),
    /// A condition compares with what its operator can't compare with.
    #[error("{operator} can't compare with {value:?}")]
    ConditionValue {
        /// The operator.
        operator: String,
        /// The value.
        value: String,
    },
    /// An action is of a kind that none of its statement's resources has.
    #[error("the action {0:?} has no resource in its statement")]
    ActionWithoutResource(String),
    /// A condition key is unknown to its statement's actions.
    #[error("the condition key {0:?} is unknown to the actions of its statement")]
    ConditionWithoutAction(String),
}

impl PolicyError {
    /// What AWS says, where it says anything of the kind.
    pub fn message(&self) -> String {
        match self {
            Self::TooLarge { max_bytes, .. } => format!(
                "Normalized policy document exceeds the maximum allowed size of {max_bytes} bytes."
            ),
            Self::NoObject => {
                "Policies must be valid JSON and the first byte must be '{'".to_owned()
            }
            Self::NoJson => "This policy contains invalid Json".to_owned(),
            Self::Syntax | Self::Variable(_) => "Invalid policy syntax.".to_owned(),
            Self::UnknownField(name) => format!("Unknown field {name}"),
            Self::MissingField(name) => format!("Missing required field {name}"),
            Self::EmptyField(name) => format!("Missing required field {name} cannot be empty!"),
            Self::NoStatement => "Could not parse the policy: Statement is empty!".to_owned(),
            Self::Version => "The policy must contain a valid version string".to_owned(),
            Self::Effect(effect) => format!("Invalid effect: {effect}"),
            Self::DuplicateSid(_) => {
                "Statement IDs (SID) in a single policy must be unique.".to_owned()
            }
            Self::Sid(_) => "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*".to_owned(),
            Self::Principal(_) => "Invalid principal in policy".to_owned(),
            Self::Action(_) => "Policy has invalid action".to_owned(),
            Self::Resource(_) => "Policy has invalid resource".to_owned(),
            Self::Operator(operator) => format!("Invalid Condition type : {operator}"),
            Self::ConditionKey(_) => "Policy has an invalid condition key".to_owned(),
            Self::ConditionValue { operator, .. } => format!("Invalid value for condition operator {operator}"),
            Self::ActionWithoutResource(_) => {
                "Action does not apply to any resource(s) in statement".to_owned()
            }
            Self::ConditionWithoutAction(_) => {
                "Conditions do not apply to combination of actions and resources in statement"
                    .to_owned()
            }
        }
    }

    /// What in the document is meant, as AWS's `Detail` element says it.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Principal(what)
            | Self::Action(what)
            | Self::Resource(what)
            | Self::Variable(what)
            | Self::ConditionKey(what)
            | Self::ActionWithoutResource(what)
            | Self::ConditionWithoutAction(what)
            | Self::ConditionValue { value: what, .. } => Some(what),
            _ => None,
        }
    }
}
