//! The shell of the writer, with stand-ins for the stream around it and the system below.

#[path = "../../../mitogen-service/src/io/cork.rs"]
pub(crate) mod cork;
mod kernel;
#[path = "../../../mitogen-service/src/io/output.rs"]
mod output;
#[path = "../../../mitogen-service/src/io/shared_writer.rs"]
mod shared_writer;
#[path = "../../../mitogen-service/src/io/stall.rs"]
mod stall;
mod stream;
#[path = "../../../mitogen-service/src/io/writer.rs"]
mod writer;

pub(crate) use output::Patience;
pub(crate) use shared_writer::SendError;
pub(crate) use stream::Stream;
