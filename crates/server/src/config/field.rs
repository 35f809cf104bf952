//! Between the rows' values and the typed fields of [`super::Config`].

use std::path::PathBuf;

use pinyon_engine::keyspace::EvictionPolicy;

use super::lists::{BindAddress, OutputLimits, print_percentile};
use super::value::Value;
use crate::save::SavePoint;
use crate::shutdown::EndOptions;

/// A type that a field of the configuration may have.
///
/// `from_value` is only called with values that the row's kind has let through, so a value that does not fit is a
/// mistake in the row; a test goes through the bounds of all rows.
pub trait FieldValue {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Self;
}

/// The accessors of the field of this name, for a row.
macro_rules! field {
    ($name:ident) => {
        $crate::config::directive::Home::Field($crate::config::directive::Field {
            get: |config| $crate::config::field::FieldValue::to_value(&config.$name),
            set: |config, value| config.$name = $crate::config::field::FieldValue::from_value(value),
        })
    };
}
pub(super) use field;

fn misfit(value: &Value, wanted: &str) -> ! {
    unreachable!("a directive's row lets {value:?} through, but its field wants {wanted}")
}

impl FieldValue for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }

    fn from_value(value: Value) -> bool {
        match value {
            Value::Bool(on) => on,
            other => misfit(&other, "yes or no"),
        }
    }
}

macro_rules! number_field {
    ($($number:ty),*) => { $(
        impl FieldValue for $number {
            fn to_value(&self) -> Value {
                Value::Int(i128::from(*self))
            }

            fn from_value(value: Value) -> $number {
                match value {
                    Value::Int(number) => {
                        <$number>::try_from(number).unwrap_or_else(|_| misfit(&Value::Int(number), stringify!($number)))
                    }
                    other => misfit(&other, stringify!($number)),
                }
            }
        }
    )* };
}
number_field!(u8, u16, u32, u64, i32, i64);

impl FieldValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: Value) -> String {
        match value {
            Value::Text(text) => text,
            other => misfit(&other, "text"),
        }
    }
}

impl FieldValue for PathBuf {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string_lossy().into_owned())
    }

    fn from_value(value: Value) -> PathBuf {
        String::from_value(value).into()
    }
}

/// The empty text is None.
impl FieldValue for Option<PathBuf> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Text(String::new()), FieldValue::to_value)
    }

    fn from_value(value: Value) -> Option<PathBuf> {
        let path = PathBuf::from_value(value);
        if path.as_os_str().is_empty() { None } else { Some(path) }
    }
}

impl FieldValue for Vec<BindAddress> {
    fn to_value(&self) -> Value {
        Value::Words(self.iter().map(BindAddress::to_word).collect())
    }

    fn from_value(value: Value) -> Self {
        match value {
            Value::Words(words) => words.iter().map(|word| BindAddress::from_word(word)).collect(),
            other => misfit(&other, "addresses"),
        }
    }
}

impl FieldValue for Vec<SavePoint> {
    fn to_value(&self) -> Value {
        Value::Words(self.iter().flat_map(|point| [point.seconds.to_string(), point.changes.to_string()]).collect())
    }

    fn from_value(value: Value) -> Vec<SavePoint> {
        let Value::Words(words) = value else { misfit(&value, "pairs of seconds and changes") };
        let (pairs, _) = words.as_chunks::<2>();
        let point = |[seconds, changes]: &[String; 2]| {
            Some(SavePoint { seconds: seconds.parse().ok()?, changes: changes.parse().ok()? })
        };
        pairs.iter().filter_map(point).collect()
    }
}

impl FieldValue for OutputLimits {
    fn to_value(&self) -> Value {
        Value::Words(self.to_words())
    }

    fn from_value(value: Value) -> OutputLimits {
        match value {
            Value::Words(words) => OutputLimits::from_words(&words),
            other => misfit(&other, "limits"),
        }
    }
}

/// Percentiles.
impl FieldValue for EndOptions {
    fn to_value(&self) -> Value {
        Value::Words(self.words().into_iter().map(str::to_owned).collect())
    }

    fn from_value(value: Value) -> Self {
        match value {
            Value::Words(words) => words
                .iter()
                .filter_map(|word| EndOptions::option(word))
                .fold(EndOptions::default(), |all, one| all | one),
            other => misfit(&other, "options of SHUTDOWN"),
        }
    }
}

impl FieldValue for Vec<f64> {
    fn to_value(&self) -> Value {
        Value::Words(self.iter().map(|number| print_percentile(*number)).collect())
    }

    fn from_value(value: Value) -> Vec<f64> {
        match value {
            Value::Words(words) => words.iter().filter_map(|word| word.parse().ok()).collect(),
            other => misfit(&other, "percentiles"),
        }
    }
}

/// A limit in bytes, or in percent of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BytesOrPercent {
    /// 0 = no limit.
    #[default]
    Off,
    Bytes(u64),
    /// 1 to 100.
    Percent(u8),
}

