//! Where a row is.

use std::fmt;

use sqlx::{
    Decode, Encode, Postgres, Type, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef},
};

/// Where a job's row was when it was claimed, PostgreSQL's `ctid`. It spares a look into an index, and means nothing alone: the
/// row may have moved, and another may be in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TupleId {
    block: u32,
    offset: u16,
}

impl TupleId {
    fn parse(text: &str) -> Option<Self> {
        let (block, offset) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(Self { block: block.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// As PostgreSQL writes it.
impl fmt::Display for TupleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block, self.offset)
    }
}

impl Type<Postgres> for TupleId {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("tid")
    }
}

impl PgHasArrayType for TupleId {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_tid")
    }
}

impl Encode<'_, Postgres> for TupleId {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // The same bits.
        let _ = Encode::<Postgres>::encode(self.block.cast_signed(), buffer)?;
        Encode::<Postgres>::encode(self.offset.cast_signed(), buffer)
    }
}

impl Decode<'_, Postgres> for TupleId {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if *value.type_info() == <str as Type<Postgres>>::type_info() {
            return Self::parse(value.as_str()?).ok_or_else(|| "a tuple id looks like (0,1)".into());
        }
        if value.format() == PgValueFormat::Text {
            return Err("tuple ids are read in the binary format only".into());
        }
        let bytes: [u8; 6] = value.as_bytes()?.try_into()?;
        let [a, b, c, d, e, f] = bytes;
        Ok(Self { block: u32::from_be_bytes([a, b, c, d]), offset: u16::from_be_bytes([e, f]) })
    }
}
