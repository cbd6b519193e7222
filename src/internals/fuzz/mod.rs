//! The fuzz targets. Each takes arbitrary bytes, and panics if a guarantee is broken.

mod own_points;
mod parser;
mod request_lines;
mod settings;
mod spool;
#[cfg(test)]
mod tests;
mod values;

pub use own_points::own_points;
pub use parser::parser;
pub use request_lines::request_lines;
pub use settings::settings;
pub use spool::spool;