impl BytesOrPercent {
    /// The limit in bytes, given what 100 % is (0 = unlimited, and so is a share of it). None = no limit.
    /// Never below `floor`: less would lock everybody out.
    pub fn bytes(self, whole: u64, floor: u64) -> Option<u64> {
        let bytes = match self {
            BytesOrPercent::Off => return None,
            BytesOrPercent::Bytes(bytes) => bytes,
            BytesOrPercent::Percent(_) if whole == 0 => return None,
            BytesOrPercent::Percent(percent) => (u128::from(whole) * u128::from(percent) / 100) as u64,
        };
        Some(bytes.max(floor))
    }
}

impl FieldValue for BytesOrPercent {
    fn to_value(&self) -> Value {
        match self {
            BytesOrPercent::Off => Value::Int(0),
            BytesOrPercent::Bytes(bytes) => Value::Int(i128::from(*bytes)),
            BytesOrPercent::Percent(percent) => Value::Percent(*percent),
        }
    }

    fn from_value(value: Value) -> BytesOrPercent {
        match value {
            Value::Int(0) => BytesOrPercent::Off,
            Value::Percent(percent) => BytesOrPercent::Percent(percent),
            bytes => BytesOrPercent::Bytes(u64::from_value(bytes)),
        }
    }
}

/// A field whose type is an enum, one variant per name.
macro_rules! choice_field {
    ($choice:ty, $names:ident, [$($name:literal => $variant:path),* $(,)?]) => {
        /// The names as CONFIG GET spells them, in the order in which error texts list them.
        pub const $names: &[&str] = &[$($name),*];

        impl FieldValue for $choice {
            fn to_value(&self) -> Value {
                match self { $($variant => Value::Choice($name)),* }
            }

            fn from_value(value: Value) -> $choice {
                match value {
                    $(Value::Choice($name) => $variant,)*
                    other => misfit(&other, stringify!($choice)),
                }
            }
        }
    };
}

/// Who may use something dangerous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    #[default]
    No,
    Yes,
    /// Connections over the loopback interface or a unix socket.
    Local,
}

impl Allow {
    /// Whether a client may, given whether it is local.
    pub fn to(self, local: bool) -> bool {
        match self {
            Allow::No => false,
            Allow::Yes => true,
            Allow::Local => local,
        }
    }
}

choice_field!(Allow, ALLOW, ["no" => Allow::No, "yes" => Allow::Yes, "local" => Allow::Local]);

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loglevel {
    Debug,
    Verbose,
    #[default]
    Notice,
    Warning,
    Nothing,
}

choice_field!(Loglevel, LOGLEVELS, [
    "debug" => Loglevel::Debug,
    "verbose" => Loglevel::Verbose,
    "notice" => Loglevel::Notice,
    "warning" => Loglevel::Warning,
    "nothing" => Loglevel::Nothing,
]);

/// The order of a connection's commands on different shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PipelineOrder {
    /// They may overlap.
    #[default]
    Relaxed,
    /// One after the other.
    Strict,
}

choice_field!(PipelineOrder, PIPELINE_ORDERS, [
    "relaxed" => PipelineOrder::Relaxed,
    "strict" => PipelineOrder::Strict,
]);

/// When the log is forced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before a write is answered.
    Always,
    #[default]
    Everysec,
    /// When the kernel pleases.
    No,
}

choice_field!(Fsync, FSYNCS, ["everysec" => Fsync::Everysec, "always" => Fsync::Always, "no" => Fsync::No]);

/// Whether a supervisor is told about starts and stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supervised {
    /// By the way systemd asks for, when it asks (NOTIFY_SOCKET is set).
    #[default]
    Auto,
    Systemd,
    /// upstart waits for a stop signal of its own, which is not sent: as `no`.
    Upstart,
    No,
}

choice_field!(Supervised, SUPERVISED, [
    "upstart" => Supervised::Upstart,
    "systemd" => Supervised::Systemd,
    "auto" => Supervised::Auto,
    "no" => Supervised::No,
]);

/// How cluster clients are told to reach a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointType {
    #[default]
    Ip,
    Hostname,
    /// Not at all: by the address that they use already.
    Unknown,
}

choice_field!(EndpointType, ENDPOINT_TYPES, [
    "ip" => EndpointType::Ip,
    "hostname" => EndpointType::Hostname,
    "unknown-endpoint" => EndpointType::Unknown,
]);

choice_field!(EvictionPolicy, POLICIES, [
    "volatile-lru" => EvictionPolicy::VolatileLru,
    "volatile-lfu" => EvictionPolicy::VolatileLfu,
    "volatile-random" => EvictionPolicy::VolatileRandom,
    "volatile-ttl" => EvictionPolicy::VolatileTtl,
    "allkeys-lru" => EvictionPolicy::AllkeysLru,
    "allkeys-lfu" => EvictionPolicy::AllkeysLfu,
    "allkeys-random" => EvictionPolicy::AllkeysRandom,
    "noeviction" => EvictionPolicy::NoEviction,
]);
