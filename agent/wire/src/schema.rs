//! JSON schemas of the types that are strings in JSON, as patterns.

extern crate alloc;

use alloc::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{BoilerId, Boot, CommandId, Occurrence, OperatorName, SourceName};

/// A string of this pattern. Inlined, so that a schema reads without references.
macro_rules! text {
    ($name:ident, $pattern:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

text!(BoilerId, "^[a-z0-9][a-z0-9_-]{0,31}$");
text!(OperatorName, "^[a-z0-9][a-z0-9_-]{0,31}$");
text!(SourceName, "^[a-z0-9][a-z0-9_-]{0,31}$");
text!(CommandId, "^[A-Za-z0-9_-]{1,32}$");
text!(Boot, "^[0-9a-f]{16}$");
text!(Occurrence, "^[0-9a-f]{16}-(0|[1-9][0-9]{0,9})$");
